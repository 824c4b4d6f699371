"""A file that is no journal, or no whole one: an error that says so and what to do, before any work starts."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.journal.passes import entries, one_pass

from okazja import Journal
from okazja.errors import BadInput, JournalDamaged, JournalError
from okazja.journal import Recorder

REMEDY = "restore it from a copy, or name another path"


def open_recorder(path: Any) -> None:
    Recorder(path, function="tests:square").close()


def refused(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(JournalDamaged, match=REMEDY):
        open_recorder(path)
    with pytest.raises(JournalDamaged, match=REMEDY):
        entries(path)
    assert path.read_bytes() == before


def test_a_text_file(path: Path) -> None:
    path.write_text("results of last week\n" * 1000)
    refused(path)


def test_a_short_text_file(path: Path) -> None:
    path.write_text("notes")
    refused(path)


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.touch()
    assert one_pass(path, range(3)).ran == [0, 1, 2]
    assert len(entries(path)) == 3


def test_reading_an_empty_file(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalDamaged):
        Journal(path)


def test_a_database_of_another_program(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE songs (title)")
    db.close()
    refused(path)


def test_an_unknown_format(path: Path) -> None:
    one_pass(path, range(3))
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalDamaged, match="its format is 99, this okazja reads 1"):
        open_recorder(path)
    with pytest.raises(JournalDamaged, match="its format is 99"):
        Journal(path)


def test_a_table_that_is_missing(path: Path) -> None:
    one_pass(path, range(3))
    db = sqlite3.connect(path)
    db.execute("DROP TABLE runs")
    db.close()
    with pytest.raises(JournalDamaged, match="no such table"):
        open_recorder(path)
    with Journal(path) as journal, pytest.raises(JournalDamaged, match="no such table"):
        journal.status()


@pytest.mark.parametrize("part", [0.2, 0.5, 0.99])
def test_a_file_that_was_cut_off(path: Path, part: float) -> None:
    one_pass(path, range(5000))
    os.truncate(path, int(path.stat().st_size * part))
    with pytest.raises(JournalDamaged, match=REMEDY):
        open_recorder(path)


@pytest.mark.parametrize("page", range(1, 40, 3))
def test_a_file_that_was_overwritten_in_the_middle(path: Path, page: int) -> None:
    one_pass(path, range(5000))
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))
    with pytest.raises(JournalDamaged, match=REMEDY):
        open_recorder(path)


@pytest.mark.parametrize("value", ["{", b"bytes where text should be"])
def test_a_value_that_was_overwritten(path: Path, value: Any) -> None:
    one_pass(path, range(3), str)
    db = sqlite3.connect(path)
    db.execute("UPDATE outcomes SET value = ?, form = 0 WHERE key = 1", (value,))
    db.execute("UPDATE outcomes SET form = 7 WHERE key = 1 AND typeof(value) = 'blob'")
    db.commit()
    db.close()
    with pytest.raises(JournalDamaged, match="position 1"):
        one_pass(path, range(3), str)
    with pytest.raises(JournalDamaged, match="position 1"):
        entries(path)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is a directory: name a file in it"):
        open_recorder(tmp_path)
    with pytest.raises(JournalError, match="is a directory"):
        Journal(tmp_path)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no directory"):
        open_recorder(tmp_path / "runs" / "journal.db")


def test_reading_a_journal_that_is_not_there(path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        Journal(path)
    assert not path.exists()


@pytest.mark.parametrize("given", ["", 3, None, "a\0b"])
def test_what_is_no_path(given: Any) -> None:
    with pytest.raises(BadInput, match="journal must be the path of a file"):
        open_recorder(given)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where root can't write")
def test_a_folder_where_nothing_can_be_written() -> None:
    with pytest.raises(JournalError, match="can't be opened or written"):
        open_recorder("/proc/self/journal.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_be_read(path: Path) -> None:
    one_pass(path, range(3))
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert len(entries(path)) == 3
        with pytest.raises(JournalError, match="can't be opened or written"):
            open_recorder(path)
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("name", ["a b?c#d%20.db", ":memory:", "ä\udcff.db"])
def test_names_with_odd_characters(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    one_pass(path, range(3))
    assert one_pass(path, range(3)).ran == []
    assert len(entries(path)) == 3
    assert [os.fsencode(file.name) for file in tmp_path.iterdir()] == [os.fsencode(name)]


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one_pass(Path("journal.db"), range(3))
    assert len(entries(Path("journal.db"))) == 3
