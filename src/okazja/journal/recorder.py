"""What an engine has of a journal: it is asked about items before they run, and told their outcomes.

items ──look_up──→ Lookup (reads; knows which occurrence of an item this is)
outcomes ──record──→ rows, encoded at once ──put──→ Writer (a thread: transactions)
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from okazja._core.failure import texts_of
from okazja._core.known import Known
from okazja.errors import BadInput, TaskTypeError
from okazja.journal import database, opening
from okazja.journal.encoding import ABSENT, INT64, JSON, KEY, PICKLE, encode
from okazja.journal.keys import Key
from okazja.journal.lookup import BLOCK, Lookup, Named
from okazja.journal.writer import Rows, Writer

__all__ = ["Recorder"]

_SMALL = 1_000  # bytes; what is larger counts against the bytes that may wait for the disk


class Recorder:
    """One run's view of a journal. It is made, or found fit, before any item runs.

    path: of the journal. function: the name that it is known by. version: of the function, a text or None. key: gives
    what an item is called, in place of the item itself. retry_failed: items that failed in an earlier run run again,
    else they come back as ``RecordedFailure``. trust: unpickle values although nothing says that this user made them.
    total: number of items, None where it is not known.

    Raises BadInput, TaskTypeError or a JournalError. In a fork of its process it does nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        function: str,
        version: str | None = None,
        key: Callable[[Any], Any] | None = None,
        retry_failed: bool = True,
        trust: bool = False,
        total: int | None = None,
    ) -> None:
        if version is not None and not isinstance(version, str):
            raise TaskTypeError(
                f"version must be a text or None, got {version!r}, for the function {function!r}"
            )
        if key is not None and not callable(key):
            raise TaskTypeError(f"key must be a function of one item or None, got {key!r}")
        if function.endswith("<lambda>") and version is None:
            raise BadInput(
                f"the journal would know {function!r} by a name that all lambdas share: make it a def, or pass version="
            )
        self.path: Path = database.as_path(path)
        self._owner = os.getpid()
        self._key = key
        identity = opening.Identity(function, version, key is not None)
        opened = opening.open_run(self.path, identity, total, trust=trust)
        release = _Release(opened.journal)
        try:
            self._signer = opened.signer
            self._lookup = Lookup(self.path, opened, retry_failed=retry_failed, trust=trust)
            self._writer = Writer(
                self.path, opened.run, opened.signer.name, self._lookup.visits.land, release
            )
        except BaseException:  # no thread can be started: the journal is free again
            release()
            raise
        # A recorder that is dropped, or still open when the interpreter ends, loses nothing.
        self._end = weakref.finalize(self, self._writer.close)

    @property
    def block(self) -> int:
        """How many items the next look-up should take at most, so that what it finds is not too large."""
        return self._lookup.block

    def look_up(self, base: int, items: list[Any]) -> tuple[list[Any], list[Known | None]]:
        """The keys of consecutive items, which begin with the item ``base`` of the input, and what is known of each.

        Where an item can't be named, the answer ends before it, and the first one raises BadInput; it ends early
        where the known values are large, too, so ask again for the rest. Raises JournalUntrusted, JournalDamaged or
        NotRebuilt for outcomes that can't be read. By one thread at a time.
        """
        keys: list[Any] = []
        known: list[Known | None] = []
        for start in range(0, len(items), BLOCK):
            part = items[start : start + BLOCK]
            found = self._lookup.find(base + start, part, self._key)
            keys += found.keys
            known += found.known
            if found.visited and os.getpid() == self._owner:
                self._writer.put(Rows(moved=found.moved, visited=found.visited))
            if len(found.keys) < len(part):
                break
        return keys, known

    def record(
        self,
        base: int,
        positions: Sequence[int],
        items: Sequence[Any],
        keys: Sequence[Any] | None,
        values: Sequence[Any],
        errors: Mapping[int, BaseException],
        attempts: Mapping[int, int],
        times: Sequence[int],
    ) -> dict[int, BaseException]:
        """Items have their final outcome. Returns errors for values that can't be kept: these items fail with them.

        Positions are those in the chunk, which begins with item ``base`` of the input. attempts: beyond the first.
        times: of the last attempt, in ns. Values are encoded before this returns. Waits while the disk can't follow.
        """
        if os.getpid() != self._owner:
            return {}
        assert keys is not None
        batch = _Encoding(self._signer.sign)
        for position in positions:
            key = keys[position]
            named = key if type(key) is Named else None
            place = (key, 0) if named is None else (named.key, named.occurrence)
            if named is None or not named.replaces:
                batch.landed.append(place[0])
            else:
                batch.rows.replaced += 1
            name = items[position] if named is None or not named.named else named.name
            course = 1 + attempts.get(position, 0), times[position] / 1e9
            if position in errors:
                batch.add_failed(place, base + position, name, errors[position], course)
            else:
                batch.add(place, base + position, position, name, values[position], course)
        batch.rows.landed = batch.landed
        self._writer.put(batch.rows)
        return batch.unkept

    def forget(self, keys: Sequence[Any] | None, positions: Iterable[int]) -> None:
        """Items have no outcome to be kept: they were cut short, or never began."""
        if keys is not None and os.getpid() == self._owner:
            names = [keys[position] for position in positions]
            self._lookup.visits.land(
                key.key if type(key) is Named else key
                for key in names
                if type(key) is not Named or not key.replaces
            )

    def check(self) -> None:
        """Raise the writer's error, if it has failed."""
        if self._writer.error is not None:
            raise self._writer.error

    def flush(self) -> None:
        """Wait until all that was recorded is on disk. Raises the writer's error."""
        if os.getpid() == self._owner:
            self._writer.flush()
            self.check()

    def close(self, whole: bool = False) -> None:
        """End the run: all that was recorded is on disk when this returns. ``whole``: so is every item of the input.

        Raises the writer's error. May be called more than once.
        """
        if os.getpid() != self._owner:
            return
        self._lookup.close()
        self._writer.close(whole)
        self._end.detach()
        self.check()


