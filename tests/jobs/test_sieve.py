"""All kernels of the sieve answer the same, and right."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from okazja.errors import BadInput
from okazja.jobs import Job, find_job, job_names, sieve
from okazja.jobs.sieve import EXPECTED, KERNELS, count_primes, count_primes_numpy, expected_sum

Kernel = Callable[[object], int]

every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)

# Around the limits where the NumPy kernel goes another way, and where a square of a prime comes into range.
BORDERS = [
    0,
    1,
    2,
    3,
    4,
    5,
    9,
    10,
    5_998,
    5_999,
    6_000,
    6_001,
    6_002,
    249_999,
    250_000,
    250_001,
    841,
    961,
    994_009,
]


def is_prime(number: int) -> bool:
    """By trial division: slow, and too simple to be wrong."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@pytest.fixture(scope="module")
def counts() -> list[int]:
    """By n: how many primes are smaller than n, by trial division."""
    found = [0]
    for number in range(20_000):
        found.append(found[-1] + is_prime(number))
    return found


@every_kernel
@pytest.mark.parametrize("n", EXPECTED)
def test_known_answers(kernel: Kernel, n: int) -> None:
    assert kernel(n) == EXPECTED[n]


@every_kernel
@given(n=st.integers(0, 20_000))
def test_agrees_with_trial_division(kernel: Kernel, counts: list[int], n: int) -> None:
    assert kernel(n) == counts[n]


@given(n=st.integers(0, 300_000))
def test_kernels_agree(n: int) -> None:
    assert len({kernel(n) for kernel in KERNELS.values()}) == 1


@pytest.mark.parametrize("n", BORDERS)
def test_kernels_agree_at_borders(n: int) -> None:
    for near in (n, n + 1):
        assert len({kernel(near) for kernel in KERNELS.values()}) == 1


def test_a_prime_is_not_smaller_than_itself() -> None:
    assert [count_primes(n) for n in (7, 8)] == [3, 4]
    assert [count_primes(n) for n in (999_983, 999_984)] == [78_497, 78_498]


def test_sum_of_the_answers_up_to_30_000() -> None:
    assert sum(map(count_primes_numpy, range(1, 30_001))) == 51_674_136 == expected_sum(30_000)


def test_expected_sum_up_to_a_million() -> None:
    assert expected_sum(1_000_000) == 40_947_597_977


@given(last=st.integers(0, 5_000), first=st.integers(0, 5_000))
def test_expected_sum_of_a_range(counts: list[int], last: int, first: int) -> None:
    assert expected_sum(last, first) == sum(counts[n] for n in range(first, last + 1))


@pytest.mark.parametrize(("last", "first"), [(-1, 1), (5, -3)])
def test_expected_sum_refuses_negative_bounds(last: int, first: int) -> None:
    with pytest.raises(BadInput, match=f"{min(last, first)}"):
        expected_sum(last, first)


@every_kernel
@pytest.mark.parametrize("n", [np.int64(10), np.uint8(10), np.int32(10)])
def test_takes_integers_of_numpy(kernel: Kernel, n: object) -> None:
    answer = kernel(n)
    assert answer == 4
    assert type(answer) is int


@every_kernel
def test_refuses_negative_n(kernel: Kernel) -> None:
    with pytest.raises(BadInput, match="must not be negative, got -7"):
        kernel(-7)


@every_kernel
@pytest.mark.parametrize("n", [True, False, np.True_, 10.0, Fraction(10), "10", None, np.array([1, 2])])
def test_refuses_what_is_not_an_integer(kernel: Kernel, n: object) -> None:
    with pytest.raises(TypeError, match="must be an integer, got"):
        kernel(n)


@every_kernel
def test_kernels_travel_to_workers_by_name(kernel: Kernel) -> None:
    assert pickle.loads(pickle.dumps(kernel)) is kernel


def test_the_module_can_be_imported_without_numpy() -> None:
    code = """
import sys
sys.modules["numpy"] = None  # as if it were not installed
from okazja.jobs.sieve import count_primes_bytearray, count_primes_list, count_primes_numpy
from okazja.errors import UnsupportedHere
assert count_primes_list(100) == count_primes_bytearray(100) == 25
for n in (10, 100_000):
    try:
        count_primes_numpy(n)
    except UnsupportedHere as error:
        assert "install numpy" in str(error)
    else:
        raise AssertionError("answered without NumPy")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_the_module_does_not_import_numpy() -> None:
    code = "import sys, okazja.jobs.sieve; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_is_a_ready_job() -> None:
    assert "sieve" in job_names()
    job = find_job("sieve")
    assert job is sieve.JOB
    assert isinstance(job, Job)
    assert (job.name, job.function, job.items) == ("sieve", count_primes, range(1, 1_000_001))
    assert job.expected_sum is not None
    assert job.expected_sum(10, 1) == sum(map(job.function, range(1, 11)))
    assert all(job.function(item) == answer for item, answer in job.expected.items())


def test_an_unknown_job_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="no ready job is named 'sive': choose one of sieve"):
        find_job("sive")
