"""On a terminal: results and the progress bar share it without garbling each other."""

from __future__ import annotations

import os
import re
import struct
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("has no pseudo-terminals", allow_module_level=True)

import fcntl
import pty
import subprocess
import termios

SOURCE = """
def square(n):
    return n * n

def odd_only(n):
    if n % 2 == 0:
        raise ValueError(n)
    return n
"""
BAR = re.compile(r"(\d+)/12 ")


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "a folder with quite a long name, as they are" / "work.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return str(path)


def on_terminal(*arguments: str, width: int = 80) -> tuple[int, str]:
    """The exit status, and what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environ = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        [sys.executable, "-m", "okazja", "run", *arguments, "--over", "1..12", "--workers", "1"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ | {"TERM": "xterm-256color"},
    ) as process:
        os.close(theirs)
        got = b""
        try:
            while data := os.read(ours, 1 << 16):
                got += data
        except OSError:  # how Linux says that nobody has the other side any more
            pass
        os.close(ours)
    return process.returncode, got.decode()


def lines_left(got: str) -> list[str]:
    """What is to be read in the end: each line after its last erasure, without colours."""
    kept = [re.split(r"\x1b\[2K", line.rstrip("\r"))[-1] for line in got.split("\n")]
    return [re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", line).rpartition("\r")[2].rstrip() for line in kept]


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_results_and_the_bar_do_not_garble_each_other(mine: str, backend: str) -> None:
    status, got = on_terminal(f"{mine}:square", "--backend", backend)
    assert status == 0
    *results, bar, end = lines_left(got)
    assert results == [f"{n}\t{n * n}" for n in range(1, 13)]
    assert bar.startswith("work.py:square ━")
    assert BAR.findall(bar) == ["12"]
    assert end == ""


def test_with_a_file_the_bar_has_a_line_of_its_own(mine: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    status, got = on_terminal(f"{mine}:odd_only", "--out", str(out))
    assert status == 1
    bar, failures, *_ = lines_left(got)
    assert BAR.findall(bar) == ["12"]
    assert bar.endswith("6 failed")
    assert failures.startswith("okazja: 6 of 12 items failed")
    assert len(out.read_text().splitlines()) == 13


@pytest.mark.parametrize("width", [80, 200])
def test_the_bar_fits_on_one_line_with_all_its_numbers(mine: str, width: int) -> None:
    _, got = on_terminal(f"{mine}:odd_only", width=width)
    [bar] = [line for line in lines_left(got) if BAR.search(line)]
    assert len(bar) <= width
    assert "…" not in bar
    assert re.search(r"━{5,} +12/12 .*\d:\d\d:\d\d left \d:\d\d:\d\d 6 failed", bar)
