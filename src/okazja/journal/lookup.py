"""What the journal knows of items before they run."""

from __future__ import annotations

import operator
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from okazja._core.known import Known
from okazja._transport import pickling
from okazja.errors import BadInput, JournalError, NotRebuilt, RecordedFailure, describe
from okazja.journal import database
from okazja.journal.encoding import INT64, PICKLE, decode
from okazja.journal.keys import Key, row_key
from okazja.journal.opening import Opened, untrusted
from okazja.journal.visits import Visits

__all__ = ["BLOCK", "Found", "Lookup", "Named"]

BLOCK = 512  # items that are looked up at once, at most
_FIRST = 16  # in the first look-up, when nobody knows yet how large values are
_BYTES = 1 << 20  # of values, after which a look-up ends; the next takes fewer items
_SMALL = 1 << 12  # characters or bytes of a value that is fetched with the rest of its row

_COLUMNS = (
    f"id, position, failed, CASE WHEN length(value) <= {_SMALL} THEN value END, length(value), form, mac, error_type,"
    " error, traceback, attempts, seconds"
)


class Named(NamedTuple):
    """What the journal calls an item where its key alone does not say it all."""

    key: Key
    occurrence: int
    replaces: bool  # an earlier failure
    name: Any  # what the key function gave
    named: bool  # there is a key function


@dataclass(slots=True)
class Found:
    """What one look-up has found."""

    keys: list[Key | Named]
    known: list[Known | None]
    moved: list[tuple[int, int]]  # new positions of old outcomes, by their ids
    visited: int  # items that are known


class _Row(NamedTuple):
    id: int
    position: int
    failed: int
    value: Any  # None where it is large
    size: int | None  # of the value, None where there is none
    form: int
    mac: Any
    error_type: str
    error: str
    traceback: str
    attempts: int
    seconds: float


