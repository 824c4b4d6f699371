"""okazja run with a journal: going on, by the very command that is printed; okazja status and okazja export."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.scripts import eventually

from okazja import Journal
from okazja.cli.app import run

Make = Callable[[str], str]
SOURCE = """
import os, time
from pathlib import Path

def odd_only(n):
    with open("ran.txt", "a") as file:
        file.write(f"{n}\\n")
    if n % 2 == 0 and not Path("mended").exists():
        raise ValueError(f"{n} is even")
    return n

def waits_at_7(n):
    if n == 7 and not Path("go on").exists():
        Path("waits").touch()
        time.sleep(3600)
    return n

def pair(n):
    return (n, n)

def dies(n):
    os.kill(os.getpid(), 9)
"""


def okazja(*arguments: str) -> int:
    return run(list(arguments), "1.2.3")


def command_after(heading: str, error: str) -> str:
    """The command on the line below."""
    found = re.search(rf"^{heading}.*:\n  (.*)$", error, re.MULTILINE)
    assert found is not None, error
    return found[1]


def through_the_shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)


def ran(folder: Path) -> list[int]:
    path = folder / "ran.txt"
    numbers = [int(line) for line in path.read_text().split()] if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(numbers)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_resumed_run_runs_what_is_asked_for_and_writes_the_same_bytes(
    target: Make, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = target(SOURCE)
    arguments = ["run", f"{job}:odd_only", "--over", "1..30", "--workers", "2", "--journal", "a night's.db"]
    assert okazja(*arguments, "--out", f"first.{suffix}") == 1
    assert ran(tmp_path) == [*range(1, 31)]
    assert "15 of 30 items failed" in capsys.readouterr().err

    assert okazja(*arguments) == 2
    error = capsys.readouterr().err
    assert "has 30 outcomes of an earlier run: add --resume to go on with it, or name another path" in error

    assert okazja(*arguments, "--out", f"again.{suffix}", "--resume") == 1
    assert ran(tmp_path) == []
    assert (tmp_path / f"again.{suffix}").read_bytes() == (tmp_path / f"first.{suffix}").read_bytes()
    error = capsys.readouterr().err
    assert 'raise ValueError(f"{n} is even")' in error
    assert "... and 5 more" in error

    (tmp_path / "mended").touch()
    done = through_the_shell(command_after("To run just the failed items again", error))
    assert done.returncode == 0, done.stderr
    assert ran(tmp_path) == [*range(2, 31, 2)]


def test_without_a_journal_a_few_failed_numbers_are_named(
    target: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = target(SOURCE)
    assert okazja("run", f"{job}:odd_only", "--over=1..8", "--workers", "1", "--out", "x.csv") == 1
    ran(tmp_path)
    (tmp_path / "mended").touch()
    command = command_after("To run just the failed items again", capsys.readouterr().err)
    done = through_the_shell(command)
    assert (done.returncode, done.stdout) == (0, "2\t2\n4\t4\n6\t6\n8\t8\n")
    assert ran(tmp_path) == [2, 4, 6, 8]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_an_interrupted_run_goes_on_with_the_command_that_it_prints(
    target: Make, tmp_path: Path, backend: str, number: signal.Signals
) -> None:
    job = target(SOURCE)
    command = [sys.executable, "-m", "okazja", "run", f"{job}:waits_at_7", "--over", "1..12"]
    where = ["--backend", backend, "--workers", "1", "--journal", "it's.db", "--out", "out.csv"]
    with subprocess.Popen(
        [*command, *where], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert eventually((tmp_path / "waits").exists)
        os.killpg(process.pid, number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert not (tmp_path / "out.csv").exists()
    with Journal(tmp_path / "it's.db") as journal:
        # A worker that the signal has reached first took the 7 with it.
        kept = [entry.item for entry in journal if entry.ok]
    assert kept == [*range(1, len(kept) + 1)]  # on processes those that travel with the 7 may not be back yet
    assert len(kept) == 6 if backend != "processes" else len(kept) <= 6
    (tmp_path / "go on").touch()
    done = through_the_shell(command_after("To go on", error))
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows == ["item,value,error", *(f"{n},{n}," for n in range(1, 13))]


def test_status_of_a_running_job_and_after_its_kill(target: Make, tmp_path: Path) -> None:
    job = target(SOURCE)
    command = [sys.executable, "-m", "okazja", "run", f"{job}:waits_at_7", "--over", "1..12"]
    where = ["--workers", "1", "--journal", "j.db", "--version", "2", "--backend", "threads"]
    status = f"{sys.executable} -m okazja status j.db"

    def six_are_kept() -> bool:
        done = through_the_shell(f"{status} --json")
        return done.returncode == 0 and json.loads(done.stdout)["done"] == 6

    with subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL) as process:
        try:
            assert eventually((tmp_path / "waits").exists)
            assert eventually(six_are_kept)
            page = through_the_shell(status).stdout
        finally:
            process.kill()
    for line in (
        f"function       {job[:-3]}:waits_at_7",
        "version        2",
        "done           6",
        "failed         0",
    ):
        assert line in page
    assert "of             12 (50 %)" in page
    assert f"running        in process {process.pid}, since 2" in page
    assert re.search(r"time left      \d+:\d\d:\d\d", page)
    after = through_the_shell(status)
    assert after.returncode == 0
    assert re.search(r"stands         since 2.*: to go on, run it again with --resume", after.stdout)


def test_other_versions_and_functions_are_refused(target: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = target(SOURCE)
    over = ["--over", "1..3", "--workers", "1", "--journal", "j.db"]
    assert okazja("run", f"{job}:pair", *over, "--version", "1") == 0
    assert okazja("run", f"{job}:pair", *over, "--version", "2", "--resume") == 2
    assert "On the command line version= is --version" in capsys.readouterr().err
    assert okazja("run", f"{job}:odd_only", *over, "--version", "1", "--resume") == 2
    assert "name another path" in capsys.readouterr().err


def test_export_unpickles_only_when_told_to(
    target: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = target(SOURCE)
    assert okazja("run", f"{job}:pair", "--over", "1..3", "--workers", "1", "--journal", "j.db") == 0
    capfd.readouterr()
    assert okazja("export", "j.db", "--out", "-") == 0
    captured = capfd.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["item"] for row in rows] == [1, 2, 3]
    assert re.fullmatch(r"<\d+ bytes, pickled>", rows[0]["value"])
    assert "--unpickle brings them back" in captured.err
    assert okazja("export", "j.db", "--out", "x.jsonl", "--unpickle") == 0
    written = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [row["value"] for row in written] == [[1, 1], [2, 2], [3, 3]]


def test_export_of_failed_items_and_of_no_journal(
    target: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = target(SOURCE)
    assert okazja("run", f"{job}:odd_only", "--over", "1..4", "--workers", "1", "--journal", "j.db") == 1
    assert okazja("export", "j.db", "--out", "failed.csv", "--failed") == 0
    rows = (tmp_path / "failed.csv").read_text().splitlines()
    assert [row.split(",")[:4] for row in rows[1:]] == [
        [str(n), "", f"ValueError: {n} is even", "1"] for n in (2, 4)
    ]
    capsys.readouterr()
    for command in (["status", "none.db"], ["export", "none.db", "--out", "x.csv"]):
        assert okazja(*command) == 1
        assert "there is no journal" in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_too_many_failures_end_it_and_tell_of_them(
    target: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = target(SOURCE)
    arguments = ["--over", "1..100", "--workers", "1", "--max-failures", "2", "--journal", "j.db"]
    assert okazja("run", f"{job}:odd_only", *arguments, "--out", "x.csv") == 1
    error = capsys.readouterr().err
    assert "3 items have failed, and max_failures=2 allows no more" in error
    assert "2 is even" in error
    assert not (tmp_path / "x.csv").exists()
    (tmp_path / "mended").touch()
    assert through_the_shell(command_after("To run just the failed items again", error)).returncode == 0


def test_a_deadline_leaves_the_rest_for_the_next_time(
    target: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = target(SOURCE)
    arguments = ["--over", "1..12", "--workers", "1", "--journal", "j.db", "--deadline", "1"]
    assert okazja("run", f"{job}:waits_at_7", *arguments) == 1
    captured = capsys.readouterr()
    assert "deadline=1 s passed" in captured.err
    assert "items failed" not in captured.err
    (tmp_path / "go on").touch()
    done = through_the_shell(command_after("To go on", captured.err).replace("--deadline 1", "--deadline 60"))
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 12)


def test_retries_and_item_timeouts_are_passed_on(target: Make, capsys: pytest.CaptureFixture[str]) -> None:
    job = target(SOURCE)
    arguments = ["--over", "6..7", "--workers", "1", "--item-timeout", "0.3", "--retries", "1"]
    assert okazja("run", f"{job}:waits_at_7", *arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == "6\t6\n"
    assert re.search(r"7 +TimeoutError +2 +waits_at_7 took longer than item_timeout=0.3 s", captured.err)
