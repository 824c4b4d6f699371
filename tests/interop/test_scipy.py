"""SciPy takes a map-like callable as ``workers``."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize

from okazja import Executor

Vector = NDArray[np.float64]


def rastrigin(x: Vector) -> float:
    return float(10 * len(x) + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)))


def waves(x: float) -> Vector:
    values: Vector = np.sin(np.arange(1, 4) * x)
    return values


def bump(points: Vector) -> Vector:
    heights: Vector = np.exp(-np.sum(points**2, axis=-1))
    return heights


def test_differential_evolution_takes_the_same_path(executor: Executor) -> None:
    bounds = [(-5.12, 5.12)] * 2
    options = {"seed": 7, "maxiter": 15, "popsize": 6, "updating": "deferred", "polish": False}
    alone = optimize.differential_evolution(rastrigin, bounds, **options)
    spread = optimize.differential_evolution(rastrigin, bounds, workers=executor.map, **options)
    assert spread.nfev == alone.nfev
    assert spread.fun == alone.fun
    np.testing.assert_array_equal(spread.x, alone.x)


def test_brute_finds_the_same_grid_point(executor: Executor) -> None:
    ranges = (slice(-2, 2, 0.5), slice(-2, 2, 0.5))
    alone = optimize.brute(rastrigin, ranges, full_output=True, finish=None)
    spread = optimize.brute(rastrigin, ranges, full_output=True, finish=None, workers=executor.map)
    np.testing.assert_array_equal(spread[0], alone[0])
    np.testing.assert_array_equal(spread[3], alone[3])


def test_quad_vec_sums_the_same_intervals(executor: Executor) -> None:
    alone, _ = integrate.quad_vec(waves, 0, 10)
    spread, _ = integrate.quad_vec(waves, 0, 10, workers=executor.map)
    np.testing.assert_allclose(spread, alone, rtol=1e-12)


@pytest.mark.skipif(
    not hasattr(integrate, "cubature"), reason="scipy.integrate.cubature came with SciPy 1.15"
)
def test_cubature_gives_the_same_estimate(executor: Executor) -> None:
    alone = integrate.cubature(bump, [-1, -1], [2, 2])
    spread = integrate.cubature(bump, [-1, -1], [2, 2], workers=executor.map)
    assert spread.status == "converged"
    np.testing.assert_allclose(spread.estimate, alone.estimate, rtol=1e-12)


def test_an_error_of_the_objective_comes_out(executor: Executor) -> None:
    def broken(x: Vector) -> float:
        raise ArithmeticError("no value here")

    with pytest.raises(ArithmeticError, match="no value here"):
        optimize.brute(broken, (slice(0, 2, 1),), finish=None, workers=executor.map)
