"""The worked examples of the tour, as a reader starts them: only the name of the backend differs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import okazja

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

pytestmark = pytest.mark.parametrize("backend", ["threads", "processes"])


def run(name: str, *arguments: str) -> str:
    """What it prints; what it finds wrong is an AssertionError, and so an exit status."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(okazja.__file__).parents[1])},
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_a_producer_and_consumers(backend: str) -> None:
    ring, queue = run("producers.py", backend).splitlines()
    assert ring.startswith(f"ring on {backend}: ")
    assert queue.startswith(f"queue on {backend}: ")


def test_an_array_that_all_workers_write(backend: str) -> None:
    rows = run("picture.py", backend).splitlines()
    assert len(rows) == 24
    assert "@" in rows[12]


def test_at_most_five_connections(backend: str, postgresql: str) -> None:
    said = run("connections.py", backend, postgresql)
    assert f"200 tasks on {backend}, 5 connections at most" in said
