"""No room left: a clear error, what was recorded is whole, and the run goes on once there is room."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.scripts import run
from tests.journal.passes import entries, one_pass, record_all

from okazja.errors import JournalFull
from okazja.journal import Recorder


def large(number: int) -> str:
    return f"{number}" * 1000


def record_fifty(recorder: Recorder, start: int) -> None:
    items = [*range(start, start + 50)]
    keys, known = recorder.look_up(start, items)
    assert known == [None] * 50
    recorder.record(start, range(50), items, keys, [large(start)] * 50, {}, {}, [0] * 50)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount; the limit on file sizes is tested by another test")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "journal.db"
    recorder = Recorder(path, function="tests:square")
    kept = 0

    def record_until_full() -> None:
        nonlocal kept
        while True:
            record_fifty(recorder, kept)
            recorder.flush()
            kept += 50

    with pytest.raises(JournalFull, match=r"no room is left for the journal.*make room") as caught:
        record_until_full()
    assert caught.value.errno == errno.ENOSPC
    assert isinstance(caught.value, OSError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(JournalFull):
        recorder.check()
    record_fifty(recorder, kept + 50)  # does not hang
    with pytest.raises(JournalFull):
        recorder.close(whole=True)
    assert [entry.item for entry in entries(path)] == list(range(kept))

    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = one_pass(path, range(kept + 100), large)
    assert again.ran == list(range(kept, kept + 100))
    assert [entry.item for entry in entries(path)] == list(range(kept + 100))


def test_no_room_for_a_new_journal(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes((1 << 20) - 8192))
    with pytest.raises(JournalFull, match="make room"):
        Recorder(small_disk / "journal.db", function="tests:square")


LIMITED = """
    import resource, signal, sys
    from pathlib import Path
    from tests.journal.passes import record_all
    from okazja.errors import JournalError
    from okazja.journal import Recorder

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recorder = Recorder("journal.db", function="tests:square")
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    try:
        record_all(recorder, range(5_000), lambda number: f"{number}" * 1000)
        recorder.close()
    except JournalError as error:
        print(type(error).__name__, error)
"""


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    done = run(tmp_path, LIMITED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Journal")
    assert "quota" in done.stdout or "make room" in done.stdout
    path = tmp_path / "journal.db"
    recorder = Recorder(path, function="tests:square")
    course = record_all(recorder, range(5_000), large)
    recorder.close()
    assert len(course.ran) + len(course.known) == 5_000
    assert [entry.item for entry in entries(path)] == list(range(5_000))
