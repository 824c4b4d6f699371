"""Who writes: one run at a time, which may be killed at any moment and whose journal others read meanwhile."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest
from tests.faults.scripts import eventually, program, run
from tests.journal.passes import entries, one_pass, record_all, square

from okazja import Journal
from okazja.errors import JournalInUse
from okazja.journal import Recorder

WRITES = """
    import sys
    from okazja.journal import Recorder

    recorder = Recorder("journal.db", function="tests:square")
    print("open", flush=True)
    for base in range(0, 1_000_000, 37):
        items = list(range(base, base + 37))
        keys, known = recorder.look_up(base, items)
        new = [position for position, outcome in enumerate(known) if outcome is None]
        recorder.record(base, new, items, keys, [item * item for item in items], {{}}, {{}}, [0] * 37)
        if base % {flush} == 0:
            recorder.flush()
            print(base + 37, flush=True)
"""


@pytest.mark.parametrize("seed", range(30))
def test_a_writer_that_is_killed_loses_nothing_that_was_on_disk(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "journal.db"
    with program(tmp_path, WRITES.format(flush=37 * chance.choice([1, 5, 40]))) as running:
        told = 0
        for _ in range(chance.randrange(1, 6)):
            line = running.line()
            told = int(line) if line != "open" else told
        for _ in range(chance.randrange(0, 30_000)):  # somewhere in the next milliseconds
            pass
        running.kill()
        before = [entry.item for entry in entries(path)]
        assert before == list(range(len(before)))
        assert len(before) >= told
        with Journal(path) as journal:
            assert journal.status().running is None
            assert journal.status().done == len(before)
    again = one_pass(path, range(len(before) + 100))
    assert again.ran == list(range(len(before), len(before) + 100))
    assert [(entry.item, entry.value) for entry in entries(path)] == [
        (n, n * n) for n in range(len(before) + 100)
    ]


def test_a_writer_that_is_killed_while_it_makes_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(5):
        with program(tmp_path, WRITES.format(flush=37)) as running:
            assert eventually(path.exists)
            running.kill()
        if path.stat().st_size == 0 or not sqlite_tables(path):
            continue
        assert [entry.item for entry in entries(path)] == list(range(len(entries(path))))
        break
    one_pass(path, range(10))
    assert {entry.item for entry in entries(path)} >= set(range(10))


def sqlite_tables(path: Path) -> list[tuple[str]]:
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT name FROM sqlite_master").fetchall()
    finally:
        db.close()


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with program(tmp_path, WRITES.format(flush=37)) as running:
        assert running.line() == "open"
        with pytest.raises(
            JournalInUse, match=rf"is written by the process {running.process.pid}: wait for its end"
        ):
            Recorder(path, function="tests:square")
        running.process.send_signal(signal.SIGSTOP)
        with pytest.raises(JournalInUse):
            Recorder(path, function="tests:square")
        running.kill()
        Recorder(path, function="tests:square").close()


def test_of_two_writers_that_come_at_once_one_is_refused(tmp_path: Path) -> None:
    script = """
        import os, sys
        from okazja.errors import JournalInUse
        from okazja.journal import Recorder

        ready, go = os.pipe(), os.pipe()
        verdict = os.pipe()
        pids = []
        for _ in range(4):
            if not (pid := os.fork()):
                os.write(ready[1], b"x")
                os.read(go[0], 1)
                try:
                    recorder = Recorder("journal.db", function="tests:square")
                    os.write(verdict[1], b"y")
                    os.read(go[0], 1)
                    recorder.close()
                except JournalInUse:
                    os.write(verdict[1], b"n")
                os._exit(0)
            pids.append(pid)
        got = b""
        for _ in pids:
            os.read(ready[0], 1)
        os.write(go[1], b"xxxx")
        for _ in pids:
            got += os.read(verdict[0], 1)
        os.write(go[1], b"x")
        for pid in pids:
            os.waitpid(pid, 0)
        print(bytes(sorted(got)).decode())
    """
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        done = run(folder, script)
        assert done.stdout == "nnny\n", done.stderr


def test_a_writer_that_was_taken_over_says_so(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    db = sqlite3.connect(path)
    db.execute("INSERT INTO runs (pid, birth, host, started, updated) VALUES (1, 'x', 'elsewhere', 0, 0)")
    db.commit()
    db.close()
    record_all(recorder, range(10), square)
    with pytest.raises(JournalInUse, match="another process has taken over"):
        recorder.close()
    assert entries(path) == []


def test_what_is_recorded_can_be_read_meanwhile(path: Path) -> None:
    recorder = Recorder(path, function="tests:square", total=400)
    with Journal(path) as journal:
        assert list(journal) == []
        record_all(recorder, range(100), square)
        recorder.flush()
        assert len(list(journal)) == 100
        status = journal.status()
        assert (status.done, status.failed, status.total, status.running) == (100, 0, 400, os.getpid())
        assert status.rate > 0
        assert status.seconds_left == pytest.approx(300 / status.rate)
        half = iter(journal)
        assert [next(half).item for _ in range(50)] == list(range(50))
        keys, _ = recorder.look_up(100, list(range(100, 2000)))
        recorder.record(100, range(1900), range(100, 2000), keys, range(1900), {}, {}, [0] * 1900)
        recorder.close(whole=True)  # a reader in the middle doesn't hold it up
        assert [entry.item for entry in half] == list(range(50, 100))  # what was there when it began
        assert len(list(journal)) == 2000
        status = journal.status()
        assert (status.done, status.running, status.seconds_left) == (2000, None, None)
    assert one_pass(path, range(2000)).ran == []


def test_another_process_reads_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with program(tmp_path, WRITES.format(flush=37)) as running:
        assert running.line() == "open"
        with Journal(path) as journal:
            for _ in range(20):
                told = int(running.line())
                assert journal.status().done >= told
                assert journal.status().running == running.process.pid
                items = [entry.item for entry in journal]
                assert items == list(range(len(items)))
                assert len(items) >= told
        running.kill()


def test_recording_goes_on_while_rows_wait_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("okazja.journal.writer.MOST_ROWS", 10)
    monkeypatch.setattr("okazja.journal.writer.MOST_BYTES", 1000)
    assert len(one_pass(path, range(3000), lambda number: "x" * 2000, block=7).ran) == 3000
    assert len(entries(path)) == 3000


FORKS = """
    import gc, os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what this is about
    from okazja import Journal
    from okazja.journal import Recorder

    recorder = Recorder("journal.db", function="tests:square")
    keys, _ = recorder.look_up(0, [0, 1, 2, 3])
    recorder.record(0, [0, 1], [0, 1, 2, 3], keys, [0, 1, 4, 9], {}, {}, [0] * 4)
    pid = os.fork()
    if not pid:
        assert recorder.record(0, [2], [0, 1, 2, 3], keys, [0, 1, 4, 9], {}, {}, [0] * 4) == {}
        recorder.flush()
        recorder.check()
        recorder.close(whole=True)
        del recorder
        gc.collect()
        sys.exit(7)
    assert os.waitpid(pid, 0)[1] == 7 << 8
    recorder.record(0, [3], [0, 1, 2, 3], keys, [0, 1, 4, 9], {}, {}, [0] * 4)
    recorder.flush()
    with Journal("journal.db") as journal:
        assert journal.status().running == os.getpid()
    pid = os.fork()
    if not pid:
        sys.exit(8)  # with an open recorder
    assert os.waitpid(pid, 0)[1] == 8 << 8
    recorder.close(whole=True)
    with Journal("journal.db") as journal:
        print([entry.item for entry in journal], journal.status().running)
"""


def test_a_fork_writes_nothing_and_locks_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, FORKS)
    assert done.stdout == "[0, 1, 3] None\n", done.stderr
    assert done.stderr == ""


ENDS = """
    from okazja.journal import Recorder

    recorder = Recorder("journal.db", function="tests:square")
    keys, _ = recorder.look_up(0, [0, 1])
    recorder.record(0, [0, 1], [0, 1], keys, [0, 1], {}, {}, [0, 0])
"""


@pytest.mark.parametrize(
    "end", ["", "    raise SystemExit(0)\n", "    import threading; r = [recorder]; r.append(r)\n"]
)
def test_an_interpreter_that_ends_with_an_open_recorder_loses_nothing(tmp_path: Path, end: str) -> None:
    done = run(tmp_path, ENDS + end)
    assert (done.returncode, done.stderr) == (0, "")
    path = tmp_path / "journal.db"
    assert [entry.item for entry in entries(path)] == [0, 1]
    with Journal(path) as journal:
        assert journal.status().running is None
    assert not list(tmp_path.glob("journal.db-*"))
