"""Every task waits, and nobody is left who could end that: each is told, with a table. Else nobody is told anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("standstills.py")
SECONDS = 30  # it takes three


def lines_of(backend: str, name: str) -> list[str]:
    command = [sys.executable, str(SCRIPT), backend, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["queue", "full", "barrier", "condition"])
def test_all_are_told_who_waits_for_what(name: str) -> None:
    first, second, *story = lines_of("processes", name)
    assert first == second == "Deadlock"
    what = {"queue": "empty queue", "full": "full queue"}.get(name, name.title())
    table = [line for line in story if line.startswith("  worker ")]
    assert len(table) == 2
    assert all(what in line for line in table)


def test_what_has_not_begun_is_named_and_begins() -> None:
    *told, story = " ".join(lines_of("processes", "starved")).split(maxsplit=3)
    assert told == ["Deadlock", "Deadlock", "NoneType"]
    assert "1 more have not begun: there are 2 workers" in story


def test_the_owner_of_a_lock_is_named() -> None:
    told, *story = lines_of("processes", "lock")
    assert told == "Deadlock"
    assert any("acquire of Lock" in line and "which thread MainThread" in line for line in story)


def test_a_thread_of_the_parent_may_be_one_of_them() -> None:
    told, *story = lines_of("processes", "parent")
    assert told == "Deadlock"
    assert any(line.startswith("  thread MainThread") for line in story)


def test_what_the_dead_may_have_had_does_not_hide_it() -> None:
    assert lines_of("processes", "doubt")[0] == "Deadlock"


@pytest.mark.parametrize("name", ["end", "stream", "join"])
def test_waiting_for_the_tasks_in_another_way_ends_as_well(name: str) -> None:
    assert lines_of("processes", name)[0] == "Deadlock"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["thread", "handler", "process", "limited", "limited-task", "task-thread", "task-child", "task-handler"],
)
def test_as_long_as_somebody_may_act_nobody_is_told(name: str) -> None:
    assert "Deadlock" not in lines_of("processes", name)


@pytest.mark.parametrize(
    "name",
    ["queue", "full", "barrier", "condition", "starved", "lock", "end", "parent", "stream", "join"],
)
def test_on_threads_all_are_told_as_well(name: str) -> None:
    told, *rest = lines_of("threads", name)
    assert told == "Deadlock"
    assert any("every thread of this process waits" in line for line in rest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["thread", "handler", "limited", "limited-task", "task-thread"])
def test_on_threads_as_long_as_somebody_may_act_nobody_is_told(name: str) -> None:
    assert "Deadlock" not in lines_of("threads", name)
