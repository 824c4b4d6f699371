"""An array that all workers share: each paints its rows of a picture, and nobody sends a pixel.

python docs/examples/picture.py threads
python docs/examples/picture.py processes
"""

import sys

import numpy as np

from okazja import Executor

WIDTH, HEIGHT = 72, 24
STEPS = 60


def pixels(picture):
    """The shared memory as rows and columns. This is a view: what is written here is seen by everybody."""
    return np.asarray(picture).reshape(HEIGHT, WIDTH)


def paint(picture, row):
    """One row of the Mandelbrot set: how many steps of z → z² + c does it take to get far away?"""
    c = np.linspace(-2, 0.6, WIDTH) + 1j * np.linspace(-1.1, 1.1, HEIGHT)[row]
    z = np.zeros_like(c)
    for _ in range(STEPS):
        near = abs(z) < 2
        z[near] = z[near] ** 2 + c[near]
        pixels(picture)[row] += near


def main(backend):
    with Executor(backend) as executor:
        picture = executor.Array("B", WIDTH * HEIGHT, lock=False)  # no two tasks write the same place
        list(executor.map(paint, [picture] * HEIGHT, range(HEIGHT)))
        image = pixels(picture)

        for row in image:
            print("".join(" .:-=+*#%@"[9 * steps // STEPS] for steps in row.tolist()))
        assert image[HEIGHT // 2, WIDTH // 2] == STEPS  # within the set
        assert image[0, 0] < 5  # far from it
        assert (image[:12] == image[:11:-1]).all()  # the lower half mirrors the upper one


main(*sys.argv[1:])
