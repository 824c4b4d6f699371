"""`okazja run` with a journal is killed, or finds no room, and goes on: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.faults.scripts import environment, eventually, is_gone

from okazja import Journal

ITEMS = 20_000
KILLS = 50
SOURCE = """
import time

def quick(n):
    time.sleep(0.0005)
    if n % 1000 == 999:
        raise ValueError(f"{n} is one of them")
    return {"n": n, "text": "ü" * (n % 7), "parts": [n / 3, None]} if n % 3 else (n, str(n))

def large(n):
    return f"{n:05}" * 200
"""
Okazja = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def okazja(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Okazja]:
    """Starts commands in a folder with the functions above, in sessions of their own."""
    (tmp_path / "job.py").write_text(SOURCE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "okazja", "run", *arguments]
        started.append(
            subprocess.Popen(
                command,
                env=environment(),
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                **options,  # type: ignore[call-overload]
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Its grandchildren: the zygote's children."""
    try:
        zygotes = psutil.Process(process.pid).children()
        return [worker for zygote in zygotes for worker in zygote.children()]
    except psutil.NoSuchProcess:
        return []


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass


def kill_somewhere(process: subprocess.Popen[str], how: str, chance: random.Random) -> list[psutil.Process]:
    """At a random moment: in one of five cases anywhere, else while workers work. Returns who has to be gone."""
    if chance.random() > 0.2:
        eventually(lambda: process.poll() is not None or workers_of(process))
    time.sleep(chance.uniform(0, 0.3))  # the moment itself is what is tried, nothing waits for it
    family = workers_of(process)
    if how != "parent":
        kill_all(family)
    if how == "workers":
        time.sleep(chance.uniform(0, 0.1))
        family += workers_of(process)
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    process.communicate(timeout=30)
    return family


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_nothing_in_the_end(okazja: Okazja, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    arguments = ["job.py:quick", "--over", f"1..{ITEMS}", "--workers", "2", "--retries", "3"]
    unbroken = okazja(*arguments, "--out", "unbroken.jsonl")
    _, error = unbroken.communicate(timeout=60)
    assert unbroken.returncode == 1, error

    broken = [*arguments, "--out", "broken.jsonl", "--journal", "job.db"]
    journal = tmp_path / "job.db"
    for number in range(KILLS):
        how = ("parent", "workers", "both")[number % 3]
        process = okazja(*broken, *(["--resume"] if has_begun(journal) else []))
        family = kill_somewhere(process, how, chance)
        assert eventually(lambda: all(map(is_gone, family)), 5), f"seed {seed}, kill {number} of {how}"  # noqa: B023
    last = okazja(*broken, "--resume")
    _, error = last.communicate(timeout=60)
    assert last.returncode == 1, f"seed {seed}: {error}"
    assert (tmp_path / "broken.jsonl").read_bytes() == (tmp_path / "unbroken.jsonl").read_bytes(), (
        f"seed {seed}"
    )
    with Journal(journal) as kept:
        assert [entry.item for entry in kept] == list(range(1, ITEMS + 1)), f"seed {seed}"
        assert (kept.status().done, kept.status().failed) == (ITEMS - 20, 20)


def has_begun(journal: Path) -> bool:
    """Whether there is something to go on with: a kill may come before the journal is made."""
    from okazja.journal import outcomes_in

    return outcomes_in(journal) is not None


def going_on(error: str) -> str:
    found = re.search(r"^To go on:\n  (.*)$", error, re.MULTILINE)
    assert found is not None, error
    return found[1]


def check_it_goes_on(okazja: Okazja, tmp_path: Path, error: str, out: Path) -> None:
    """With the printed command, to the bytes of an unbroken run."""
    command = going_on(error)
    done = subprocess.run(
        command,
        shell=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    unbroken = okazja("job.py:large", "--over", "1..5000", "--out", "unbroken.csv")
    unbroken.communicate(timeout=60)
    assert out.read_bytes() == (tmp_path / "unbroken.csv").read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount; a limit on the size of files is tested by another test")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("full", ["journal", "out"])
def test_a_full_disk_is_said_and_the_run_goes_on_after_room_is_made(
    okazja: Okazja, tmp_path: Path, small_disk: Path, full: str
) -> None:
    journal = (small_disk if full == "journal" else tmp_path) / "job.db"
    out = (small_disk if full == "out" else tmp_path) / "out.csv"
    process = okazja("job.py:large", "--over", "1..5000", "--journal", str(journal), "--out", str(out))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert ("no room is left for the journal" if full == "journal" else "No space left on device") in error
    assert "make room" in error
    assert "Traceback" not in error
    assert not out.exists()
    assert [file.name for file in out.parent.glob(".out*")] == []
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    check_it_goes_on(okazja, tmp_path, error, out)


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))


def test_a_limit_on_the_size_of_files_is_said_and_the_run_goes_on_without_it(
    okazja: Okazja, tmp_path: Path
) -> None:
    arguments = ["job.py:large", "--over", "1..5000", "--journal", "job.db", "--out", "out.csv"]
    process = okazja(*arguments, preexec_fn=limit_files)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a limit on the size of files" in error or "File too large" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out.csv").exists()
    check_it_goes_on(okazja, tmp_path, error, tmp_path / "out.csv")
