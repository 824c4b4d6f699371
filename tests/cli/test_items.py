"""Where items come from: files of three kinds and standard input, read as they are needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from okazja.cli.app import run

Make = Callable[[str], str]
SOURCE = """
def same(item):
    return item

def shown(item):
    return repr(item)
"""


def okazja(*arguments: str) -> int:
    return run(list(arguments), "1.2.3")


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
@pytest.mark.parametrize(
    ("name", "content", "values"),
    [
        ("a.txt", "one\n\n three \r\nlast", ["'one'", "''", "' three '", "'last'"]),
        ("b.txt", "\ufefffirst\n", ["'first'"]),
        ("empty.txt", "", []),
        ("a.jsonl", '1\n\n{"a": [1.5, null]}\n"x"\n', ["1", "{'a': [1.5, None]}", "'x'"]),
        ("a.csv", 'n,text\n1,a\n2,"b\nc"\n', ["{'n': '1', 'text': 'a'}", "{'n': '2', 'text': 'b\\\\nc'}"]),
        ("empty.csv", "", []),
    ],
)
def test_items_of_a_file(
    target: Make,
    tmp_path: Path,
    backend: str,
    name: str,
    content: str,
    values: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / name).write_bytes(content.encode())
    job = target(SOURCE)
    assert okazja("run", f"{job}:shown", "--items", name, "--backend", backend, "--workers", "1") == 0
    assert [line.partition("\t")[2] for line in capsys.readouterr().out.splitlines()] == values


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"1\n{\n", "a.jsonl, line 2: it is no JSON"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv, line 3: it has not 2 columns"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv, line 2: it has not 2 columns"),
        ("a.csv", b"a,a\n1,2\n", "a.csv, line 1: it names a column twice: a, a"),
        ("a.csv", b'a,b\n1,"2\n', "a.csv, line 2: it is no CSV"),
        ("a.txt", b"a\nb\xff\n", "a.txt, line 2: it is no UTF-8 text"),
    ],
)
def test_a_bad_line_is_named_and_no_file_is_left(
    target: Make, tmp_path: Path, name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    job = target(SOURCE)
    where = ["--backend", "threads", "--out", "out.csv"]
    assert okazja("run", f"{job}:same", "--items", name, *where) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--over", "1..2", "--items", "a.txt"], "items come from one place, got --over and --items"),
        (["-", "--over", "1..2"], "items come from one place, got - and --over"),
        (["a.txt"], "can't read 'a.txt' after the target"),
        (["--items", "a.xml"], "its name must end in .txt (an item a line), .jsonl"),
        (["--items", "none.txt"], "can't read items from 'none.txt': No such file"),
        (["--over", "1..2", "--item-timeout", "1", "--backend", "serial"], "--item-timeout means nothing"),
        (["--over", "1..2", "--resume"], "--resume means nothing without a journal: add --journal FILE"),
        (["--over", "1..2", "--version", "2"], "--version means nothing without a journal"),
        (["--over", "1..2", "--journal", "j.db", "--retry-failed"], "add --resume, or leave it out"),
        (["--over", "1..2", "--journal", "j.db", "--resume"], "there is no journal 'j.db' to go on with"),
    ],
)
def test_wrong_usage_says_what_to_type(
    target: Make, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert okazja("run", f"{target(SOURCE)}:same", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
@pytest.mark.parametrize("source", [["-"], ["--items", "-"], ["-", "--ordered"]])
def test_results_come_while_standard_input_is_open(target: Make, backend: str, source: list[str]) -> None:
    command = [sys.executable, "-m", "okazja", "run", f"{target(SOURCE)}:same", *source]
    with subprocess.Popen(
        [*command, "--backend", backend, "--workers", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for batch in (b"1\n2\n3\n", b"4\n", b"5\n6\n"):
            os.write(process.stdin.fileno(), batch)
            came = {process.stdout.readline().split(b"\t")[0] + b"\n" for _ in batch.splitlines()}
            assert came == set(batch.splitlines(keepends=True))
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0
