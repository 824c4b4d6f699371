"""A short soak; longer ones are for a machine of their own: ``python -m benchmarks.soak --minutes 60``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
SEED = "20"
FAULTS = {
    "lose": "items were lost",
    "double": "reported twice",
    "falsify": "attempt 1: value",
    "leak": "not given back: descriptors",
}


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


def test_the_soak_finds_what_it_looks_for() -> None:
    finished = soak("--minutes", "0.02", *(f"--sabotage={fault}" for fault in FAULTS))
    assert finished.returncode == 1, finished.stdout + finished.stderr
    found = [line for line in finished.stdout.splitlines() if line.startswith("WRONG: ")]
    for fault, complaint in FAULTS.items():
        assert any(complaint in line for line in found), (fault, found)
    assert len(found) == len(FAULTS)
