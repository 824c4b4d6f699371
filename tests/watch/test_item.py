"""The tree names the item that a worker runs: its index in the input, wherever chunks begin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import okazja
from okazja import Executor
from okazja.watch.marks import Work


def wait_on(path: str | None) -> None:
    """Say that this item runs, then wait until somebody opens the other pipe."""
    if path is not None:
        with open(path + ".begun", "w"), open(path):
            pass


def busy_with() -> list[Work]:
    return [work for work in okazja.tree().work if work.busy]


@pytest.mark.parametrize(("backend", "chunksize"), [("threads", None), ("processes", 2), ("processes", 1)])
def test_the_item_that_runs_is_named(tmp_path: Path, backend: str, chunksize: int | None) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    os.mkfifo(path + ".begun")
    items = [None, None, None, path]
    with Executor(backend, max_workers=1) as executor:
        results = executor.map(wait_on, items, chunksize=chunksize)
        with open(path + ".begun"):  # opened from the other side by item 3
            [work] = busy_with()
        with open(path, "w"):
            pass
        assert list(results) == [None] * 4
    assert (work.item, work.function) == (3, "wait_on")
    assert "wait_on (item 3) for " in str(work)


def test_a_submitted_call_has_no_item(tmp_path: Path) -> None:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    os.mkfifo(path + ".begun")
    with Executor("processes", max_workers=1) as executor:
        future = executor.submit(wait_on, path)
        with open(path + ".begun"):
            [work] = busy_with()
        with open(path, "w"):
            pass
        future.result(30)
    assert work.item is None
    assert "wait_on (call 1) for " in str(work)
