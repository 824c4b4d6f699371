"""The first ready job: count the primes smaller than n, for every n, with a new sieve each time.

Nobody who wants prime numbers would do it so. As work to be spread over workers it is ideal: the items are
independent, cost from a microsecond to a fraction of a millisecond (or, with plain lists, of a tenth of a
second), use nothing but the CPU, and the answer can be checked. So no kernel keeps anything between calls:
neither primes nor flags.

The kernels differ in how they do it, not in what they answer (see `KERNELS`):

* ``list``: loops over a plain list, as a textbook writes it. Holds the GIL all the time.
* ``bytearray``: odd numbers only, crossed out by slice assignment. Needs the standard library alone.
* ``numpy``: odd numbers only; the multiples of the smallest primes come as repeated patterns, the others are
  crossed out by strided assignment. NumPy is imported by the first call.

All of them take ``n >= 0``, any integer (a NumPy one too), raise `TypeError` for anything else (a bool
included) and `okazja.errors.BadInput`, a `ValueError`, for a negative n.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from itertools import accumulate
from math import isqrt, prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex

from okazja.errors import BadInput, UnsupportedHere
from okazja.jobs._job import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_KERNEL",
    "EXPECTED",
    "JOB",
    "KERNELS",
    "count_primes",
    "count_primes_bytearray",
    "count_primes_list",
    "count_primes_numpy",
    "expected_sum",
]

# Where one way starts to be faster than the other, in n; measured on CPython 3.11 and 3.13.
# The answers don't depend on them.
_NUMPY_PAYS_FROM = 6_000
_LARGE_PATTERNS_PAY_FROM = 250_000


def count_primes_list(n: SupportsIndex) -> int:
    """Count the primes smaller than ``n`` with loops over a plain list."""
    limit = _checked(n)
    is_prime = [True] * limit
    for number in range(2, limit):
        if number * number >= limit:
            break
        if is_prime[number]:
            for multiple in range(number * number, limit, number):
                is_prime[multiple] = False
    count = 0
    for number in range(2, limit):
        if is_prime[number]:
            count += 1
    return count


def count_primes_bytearray(n: SupportsIndex) -> int:
    """Count the primes smaller than ``n`` with slices of a bytearray, without NumPy."""
    limit = _checked(n)
    if limit <= 2:
        return 0
    size = limit // 2
    odd = bytearray(b"\x01") * size  # odd[i] stands for 2 * i + 1, and odd[0] for the prime 2 in place of 1
    for number in range(3, isqrt(limit - 1) + 1, 2):
        if odd[number >> 1]:
            start = number * number >> 1
            odd[start::number] = bytes((size - 1 - start) // number + 1)
    return odd.count(1)


def count_primes_numpy(n: SupportsIndex) -> int:
    """Count the primes smaller than ``n`` with a NumPy array of flags.

    Raises `okazja.errors.UnsupportedHere` if NumPy is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise UnsupportedHere(
            "the numpy kernel of the sieve needs NumPy, which is not installed: install numpy, "
            "or use count_primes_bytearray"
        ) from error
    limit = _checked(n)
    if limit < _NUMPY_PAYS_FROM:
        return count_primes_bytearray(limit)
    no = np.zeros((), bool)  # an array of no dimensions is assigned faster than False
    odd = np.empty(limit // 2, bool)  # odd[i] stands for 2 * i + 1
    if limit < _LARGE_PATTERNS_PAY_FROM:
        patterned = [3, 5, 7, 11]
        _fill(odd, _pattern(np, patterned))
    else:
        _fill(odd, _pattern(np, [3, 5, 7, 11, 13]))
        _cross_out(np, odd, _pattern(np, [17, 19, 23]))
        patterned = [3, 5, 7, 11, 13, 17, 19, 23]

    root = isqrt(limit - 1)
    head = odd[: (root + 1) // 2]  # finished first: it holds the primes to cross out by
    for number in range(patterned[-1] + 2, isqrt(root) + 1, 2):
        if head[number >> 1]:
            head[number * number >> 1 :: number] = no
    for prime in (2 * head.nonzero()[0][1:] + 1).tolist():
        odd[prime * prime >> 1 :: prime] = no
    # The patterns crossed out their own primes too. The flag of 1 is still set: it stands for the prime 2.
    return len(patterned) + int(np.count_nonzero(odd))


def _pattern(numpy: Any, primes: list[int]) -> NDArray[np.bool_]:
    """Flags of the odd numbers that no number of ``primes`` divides, for one period of that pattern."""
    pattern: NDArray[np.bool_] = numpy.ones(prod(primes), bool)
    for prime in primes:
        pattern[prime >> 1 :: prime] = False
    return pattern


def _fill(flags: NDArray[np.bool_], pattern: NDArray[np.bool_]) -> None:
    whole = len(flags) // len(pattern) * len(pattern)
    flags[:whole].reshape(-1, len(pattern))[:] = pattern
    flags[whole:] = pattern[: len(flags) - whole]


def _cross_out(numpy: Any, flags: NDArray[np.bool_], pattern: NDArray[np.bool_]) -> None:
    whole = len(flags) // len(pattern) * len(pattern)
    rows, rest = flags[:whole].reshape(-1, len(pattern)), flags[whole:]
    numpy.logical_and(rows, pattern, out=rows)
    numpy.logical_and(rest, pattern[: len(rest)], out=rest)


def _checked(n: SupportsIndex) -> int:
    if isinstance(n, bool):
        raise TypeError(
            f"n must be an integer, got the bool {n!r}: pass the number that the primes stay below"
        )
    try:
        limit = operator.index(n)
    except TypeError:
        raise TypeError(
            f"n must be an integer, got {n!r} of type {type(n).__name__}: pass int(n) if you mean that"
        ) from None
    if limit < 0:
        raise BadInput(f"n must not be negative, got {limit}: primes are counted from 2 up")
    return limit


def expected_sum(last: int, first: int = 1) -> int:
    """The sum of the answers for every n from ``first`` to ``last``, both included.

    It comes from one sieve and a running count, and shares no code with the kernels: to check a run over any
    range. Takes some 0.1 s for a million.
    """
    if first < 0 or last < 0:
        raise BadInput(
            f"n must not be negative, got the range {first} to {last}: primes are counted from 2 up"
        )
    flags = bytearray(b"\x01") * last  # flags[m] stands for m; the count after it is the answer for n = m + 1
    flags[:2] = bytes(min(2, last))
    for number in range(2, isqrt(last) + 1):
        if flags[number]:
            flags[number * number :: number] = bytes(len(range(number * number, last, number)))
    counts = accumulate(flags)
    return sum(count for n, count in enumerate(counts, 1) if n >= first)


KERNELS: Mapping[str, Callable[[SupportsIndex], int]] = MappingProxyType(
    {"list": count_primes_list, "bytearray": count_primes_bytearray, "numpy": count_primes_numpy}
)
"""The kernels by name, slowest first."""

DEFAULT_KERNEL = "numpy"

count_primes = KERNELS[DEFAULT_KERNEL]
"""The default kernel."""

EXPECTED: Mapping[int, int] = MappingProxyType(
    {0: 0, 1: 0, 2: 0, 3: 1, 10: 4, 100: 25, 1_000: 168, 10_000: 1_229, 100_000: 9_592, 1_000_000: 78_498}
)
"""Known answers, by n."""

JOB = Job(
    name="sieve",
    summary="count the primes smaller than n, sieving anew for each n",
    function=count_primes,
    items=range(1, 1_000_001),
    variants=KERNELS,
    expected=EXPECTED,
    expected_sum=expected_sum,
)
