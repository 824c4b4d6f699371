"""A short soak; longer ones are for a machine of their own: ``python -m benchmarks.soak --minutes 60``."""

from __future__ import annotations

import os
import shutil
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


# The soak counts named shared memory, of which tests that run beside it may have some: it gets a /dev/shm of its own.
ALONE = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"]


def can_be_alone() -> bool:
    tried = (
        subprocess.run([*ALONE, "true"], capture_output=True, check=False)
        if shutil.which("unshare")
        else None
    )
    return tried is not None and tried.returncode == 0


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(ALONE if can_be_alone() else ()),
            sys.executable,
            "-m",
            "benchmarks.soak",
            "--seed",
            SEED,
            *options,
        ],
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
