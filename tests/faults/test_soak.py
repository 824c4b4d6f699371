"""A short soak; longer ones are for a machine of their own: ``python -m benchmarks.soak --minutes 60``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SEED = "20"


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--seed", SEED, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_nothing_is_lost_while_workers_are_killed_and_stopped() -> None:
    finished = soak("--minutes", "0.33")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "all is well" in finished.stdout


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("lose", "were lost"),
        ("double", "reported twice"),
        ("falsify", "attempt 1: value"),
        ("leak", "descriptors"),
    ],
)
def test_the_soak_finds_what_it_looks_for(fault: str, found: str) -> None:
    finished = soak("--minutes", "0.02", "--sabotage", fault)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert found in finished.stdout
