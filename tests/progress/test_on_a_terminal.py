"""On a terminal: a row at its end, below whatever is printed meanwhile."""

from __future__ import annotations

import os
import re
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("has no pseudo-terminals", allow_module_level=True)

import pty
import subprocess

from tests.progress.screen import environment, on_terminal, picture

HEAD = """
import logging, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what some of these are about
import okazja
from okazja import Executor

def square(n):
    return n * n

def odd_only(n):
    if n % 2 == 0:
        raise ValueError(n)
    return n
"""


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_last_row_stays_and_has_it_all(backend: str, width: int) -> None:
    status, got = on_terminal(
        f"""{HEAD}
with Executor({backend!r}, max_workers=1) as executor:
    outcomes = list(executor.stream(odd_only, range(1, 13), progress=True))
print("the end")
""",
        width=width,
    )
    assert status == 0, got
    row, end, last = picture(got, width)
    assert re.search(r"12/12 .*6 failed", row)
    assert width == 40 or re.match(r"odd_only ━{5,} 12/12 .*/s 0:00:0\d left 0:00:00 6 failed$", row)
    assert (end, last) == ("the end", "")


def test_map_and_the_one_liner_show_it_too() -> None:
    status, got = on_terminal(
        f"""{HEAD}
with Executor("threads", max_workers=2) as executor:
    assert sum(executor.map(square, range(10), progress=True)) == 285
okazja.map(square, range(20), backend="serial", progress=True)
"""
    )
    assert status == 0, got
    first, second, end = picture(got)
    assert "10/10" in first
    assert "20/20" in second
    assert end == ""


def test_retries_are_counted() -> None:
    status, got = on_terminal(
        f"""{HEAD}
with Executor("threads", max_workers=1) as executor:
    list(executor.stream(odd_only, range(2), retries=3, progress=True))
"""
    )
    assert status == 0, got
    assert "2/2" in picture(got)[0]
    assert "1 failed, 3 retried" in picture(got)[0]


PRINTING = f"""{HEAD}
logging.basicConfig(format="%(message)s")
real = sys.stdout
with Executor("threads", max_workers=1) as executor:
    for outcome in executor.stream(square, range(6), ordered=True, progress=True):
        while sys.stderr is sys.__stderr__: time.sleep(0.001)  # then the row is about to be drawn
        print(f"printed {{outcome.index}}")
        logging.warning("logged %d", outcome.index)
        print("in two ", end="")
        sys.stderr.write("pieces\\n")
assert sys.stdout is real
assert logging.root.handlers[0].stream is sys.stderr is sys.__stderr__
print("the end")
"""


def test_what_is_printed_and_logged_stands_above_it() -> None:
    status, got = on_terminal(PRINTING)
    assert status == 0, got
    expected = [line for n in range(6) for line in (f"printed {n}", f"logged {n}", "in two pieces")]
    *lines, row, end, last = picture(got)
    assert lines == expected
    assert row.startswith("square ━")
    assert "6/6" in row
    assert (end, last) == ("the end", "")


def test_a_line_in_the_making_is_left_alone_until_it_ends() -> None:
    status, got = on_terminal(
        f"""{HEAD}
real = sys.stdout
with Executor("threads", max_workers=1) as executor:
    for outcome in executor.stream(square, range(3), progress=True):
        while sys.stdout is real: time.sleep(0.001)
        print(".", end="", flush=True)
"""
    )
    assert status == 0, got
    dots, row, end = picture(got)
    assert dots == "..."
    assert "3/3" in row
    assert end == ""


def test_output_to_a_file_goes_there_and_not_to_the_terminal() -> None:
    ours, theirs = os.pipe()
    status, got = on_terminal(PRINTING, stdout=theirs)
    os.close(theirs)
    with os.fdopen(ours) as file:
        printed = file.read()
    assert status == 0, got
    assert printed == "".join(f"printed {n}\nin two " for n in range(6)) + "the end\n"
    *lines, row, last = picture(got)
    assert lines == [line for n in range(6) for line in (f"logged {n}", "pieces")]
    assert "6/6" in row
    assert last == ""