class Lookup:
    """Reads the journal through a connection of its own. Used by one thread at a time."""

    def __init__(self, path: Path, opened: Opened, *, retry_failed: bool, trust: bool) -> None:
        self._path = path
        self._opened = opened
        self._retry_failed = retry_failed
        self._trust = trust
        self._highest = -INT64 - 1 if opened.highest is None else opened.highest
        self._db: sqlite3.Connection | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()  # a look-up may go on in another thread than the one that closes
        self._closed = False
        self.visits = Visits(opened.last)
        self.block = _FIRST  # items that the next look-up should take

    def find(self, base: int, items: list[Any], name_of: Callable[[Any], Any] | None) -> Found:
        """Keys and known outcomes of consecutive items, the first of which has position ``base``.

        Raises what naming the first item raises; where a later one can't be named, the answer ends before it. It also
        ends where the values found come to more than ``_BYTES``.
        """
        if name_of is None and self._all_new(items):
            self.visits.take_off(items)
            self._adapt(0)
            return Found(items.copy(), [None] * len(items), [], 0)
        names, keys = _named(base, items, name_of)
        with database.errors_of(self._path):
            return self._find(base, names, keys, name_of is not None)

    def close(self) -> None:
        """Nothing more is looked up. In a fork of the owner the connection is the owner's, and stays."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._closed = True
            if self._db is not None:
                self._db.close()

    def _all_new(self, items: list[Any]) -> bool:
        """Whether these are ascending ints, all above any that was met or recorded: no need to look."""
        ints = set(map(type, items)) == {int} and items[0] > self._highest and items[-1] < INT64
        if ints and all(map(operator.lt, items, items[1:])):
            self._highest = items[-1]
            return True
        met = [item for item in items if type(item) is int and self._highest < item < INT64]
        self._highest = max(met, default=self._highest)
        return False

    def _find(self, base: int, names: list[Any], keys: list[Key], named: bool) -> Found:
        flying = self.visits.in_flight(
            keys
        )  # before the database is asked: what lands in between is seen there
        rows = self._first_rows(keys)
        visits = self.visits
        found = Found([], [], [], 0)
        size = 0
        for position, (name, key) in enumerate(zip(names, keys, strict=True), base):
            if size > _BYTES:
                break
            first = rows.get(key)
            repeats = key in flying or (first is not None and visits.is_met(first.id))
            occurrence = visits.next_of(key, flying, self._id_of) if repeats else 0
            row = self._row_of(key, occurrence, first)
            if row is None or key in flying:
                flying[key] = occurrence
            if row is None or repeats:
                visits.give(key, occurrence, new=row is None)
            known = None
            if row is not None:
                visits.mark(row.id)
                if not row.failed or not self._retry_failed:
                    known = self._known(key, occurrence, row)
                    size += known.size
                    found.visited += 1
                    if row.position != position:
                        found.moved.append((position, row.id))
            replaces = row is not None and known is None
            plain = not (occurrence or replaces or named)
            found.keys.append(key if plain else Named(key, occurrence, replaces, name, named))
            found.known.append(known)
        self._adapt(size)
        return found

    def _adapt(self, size: int) -> None:
        """Large values are held for as few items as possible."""
        if size > _BYTES:
            self.block = max(1, self.block // 2)
        elif size < _BYTES // 4:
            self.block = min(BLOCK, self.block * 2)

    # --- the database

    def _select(self, columns: str, where: str, values: Sequence[Any]) -> list[Any]:
        with self._lock:
            if self._closed:
                raise JournalError(f"the journal {self._path} was closed: nothing more can be looked up")
            if self._db is None:
                self._db = database.connect(self._path, read_only=True)
            sql = f"SELECT {columns} FROM outcomes WHERE {where}"  # noqa: S608  (texts of this module)
            return self._db.execute(sql, values).fetchall()

    def _first_rows(self, keys: list[Key]) -> dict[Key, _Row]:
        """The outcomes of the first occurrences of keys."""
        unique: list[Key | None] = [*dict.fromkeys(keys)]
        room = 1 << max(len(unique) - 1, 0).bit_length()  # few lengths, so that few statements are prepared
        unique += [None] * (room - len(unique))
        marks = ",".join("?" * room)
        rows = self._select(f"key, {_COLUMNS}", f"occurrence = 0 AND key IN ({marks})", unique)
        return {row[0]: _Row._make(row[1:]) for row in rows}

    def _row_of(self, key: Key, occurrence: int, first: _Row | None) -> _Row | None:
        """The outcome of an earlier run, if there is one."""
        if not occurrence:
            return first
        if not self._opened.last:
            return None
        found = self._select(_COLUMNS, "key = ? AND occurrence = ?", (key, occurrence))
        return _Row._make(found[0]) if found else None

    def _id_of(self, key: Key, occurrence: int) -> int | None:
        found = self._select("id", "key = ? AND occurrence = ?", (key, occurrence))
        return int(found[0][0]) if found else None

    def _known(self, key: Key, occurrence: int, row: _Row) -> Known:
        if type(row.attempts) is not int or not isinstance(row.seconds, int | float):
            raise database.damaged(self._path, f"the outcome at position {row.position} has no sound figures")
        if row.failed:
            error = RecordedFailure(row.error_type, row.error, row.traceback)
            return Known(None, error, row.attempts, row.seconds)
        if row.value is None and row.size is not None:
            ((value,),) = self._select("value", "id = ?", (row.id,))
            row = row._replace(value=value)
        try:
            value = decode(row.value, row.form)
        except ValueError as error:
            raise database.damaged(
                self._path, f"the value at position {row.position} can't be read: {error}"
            ) from error
        if row.form == PICKLE:
            value = self._unpickled(key, occurrence, row)
        size = row.size if isinstance(row.value, str | bytes) else 0
        return Known(value, None, row.attempts, row.seconds, size or 0)

    def _unpickled(self, key: Key, occurrence: int, row: _Row) -> Any:
        if not self._trust and not self._opened.signer.verify(key, occurrence, row.value, row.mac):
            raise untrusted(self._path)
        try:
            return pickling.loads(row.value)
        except Exception as error:
            raise NotRebuilt(
                f"the value at position {row.position} of the journal {self._path} can't be rebuilt: "
                f"{describe(error)}. Make what it needs importable, or name another path"
            ) from error


def _named(base: int, items: list[Any], name_of: Callable[[Any], Any] | None) -> tuple[list[Any], list[Key]]:
    """What items are called, up to the first that can't be, and their keys."""
    names: list[Any] = []
    keys: list[Key] = []
    for position, item in enumerate(items, base):
        try:
            name = item if name_of is None else name_of(item)
            key = row_key(name)
        except Exception as error:
            if not keys:
                raise _nameless(position, item, name_of, error) from error
            break
        names.append(name)
        keys.append(key)
    return names, keys


def _nameless(position: int, item: Any, name_of: Callable[[Any], Any] | None, error: Exception) -> BadInput:
    where = f"the item at position {position}, of type {type(item).__qualname__}"
    if name_of is None:
        return BadInput(
            f"{where}, has no name in the journal, because it can't be pickled by reference ({describe(error)}): pass "
            f"key=, a function that gives a number or a text for each item"
        )
    function = getattr(name_of, "__qualname__", type(name_of).__qualname__)
    return BadInput(
        f"the key function {function} gave no name for {where} ({describe(error)}): have it give a number or a text "
        f"for each item"
    )
