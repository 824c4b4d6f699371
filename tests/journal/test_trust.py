"""A journal that came from elsewhere is never unpickled unless told to."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.journal.passes import entries, one_pass

from okazja import Journal
from okazja.errors import JournalUntrusted, NotRebuilt
from okazja.journal import Pickled, Recorder

opened: list[str] = []


def spring() -> None:
    opened.append("unpickled")


class Trap:
    """Says when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return spring, ()


def pair(number: int) -> tuple[int, int]:
    return number, number * number


@pytest.fixture(autouse=True)
def closed() -> None:
    opened.clear()


def test_this_users_journal_is_unpickled(path: Path, state: Path) -> None:
    one_pass(path, range(3), pair)
    again = one_pass(path, range(3), pair)
    assert [known.value for _, known in again.known] == [(0, 0), (1, 1), (2, 4)]
    key = state / "okazja" / "journal.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert [*key.parent.iterdir()] == [key]


def elsewhere(state: Path) -> None:
    """As if on another machine."""
    shutil.rmtree(state / "okazja")


def test_a_journal_from_elsewhere_is_refused_before_work_starts(path: Path, state: Path) -> None:
    one_pass(path, range(3), lambda number: Trap())
    elsewhere(state)
    with pytest.raises(JournalUntrusted, match=r"pass trust=True if you know who made it"):
        Recorder(path, function="tests:square")
    assert opened == []
    one_pass(path, range(3), lambda number: Trap(), trust=True)
    assert opened == ["unpickled"] * 3


def test_a_journal_from_elsewhere_without_pickles_needs_no_trust(path: Path, state: Path) -> None:
    one_pass(path, range(3))
    elsewhere(state)
    assert one_pass(path, range(4)).ran == [3]


FORGERIES = [
    "UPDATE outcomes SET value = ?, form = 2, mac = NULL WHERE key = 1",
    "UPDATE outcomes SET value = ?, form = 2, mac = x'00' WHERE key = 1",
    "UPDATE outcomes SET value = ?, form = 2, mac = 'text' WHERE key = 1",
    "UPDATE outcomes SET value = ?, form = 2, mac = (SELECT mac FROM outcomes WHERE key = 2) WHERE key = 1",
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_pickle_that_was_put_in_is_not_unpickled(path: Path, forgery: str) -> None:
    one_pass(path, range(3), pair)
    db = sqlite3.connect(path)
    db.execute(forgery, (pickle.dumps(Trap()),))
    db.commit()
    db.close()
    with pytest.raises(JournalUntrusted):
        one_pass(path, range(3), pair)
    assert opened == []


def test_a_signed_pickle_holds_in_its_own_place_only(path: Path, tmp_path: Path) -> None:
    one_pass(path, [1, 2, "1"], lambda item: (item,))
    db = sqlite3.connect(path)
    db.execute(
        "UPDATE outcomes SET (value, mac) = (SELECT value, mac FROM outcomes WHERE key = 2) WHERE key = 1"
    )
    db.commit()
    db.close()
    with pytest.raises(JournalUntrusted):
        one_pass(path, [1], lambda item: (item,))
    other = tmp_path / "other.db"
    one_pass(other, [2], lambda item: (item,))
    db = sqlite3.connect(other)
    db.execute("ATTACH ? AS first", (str(path),))
    db.execute(
        "UPDATE outcomes SET (value, mac) = (SELECT value, mac FROM first.outcomes WHERE key = 2) WHERE key = 2"
    )
    db.commit()
    db.close()
    with pytest.raises(JournalUntrusted):
        one_pass(other, [2], lambda item: (item,))


def test_reading_never_unpickles_unless_told_to(path: Path) -> None:
    one_pass(path, [1, Trap()], lambda item: Trap())
    opened.clear()
    read = entries(path)
    assert opened == []
    assert isinstance(read[0].value, Pickled)
    assert isinstance(read[1].item, Pickled)
    assert "bytes, pickled: Journal(path, unpickle=True) unpickles them" in repr(read[0].value)
    entries(path, unpickle=True)
    assert opened == ["unpickled"] * 3


@pytest.mark.parametrize("spoil", [lambda key: key.chmod(0o644), lambda key: key.write_bytes(b"short")])
def test_a_key_that_others_know_is_not_used(path: Path, state: Path, spoil: Any) -> None:
    one_pass(path, range(2), pair)
    spoil(state / "okazja" / "journal.key")
    with pytest.raises(JournalUntrusted):
        one_pass(path, range(2), pair)
    assert one_pass(path, range(2), pair, trust=True).ran == []


def test_without_a_place_for_the_key_values_are_not_signed(
    path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    one_pass(path, range(2), pair)
    with pytest.raises(JournalUntrusted, match=r"or no key could be kept"):
        one_pass(path, range(2), pair)
    assert one_pass(path, range(2), pair, trust=True).ran == []


def test_a_value_that_can_no_longer_be_rebuilt_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        pass

    Lost.__qualname__ = "Lost"
    monkeypatch.setitem(globals(), "Lost", Lost)
    one_pass(path, [1], lambda item: Lost())
    monkeypatch.delitem(globals(), "Lost")
    with pytest.raises(NotRebuilt, match=r"the value at position 0 of the journal .* can't be rebuilt"):
        one_pass(path, [1])
    with (
        Journal(path, unpickle=True) as journal,
        pytest.raises(NotRebuilt, match=r"or read the journal without"),
    ):
        list(journal)


def test_two_processes_make_one_key(path: Path, state: Path) -> None:
    pids = []
    for number in range(8):
        if not (pid := os.fork()):
            one_pass(path.with_name(f"{number}.db"), range(2), pair)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
    for number in range(8):
        assert one_pass(path.with_name(f"{number}.db"), range(2), pair).ran == []
    assert len([*(state / "okazja").iterdir()]) == 1
