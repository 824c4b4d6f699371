"""Signals: the command ends in an orderly way, however impatient or polite who sends them is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from okazja.cli.app import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process groups to interrupt")

BACKENDS = ["serial", "threads", "asyncio", "processes"]
NOTHING_KEPT = "Nothing of it was kept: with --journal FILE it could go on from here the next time."
SOURCE = """
import os, signal, time

def forever(n):
    print("runs", flush=True)
    time.sleep(3600)

def gives_up(n):
    if n == 2:
        raise KeyboardInterrupt
    return n
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # A name that this process has not imported yet: targets stay imported.
    path = tmp_path / f"{tmp_path.name}_signals.py"
    path.write_text(SOURCE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return str(path)


@contextmanager
def running(target: str, backend: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a group of its own, as a shell starts it, whose first item runs."""
    where = ["--backend", backend, "--workers", "1", "--out", "out.csv"]
    with subprocess.Popen(
        [sys.executable, "-m", "okazja", "run", target, "--over", "1..9", *where],
        cwd=Path(target.partition(":")[0]).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        yield process


def nothing_is_left(folder: Path, below: list[psutil.Process]) -> bool:
    suffixes = [path.suffix for path in folder.iterdir() if path.is_file()]
    return psutil.wait_procs(below, timeout=10)[1] == [] and suffixes == [".py"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGHUP, 129, "ended by SIGHUP")],
)
def test_a_polite_end_is_as_orderly_as_ctrl_c(
    mine: str, tmp_path: Path, backend: str, number: signal.Signals, status: int, said: str
) -> None:
    with running(f"{mine}:forever", backend) as process:
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)  # to this one process, as `kill` and service managers do
        _, error = process.communicate(timeout=20)
    assert process.returncode == status
    assert error.lstrip() == f"okazja: {said}; the workers were stopped\n{NOTHING_KEPT}\n"
    assert nothing_is_left(tmp_path, below)


@pytest.mark.parametrize("backend", BACKENDS)
def test_impatience_changes_nothing(mine: str, tmp_path: Path, backend: str) -> None:
    with running(f"{mine}:forever", backend) as process:
        below = psutil.Process(process.pid).children(recursive=True)
        for _ in range(20):
            try:
                os.killpg(process.pid, signal.SIGINT)
            except ProcessLookupError:
                break
            time.sleep(0.005)  # as fast as nobody's fingers; nothing waits for it
        _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.lstrip() == f"okazja: interrupted; the workers were stopped\n{NOTHING_KEPT}\n"
    assert nothing_is_left(tmp_path, below)


def test_ctrl_c_while_the_command_line_is_loaded() -> None:
    code = """
import signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "click":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from okazja.__main__ import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "okazja: interrupted\n")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_task_that_raises_keyboard_interrupt_is_a_failed_item(
    mine: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{mine}:gives_up", "--over", "1..3", "--backend", backend, "--workers", "1"]
    assert run(["run", *arguments], "1.2.3") == 1
    captured = capsys.readouterr()
    assert captured.out == "1\t1\n3\t3\n"
    assert "1 of 3 items failed\n" in captured.err
