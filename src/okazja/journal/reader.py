"""Reading a journal, from any process and at any time: what was recorded, and how far the work is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from okazja._transport import pickling
from okazja.errors import JournalError, NotRebuilt, describe
from okazja.journal import database, opening, owner
from okazja.journal.encoding import ABSENT, KEY, PICKLE, decode

__all__ = ["Entry", "Journal", "Pickled", "Status", "outcomes_in"]

_PAGE = 1_000  # rows that are read at once; no transaction lasts longer

_ENTRIES = (
    "SELECT id, position, item, item_form, key, occurrence, failed, value, form, error_type, error, traceback,"
    " attempts, seconds, finished FROM outcomes"
)
_PAGE_BY_POSITION = f"{_ENTRIES} WHERE (position, id) > (?, ?) AND id <= ? ORDER BY position, id LIMIT ?"
_PAGE_BY_ID = f"{_ENTRIES} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
_FAILURES = f"{_ENTRIES} WHERE failed ORDER BY id LIMIT ?"


@dataclass(frozen=True)
class Pickled:
    """A value that only unpickling would bring back, which can run any code: ``Journal(path, unpickle=True)``."""

    blob: bytes

    def __repr__(self) -> str:
        return f"<{len(self.blob):,} bytes, pickled: Journal(path, unpickle=True) unpickles them>"


@dataclass(frozen=True)
class Entry:
    """What a journal holds of one item.

    ``position``: in the input of the last run that met it. ``item``: the item, or what ``key=`` gave in its place.
    ``key``: what the database calls it. ``occurrence``: 0 for the first item of its kind in the input, 1 for the
    second. ``ok``: whether it succeeded; then ``value`` is what it returned. Else ``error_type``, ``error`` (its
    message) and ``traceback`` are texts, None where it succeeded. ``attempts``: how often it began. ``seconds``: that
    its last attempt took. ``finished``: when, in seconds since 1970.
    """

    position: int
    item: Any
    key: int | str | bytes
    occurrence: int
    ok: bool
    value: Any
    error_type: str | None
    error: str | None
    traceback: str | None
    attempts: int
    seconds: float
    finished: float


@dataclass(frozen=True)
class Status:
    """How far the work is.

    ``function``, ``version``: what the journal is of. ``total``: the number of items of the last run, None where its
    input had no known length. ``done``, ``failed``: outcomes in the journal. ``running``: the process that writes now,
    or None. ``started``, ``updated``: when the last run began and when it last wrote, in seconds since 1970. ``rate``:
    items that it ran, a second. ``seconds_left``: None where it is not running, or nothing can be said.
    """

    function: str
    version: str | None
    total: int | None
    done: int
    failed: int
    running: int | None
    started: float
    updated: float
    rate: float
    seconds_left: float | None


class Journal:
    """A journal, read only: also while it is written, by another process, or after its writer was killed.

    path: of the file. unpickle: bring back items and values that are neither JSON nor bytes; that can run any code, so
    only for a journal that you trust. Without it they are ``Pickled``.

    Raises JournalError where there is no such file, JournalDamaged where it is no journal. Iterating gives an ``Entry``
    for each item that is there when it begins, once, in order of position, from short reads: no writer is held up,
    and memory stays bounded (a bit an outcome). What a run moves to another position meanwhile may come out of order.
    """

    def __init__(self, path: str | os.PathLike[str], *, unpickle: bool = False) -> None:
        self.path: Path = database.as_path(path)
        if not self.path.exists():
            raise JournalError(
                f"there is no journal {self.path}: look at the path; a run with journal= makes it"
            )
        self._unpickle = unpickle
        self._db: sqlite3.Connection | None = None
        with database.errors_of(self.path):
            self._db = self._open()
        opening.check_format(self._db, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_db", None) is not None:
            self.close()

    def __repr__(self) -> str:
        return f"<okazja.Journal {str(self.path)!r}>"

    def close(self) -> None:
        """Nothing more is read. May be called more than once."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def __iter__(self) -> Iterator[Entry]:
        ((last,),) = self._select("SELECT coalesce(max(id), 0) FROM outcomes")  # or it might never catch up
        given = bytearray((last >> 3) + 1)  # a bit for each outcome
        position, row = -1, 0
        while rows := self._select(_PAGE_BY_POSITION, (position, row, last, _PAGE)):
            yield from self._not_given(rows, given)
            row, position = rows[-1][:2]
        if int.from_bytes(given, "little").bit_count() == last:
            return
        row = 0
        while rows := self._select(_PAGE_BY_ID, (row, last, _PAGE)):  # what was moved to where this had been
            yield from self._not_given(rows, given)
            row = rows[-1][0]

    def _not_given(self, rows: list[tuple[Any, ...]], given: bytearray) -> Iterator[Entry]:
        for found in rows:
            place, bit = found[0] >> 3, 1 << (found[0] & 7)
            if not given[place] & bit:
                given[place] |= bit
                yield self._entry(*found)

    def failures(self, most: int) -> list[Entry]:
        """Up to so many of the items that failed, those first that were recorded first."""
        return [self._entry(*found) for found in self._select(_FAILURES, (most,))]

    def status(self) -> Status:
        """How far the work is, in the time of a few reads, however long the journal is."""
        meta = dict(self._select("SELECT name, value FROM meta"))
        runs = self._select(
            "SELECT pid, birth, host, started, updated, ended, total, visited, recorded, done, failed FROM runs"
            " ORDER BY number DESC LIMIT 1"
        )
        if not runs or "function" not in meta:
            raise database.damaged(self.path, "no run ever began")
        pid, birth, host, started, updated, ended, total, visited, recorded, done, failed = runs[0]
        running = pid if ended is None and owner.is_alive(pid, birth, host) else None
        now = database.now() if running else updated
        rate = recorded / (now - started) if recorded and now > started else 0.0
        left = None
        if running and rate and total is not None:
            left = max(0, total - max(visited, done + failed)) / rate
        return Status(
            meta["function"], meta.get("version"), total, done, failed, running, started, updated, rate, left
        )

    # --- the database

    def _open(self) -> sqlite3.Connection:
        """A connection. Where nobody may write beside the file, it is read as if it could not change."""
        db = database.connect(self.path, read_only=True)
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
        except BaseException as error:
            db.close()
            if not isinstance(error, sqlite3.OperationalError) or Path(f"{self.path}-wal").exists():
                raise
            db = database.connect(self.path, read_only=True, immutable=True)
            try:
                db.execute("SELECT count(*) FROM sqlite_master")
            except BaseException:
                db.close()
                raise
        return db

    def _select(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self._db is None:
            raise JournalError(f"the journal {self.path} was closed: open it again")
        with database.errors_of(self.path):
            return self._db.execute(sql, values).fetchall()

    def _entry(
        self,
        _id: int,
        position: int,
        item: Any,
        item_form: int,
        key: Any,
        occurrence: int,
        failed: int,
        value: Any,
        form: int,
        *rest: Any,
    ) -> Entry:
        try:
            item = key if item_form == KEY else self._decode(item, item_form)
            value = None if failed else self._decode(value, form)
        except ValueError as error:
            raise database.damaged(
                self.path, f"the entry at position {position} can't be read: {error}"
            ) from error
        return Entry(position, item, key, occurrence, not failed, value, *rest)

    def _decode(self, stored: Any, form: int) -> Any:
        if form == ABSENT:
            return None
        found = decode(stored, form)
        if form != PICKLE:
            return found
        if not self._unpickle:
            return Pickled(found)
        try:
            return pickling.loads(found)
        except Exception as error:
            raise NotRebuilt(
                f"a value of the journal {self.path} can't be rebuilt: {describe(error)}. Make what it needs "
                f"importable, or read the journal without unpickle=True"
            ) from error


def outcomes_in(path: str | os.PathLike[str]) -> int | None:
    """How many outcomes the journal holds; None where there is none, or a kill came before anything was kept in it.

    Raises JournalDamaged for what is no journal.
    """
    file = database.as_path(path)
    if not file.exists() or file.stat().st_size == 0:
        return None
    with database.errors_of(file), closing(database.connect(file, read_only=True)) as db:
        if database.is_new(db):
            return None
    with Journal(file) as journal:
        status = journal.status()
        return status.done + status.failed