def test_several_at_once_have_a_row_each() -> None:
    status, got = on_terminal(
        f"""{HEAD}
def consume(name, count):
    function = lambda n: n
    function.__name__ = function.__qualname__ = name
    for outcome in executor.stream(function, range(count), progress=True):
        started.wait()
        with lock:
            print(f"{{name}} {{outcome.index}}")

lock, started = threading.Lock(), threading.Barrier(3)
with Executor("threads", max_workers=2) as executor:
    threads = [threading.Thread(target=consume, args=(f"work{{n}}", 20)) for n in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("the end")
"""
    )
    assert status == 0, got
    seen = [line for line in picture(got) if line]
    rows = [line for line in seen if "20/20" in line]
    assert sorted(row.split()[0] for row in rows) == ["work0", "work1", "work2"]
    assert sorted(line for line in seen if line not in rows) == sorted(
        [f"work{n} {index}" for n in range(3) for index in range(20)] + ["the end"]
    )
    assert seen[-1] == "the end"


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_ctrl_c_leaves_the_row_and_a_clean_line_for_the_traceback(backend: str) -> None:
    status, got = on_terminal(
        f"""{HEAD}
with Executor({backend!r}, max_workers=1) as executor:
    for outcome in executor.stream(square, iter(range(10**9)), progress=True):
        pass
""",
        interrupt_at="/s",
    )
    assert status in {-2, 130}, got
    row, *traceback, last = picture(got)
    assert re.match(r"square [\d,]+ done ", row)
    assert traceback[0].startswith("Traceback")
    assert traceback[-1] == "KeyboardInterrupt"
    assert last == ""


def test_what_workers_print_has_lines_of_its_own() -> None:
    status, got = on_terminal(
        f"""{HEAD}
def loud(n):
    print("loud", n)
    return n

with Executor("processes", max_workers=2) as executor:
    for outcome in executor.stream(loud, range(20), progress=True):
        while sys.stderr is sys.__stderr__: time.sleep(0.001)
"""
    )
    assert status == 0, got
    seen = picture(got)
    assert sorted(line for line in seen if line.startswith("loud 1")) == sorted(
        ["loud 1", *(f"loud {n}" for n in range(10, 20))]
    )
    assert "20/20" in seen[-2]


def test_the_child_of_a_fork_prints_as_if_there_were_no_row() -> None:
    status, got = on_terminal(
        f"""{HEAD}
with Executor("threads", max_workers=1) as executor:
    for outcome in executor.stream(square, range(2), progress=True):
        while sys.stderr is sys.__stderr__: time.sleep(0.001)
        pid = os.fork()
        if not pid:
            assert sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""
    )
    assert status == 0, got
    assert "2/2" in picture(got)[0]


def test_a_program_that_ends_too_early_leaves_a_whole_line() -> None:
    status, got = on_terminal(
        f"""{HEAD}
outcomes = Executor("threads", max_workers=1).stream(square, iter(range(10**9)), progress=True)
next(outcomes)
while sys.stderr is sys.__stderr__: time.sleep(0.001)
"""
    )
    assert status == 0, got
    row, last = picture(got)
    assert row.startswith("square")
    assert last == ""


def test_without_colours_or_letters_it_is_plain() -> None:
    status, got = on_terminal(
        f"""{HEAD}
okazja.map(square, range(3), backend="serial", progress=True)
""",
        NO_COLOR="1",
        PYTHONIOENCODING="ascii",
    )
    assert status == 0, got
    assert re.match(r"square #{5,} 3/3", picture(got)[0])
    assert "\x1b[3" not in got


def test_a_dumb_terminal_is_treated_like_a_file() -> None:
    status, got = on_terminal(
        f"""{HEAD}
okazja.map(square, range(3), backend="serial", progress=True)
""",
        TERM="dumb",
    )
    assert (status, got) == (0, "")


def test_a_terminal_that_goes_away_does_the_work_no_harm() -> None:
    program = f"""{HEAD}
with Executor("threads", max_workers=1) as executor:
    for outcome in executor.stream(square, range(6), ordered=True, progress=True):
        if outcome.index == 0:
            input()
        print(outcome.value)
assert sys.stderr is sys.__stderr__
print("the end", flush=True)
"""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(),
        text=True,
    ) as process:
        os.close(theirs)
        got = b""
        while b"/6" not in got:
            got += os.read(ours, 1 << 16)
        os.close(ours)
        printed, _ = process.communicate("go on\n", timeout=60)
    assert printed.splitlines() == ["0", "1", "4", "9", "16", "25", "the end"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_background_job_of_a_shell_does_not_draw() -> None:
    program = f"""{HEAD}
with Executor("threads", max_workers=1) as executor:
    for outcome in executor.stream(square, range(3), progress=True):
        while sys.stderr is sys.__stderr__: time.sleep(0.001)
"""
    pid, terminal = pty.fork()
    if not pid:
        os.environ.update(environment(PROGRAM=program))
        os.execvp("bash", ["bash", "-c", f'set -m; {sys.executable} -c "$PROGRAM" & wait; echo the end'])
    got = b""
    try:
        while data := os.read(terminal, 1 << 16):
            got += data
    except OSError:
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    assert b"the end" in got
    assert b"\x1b[2K" not in got
    assert b" 0/3" not in got
    assert got.count(b"3/3") == 1
