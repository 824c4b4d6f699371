"""The other commands: compare, tree, doctor, demo; help, and what happens without the extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okazja.cli.app import run
from okazja.cli.demo import explanation
from okazja.cli.items import parse_over, parse_workers
from okazja.errors import BadInput
from okazja.measure.comparison import Comparison, Row, Way


def okazja(*arguments: str) -> int:
    return run(list(arguments), "1.2.3")


@given(st.integers(-(10**6), 10**6), st.integers(0, 1000), st.integers(1, 50), st.booleans())
def test_over_includes_both_ends(first: int, count: int, step: int, down: bool) -> None:
    step = -step if down else step
    last = first + count * step
    items = parse_over(f"{first}..{last}..{step}")
    assert (items[0], items[-1], len(items)) == (first, last, count + 1)


@pytest.mark.parametrize("text", ["", "1", "1..", "..5", "1...5", "a..b", "1..5..", "1.5..2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"write A\.\.B"):
        parse_over(text)


def test_thousands_may_be_marked() -> None:
    assert parse_over("1..1_000_000") == range(1, 1_000_001)


def test_numbers_of_workers() -> None:
    assert parse_workers("1,2, 4") == (1, 2, 4)
    with pytest.raises(BadInput, match="'1;2'"):
        parse_workers("1;2")
    with pytest.raises(BadInput, match="got 0"):
        parse_workers("1,0")


@pytest.mark.parametrize("command", ["run", "status", "export", "compare", "tree", "doctor", "demo"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("--help") == 0
    assert f"  {command} " in capsys.readouterr().out
    assert okazja(command, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: okazja {command} ")
    assert "\\b" not in text


def test_the_version_and_a_mistyped_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("--version") == 0
    assert "1.2.3" in capsys.readouterr().out
    assert okazja("rum") == 2
    assert "rum" in capsys.readouterr().err


def test_compare_prints_a_table_and_a_recommendation(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sieve:list", "--over", "1..300", "--workers", "1", "--budget", "0.3"]
    assert okazja("compare", *arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("count_primes_list: ")
    assert "speed-up" in out
    assert "\nRecommended: " in out
    ways = [
        line.split()[0]
        for line in out.splitlines()
        if line.startswith(("serial", "threads", "asyncio", "processes"))
    ]
    assert ways == ["serial", "threads", "processes"], "plain functions run on threads with asyncio, too"


def test_compare_refuses_an_unknown_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("compare", "sieve", "--backends", "threads,fibers") == 2
    assert "'fibers': choose from serial,threads,asyncio,processes" in capsys.readouterr().err


def test_tree_shows_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("tree", str(os.getpid())) == 0
    assert f", pid {os.getpid()}" in capsys.readouterr().out.splitlines()[0]


def test_tree_of_no_process(capsys: pytest.CaptureFixture[str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert okazja("tree", str(ended.pid)) == 2
    assert f"no process {ended.pid}" in capsys.readouterr().err


def test_doctor_tells_of_interpreter_machine_and_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("doctor") == 0
    names = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {"Python", "GIL", "CPUs", "memory", "start", "okazja", "numpy", "rich"} <= names


def test_the_demo_runs_the_whole_exercise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sieve.csv"
    assert okazja("demo", "--below", "1000", "--budget", "0.3", "--out", str(out)) == 0
    text = capsys.readouterr().out
    assert "This machine" in text
    assert "of the ideal" in text
    assert "answers        right: they add up to" in text
    lines = out.read_text().splitlines()
    assert (lines[0], lines[3], lines[-1], len(lines)) == ("n,primes", "3,1", "1000,168", 1001)


def comparison(threads: float, processes: float, cpus: int = 2) -> Comparison:
    ways = [(Way("serial", 1), 1.0), (Way("threads", 2), threads), (Way("processes", 2), processes)]
    rows = [Row(way, (1.0,), 1.0, speedup, speedup, 1.0, 0.0, 1, 1) for way, speedup in ways]
    return Comparison("f", 10, 10, 1, cpus, tuple(rows))


def test_the_explanation_follows_from_the_numbers() -> None:
    assert "Threads took turns" in explanation(comparison(0.98, 1.9))
    assert "only one CPU" in explanation(comparison(0.98, 0.9, cpus=1))
    assert "too short" in explanation(comparison(0.98, 0.9))
    assert "0.98 ×" in explanation(comparison(0.98, 1.9))


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from okazja.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"okazja: the command line needs {package}, which is not installed: pip install 'okazja[cli]'\n"
    )
