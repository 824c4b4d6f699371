"""okazja run: a function over many items, its output, its errors and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from okazja.cli.app import run

SOURCE = """
import os, sys, time

def square(n):
    return n * n

def odd_only(n):
    if n % 2 == 0:
        raise ValueError(f"{n} is even")
    return {"text": f"a\\t{n}"}

def two(a, b):
    pass

def gen(n):
    yield n

async def co(n):
    return n

def where(n):
    return os.getpid()

def killed_at_7(n):
    if n == 7:
        os.kill(os.getpid(), 9)
    return n * n

def forever(n):
    print("runs", flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Names that this process has not imported yet: targets stay imported.
    (tmp_path / f"{tmp_path.name}_mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def mine(folder: Path) -> str:
    return str(folder / f"{folder.name}_mine.py")


def okazja(*arguments: str) -> int:
    return run(list(arguments), "1.2.3")


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_a_function_of_a_file_gives_lines_in_order(
    mine: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert okazja("run", f"{mine}:square", "--over", "1..5", "--backend", backend, "--workers", "1") == 0
    captured = capsys.readouterr()
    assert captured.out == "1\t1\n2\t4\n3\t9\n4\t16\n5\t25\n"
    assert captured.err == ""


def test_a_function_of_a_module_and_a_ready_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("run", "math:factorial", "--over", "0..6..3", "--workers", "1") == 0
    assert okazja("run", "sieve:list", "--over", "10..8..-1", "--workers", "1") == 0
    assert capsys.readouterr().out == "0\t1\n3\t6\n6\t720\n10\t4\n9\t4\n8\t4\n"


def test_a_file_named_like_another_module_runs_on_processes_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "random.py").write_text("K = 3\ndef times(n):\n    return K * n\n")
    assert okazja("run", "random.py:times", "--over", "1..2", "--workers", "1") == 0
    assert capsys.readouterr().out == "1\t3\n2\t6\n"
    assert Path(str(sys.modules["random"].__file__)).parent != folder


def test_a_file_beside_one_named_like_a_standard_module_runs_on_processes(
    mine: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "random.py").write_text("")
    assert okazja("run", f"{mine}:square", "--over", "2..3", "--workers", "1") == 0
    assert capsys.readouterr().out == "2\t4\n3\t9\n"


def test_failed_items_are_counted_and_the_first_is_explained(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert okazja("run", f"{mine}:odd_only", "--over", "1..4", "--workers", "1") == 1
    captured = capsys.readouterr()
    assert captured.out == "1\t{'text': 'a\\\\t1'}\n3\t{'text': 'a\\\\t3'}\n"
    assert "2 of 4 items failed\n" in captured.err
    assert 'raise ValueError(f"{n} is even")' in captured.err
    assert "ValueError: 2 is even" in captured.err
    assert captured.err.count("4 is even") == 1  # in the table, but not its traceback


def test_results_go_to_a_csv_file(mine: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("run", f"{mine}:odd_only", "--over", "1..2", "--out", "out.csv", "--workers", "1") == 1
    assert (folder / "out.csv").read_text() == (
        "item,value,error\n1,{'text': 'a\\t1'},\n2,,ValueError: 2 is even\n"
    )
    assert capsys.readouterr().out == ""


def test_results_go_to_a_jsonl_file(mine: str, folder: Path) -> None:
    assert okazja("run", f"{mine}:odd_only", "--over", "1..2", "--out", "out.jsonl", "--workers", "1") == 1
    assert [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()] == [
        {"item": 1, "value": {"text": "a\t1"}},
        {"item": 2, "error": "ValueError: 2 is even"},
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["math:factorial"], "which items? Say for instance: okazja run math:factorial --over 1..1000"),
        (["math:factorial", "--over", "1-5"], "can't read '1-5' as numbers: write A..B"),
        (["math:factorial", "--over", "5..1"], "to count the other way, write 5..1..-1"),
        (["math:factorial", "--over", f"1..{10**20}"], "more numbers than can be counted"),
        (["math:factorial", "--over", "1..5..0"], "the step of '1..5..0' is 0"),
        (["math:factorial", "--over", "1..5", "--workers", "0"], "0 is not in the range"),
        (["math:factorial", "--over", "1..5", "--backend", "thread"], "'thread' is not one of"),
        (
            ["math:factorial", "--over", "1..5", "--out", "x.xls"],
            "its name must end in .csv, .jsonl or .parquet",
        ),
        (["math:factorial", "--over", "1..5", "--out", "nowhere/x.csv"], "there is no folder 'nowhere'"),
        (["math:factorail", "--over", "1..5"], "math has no 'factorail'; it has factorial"),
        (["math:pi", "--over", "1..5"], "math:pi is no function"),
        (["math", "--over", "1..5"], "'math' names no function"),
        (["no_such_module:f", "--over", "1..5"], "there is no module 'no_such_module'"),
        (["no_such_file.py:f", "--over", "1..5"], "there is no file 'no_such_file.py'"),
        (["sieve:fast"], "'sieve' has no variant 'fast': choose one of list, bytearray, numpy"),
    ],
)
def test_wrong_usage_says_what_to_type(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert okazja("run", *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("command", ["run", "compare"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two", "two(a, b) can't be called with one item"),
        ("gen", "gen is a generator function"),
    ],
)
def test_what_can_not_be_called_for_an_item_is_wrong_usage(
    mine: str, command: str, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert okazja(command, f"{mine}:{name}", "--over", "1..3") == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_file_that_can_not_be_imported_shows_its_own_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "does_not_import.py").write_text("def f(n): pass\n1 / 0\n")
    assert okazja("run", "does_not_import.py:f", "--over", "1..5") == 2
    error = capsys.readouterr().err
    assert "line 2" in error
    assert "ZeroDivisionError" in error
    assert "importlib" not in error


def test_compare_of_a_function_that_fails_shows_where(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert okazja("compare", f"{mine}:odd_only", "--over", "2..2", "--budget", "0.1") == 1
    error = capsys.readouterr().err
    assert f"{mine}:odd_only fails, so there is nothing to compare:\n" in error
    assert error.endswith("ValueError: 2 is even\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups to interrupt")
@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_ctrl_c_stops_all_and_leaves_no_file(mine: str, folder: Path, backend: str) -> None:
    command = [
        sys.executable,
        "-m",
        "okazja",
        "run",
        f"{mine}:forever",
        "--over",
        "1..9",
        "--backend",
        backend,
    ]
    with subprocess.Popen(
        [*command, "--out", "out.csv", "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        below = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert [path.suffix for path in folder.iterdir() if path.is_file()] == [".py"]


def test_a_killed_worker_costs_the_item_that_it_ran(
    mine: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        okazja("run", f"{mine}:killed_at_7", "--over", "1..40", "--workers", "2", "--out", "out.jsonl") == 1
    )
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    good = {line["item"]: line["value"] for line in lines if not line.get("error")}
    assert good == {n: n * n for n in range(1, 41) if n != 7}
    assert "WorkerDied" in capsys.readouterr().err


def test_an_existing_output_is_replaced_whole(mine: str, folder: Path) -> None:
    (folder / "out.csv").write_text("of an older run\n" * 100)
    assert okazja("run", f"{mine}:square", "--over", "1..2", "--backend", "serial", "--out", "out.csv") == 0
    assert (folder / "out.csv").read_text().splitlines()[1:] == ["1,1,", "2,4,"]
    assert [path.name for path in folder.glob("*.part")] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_said(mine: str) -> None:
    command = [
        sys.executable,
        "-m",
        "okazja",
        "run",
        f"{mine}:square",
        "--over",
        "1..9",
        "--backend",
        "serial",
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
