"""Quick items of a chunk share a mark, and ranges travel as such: nobody can tell, but by the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.semantics.tasks import double, identity

from okazja import Executor, WorkerDied

ITEMS = 3_000
CHUNK = 1_000
LATE = 1_777  # an item in the middle of a chunk, after enough quick ones


def kill_at_late(number: int) -> int:
    if number == LATE:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail_at_late(number: int) -> int:
    if number == LATE:
        raise ValueError(f"item {number}")
    return number


def wait_at_late(opens: str, number: int) -> int:
    """Item LATE ends after an item of its own chunk has run elsewhere."""
    if number == LATE:
        fd = os.open(opens, os.O_RDONLY)  # until somebody opens the other end
        os.close(fd)
    elif number == LATE + 200:
        os.close(os.open(opens, os.O_WRONLY))
    return number


def note(path: str, number: int) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"%d\n" % number)
    os.close(fd)
    return number


@pytest.mark.parametrize("items", [range(ITEMS), list(range(ITEMS))], ids=["range", "list"])
def test_a_death_among_quick_items_is_blamed_on_one(items: range | list[int]) -> None:
    with Executor("processes", 2) as executor:
        results = executor.map(kill_at_late, items, chunksize=CHUNK)
        assert [next(results) for _ in range(LATE)] == list(range(LATE))
        with pytest.raises(WorkerDied, match="SIGKILL"):
            next(results)


def test_the_items_after_a_death_among_quick_ones_are_innocent() -> None:
    with Executor("processes", 2) as executor:
        outcomes = list(executor.stream(kill_at_late, range(ITEMS), ordered=True))
    assert [outcome.index for outcome in outcomes if not outcome.ok] == [LATE]
    assert [outcome.value for outcome in outcomes if outcome.ok] == [n for n in range(ITEMS) if n != LATE]


@pytest.mark.parametrize("items", [range(ITEMS), list(range(ITEMS))], ids=["range", "list"])
def test_an_error_among_quick_items_is_that_items(items: range | list[int]) -> None:
    with Executor("processes", 2) as executor:
        results = executor.map(fail_at_late, items, chunksize=CHUNK)
        assert [next(results) for _ in range(LATE)] == list(range(LATE))
        with pytest.raises(ValueError, match=f"item {LATE}") as caught:
            next(results)
    assert "in fail_at_late" in str(caught.value.__cause__)
    assert "okazja/_worker" not in str(caught.value.__cause__)


def test_what_waits_behind_an_item_among_quick_ones_is_handed_back(tmp_path: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with Executor("processes", 2) as executor:
        results = executor.map(partial(wait_at_late, fifo), range(ITEMS), chunksize=CHUNK)
        assert list(results) == list(range(ITEMS))


def test_each_quick_item_runs_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    with Executor("processes", 2) as executor:
        assert list(executor.map(partial(note, str(path)), range(2_000))) == list(range(2_000))
    assert sorted(map(int, path.read_text().split())) == list(range(2_000))


BOUND = st.integers(-(10**30), 10**30)


def test_ranges_arrive() -> None:
    with Executor("processes", 2) as executor:

        @given(start=BOUND, count=st.integers(0, 300), step=st.integers(-(10**20), 10**20).filter(bool))
        @settings(deadline=None, max_examples=60)
        def check(start: int, count: int, step: int) -> None:
            items = range(start, start + count * step, step)
            assert list(executor.map(double, items)) == [2 * n for n in items]

        check()


def test_outcomes_of_a_range_have_its_items() -> None:
    items = range(10, 4_000, 3)
    with Executor("processes", 2) as executor:
        outcomes = list(executor.stream(identity, items, ordered=True))
    assert [(o.index, o.item, o.value) for o in outcomes] == [(i, n, n) for i, n in enumerate(items)]


FORKS_WHILE_OPEN = """
import multiprocessing
from okazja import Executor

if __name__ == "__main__":
    with Executor("processes", 2, mp_context="fork") as executor:
        assert list(executor.map(abs, [-1, 2])) == [1, 2]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-3, 4]) == [3, 4]
        assert list(executor.map(abs, [-5, 6])) == [5, 6]
"""


def test_processes_forked_beside_an_open_executor_say_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(FORKS_WHILE_OPEN)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