class _Release:
    """Called when the writer has ended. Holds no recorder."""

    def __init__(self, journal: bytes) -> None:
        self._journal = journal

    def __call__(self) -> None:
        opening.release(self._journal)


class _Encoding:
    """Rows in the making."""

    def __init__(self, sign: Callable[[Key, int, bytes], bytes | None]) -> None:
        self._sign = sign
        self._now = database.now()
        self.rows = Rows()
        self.landed: list[Key] = []
        self.unkept: dict[int, BaseException] = {}

    def add(
        self,
        place: tuple[Key, int],
        number: int,
        position: int,
        name: Any,
        value: Any,
        course: tuple[int, float],
    ) -> None:
        mac = None
        if type(value) is int and -INT64 <= value < INT64:
            stored, form = value, JSON
        else:
            try:
                stored, form = encode(value, f"the value of item {number}")
            except Exception as error:
                self.unkept[position] = error
                self.add_failed(place, number, name, error, course)
                return
            if form == PICKLE:
                mac = self._sign(*place, stored)
                self.rows.pickled = True
            self._weigh(stored)
        item, item_form = self._item(place[0], name)
        self.rows.done.append((*place, number, item, item_form, stored, form, mac, *course, self._now))

    def add_failed(
        self,
        place: tuple[Key, int],
        number: int,
        name: Any,
        error: BaseException,
        course: tuple[int, float],
    ) -> None:
        texts = texts_of(error)
        self.rows.bytes += sum(map(len, texts))
        item, item_form = self._item(place[0], name)
        self.rows.failed.append((*place, number, item, item_form, *course, self._now, *texts))

    def _item(self, key: Key, name: Any) -> tuple[Any, int]:
        if type(key) is not bytes:
            return None, KEY
        try:
            item, form = encode(name, "item")
        except Exception:  # the task has changed it, or changes it now, so that it can't be kept
            return None, ABSENT
        self._weigh(item)
        return item, form

    def _weigh(self, stored: Any) -> None:
        if (type(stored) is str or type(stored) is bytes) and len(stored) > _SMALL:
            self.rows.bytes += len(stored)
