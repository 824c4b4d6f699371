"""The one thread that writes to a journal: takes what was recorded, in transactions that reach the disk."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from okazja.errors import JournalError, JournalInUse
from okazja.journal import database

__all__ = ["Rows", "Writer"]

PAUSE = 0.2  # seconds that an outcome may wait for others, to reach the disk with them
ENOUGH = 2_000  # rows that don't wait for others
MOST_ROWS = 50_000  # that may wait for the disk
MOST_BYTES = 1 << 26

_DONE = (
    "INSERT INTO outcomes (key, occurrence, position, item, item_form, failed, value, form, mac, attempts, seconds,"
    " finished, run) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, {run}) ON CONFLICT (key, occurrence) DO UPDATE SET"
    " position = excluded.position, failed = 0, value = excluded.value, form = excluded.form, mac = excluded.mac,"
    " attempts = excluded.attempts, seconds = excluded.seconds, finished = excluded.finished, run = excluded.run,"
    " error_type = NULL, error = NULL, traceback = NULL"
)
_FAILED = (
    "INSERT INTO outcomes (key, occurrence, position, item, item_form, failed, form, attempts, seconds, finished,"
    " error_type, error, traceback, run) VALUES (?, ?, ?, ?, ?, 1, 0, ?, ?, ?, ?, ?, ?, {run})"
    " ON CONFLICT (key, occurrence) DO UPDATE SET position = excluded.position, failed = 1, value = NULL, form = 0,"
    " mac = NULL, attempts = excluded.attempts, seconds = excluded.seconds, finished = excluded.finished,"
    " run = excluded.run, error_type = excluded.error_type, error = excluded.error, traceback = excluded.traceback"
)


@dataclass(slots=True)
class Rows:
    """Outcomes that came together, as the tables take them."""

    done: list[tuple[Any, ...]] = field(default_factory=list)
    failed: list[tuple[Any, ...]] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)  # positions, of outcomes by their id
    visited: int = 0  # items whose outcome was known
    replaced: int = 0  # failures that these outcomes take the place of
    bytes: int = 0  # of large values
    pickled: bool = False  # some value is a pickle
    landed: Sequence[Any] = ()  # keys that are in flight until this is on disk

    def __len__(self) -> int:
        return len(self.done) + len(self.failed) + len(self.moved)


class Writer:
    """Owns the only connection that writes.

    ``landed`` is told, in the writer's thread, what has reached the disk. Guarantee: nobody waits for a writer that
    has ended.
    """

    def __init__(
        self,
        path: Path,
        run: int,
        signer: bytes,
        landed: Callable[[Sequence[Any]], None],
        ended: Callable[[], None],
    ) -> None:
        self._path = path
        self._run_number = run
        self._signer = signer
        self._landed = landed
        self._on_end = ended
        self._owner = os.getpid()
        # Guards all below. Entered by itself: a Condition's methods are Python code, and a Ctrl-C that breaks into
        # the one that lets go would leave it held.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Rows] = deque()
        self._rows = 0  # that wait or are being written
        self._bytes = 0
        self._put = 0  # how many Rows were ever put, and how many of these are on disk
        self._written = 0
        self._hurry = 0  # the number of the last one that somebody waits for
        self._closing = False
        self._whole = False
        self._ended = False
        self.error: JournalError | None = None
        self._thread = threading.Thread(target=self._run, name=f"okazja-journal-{path.name}", daemon=True)
        self._thread.start()

    def put(self, rows: Rows) -> None:
        """Have this written. Waits while too much waits already, but not for a writer that has ended."""
        with self._lock:
            while not self._ended and self._rows and (self._rows > MOST_ROWS or self._bytes > MOST_BYTES):
                self._hurry = self._put
                self._changed.notify_all()
                self._changed.wait()
            if self._ended or self._closing:
                return
            size = len(rows)
            if not self._waiting or self._rows < ENOUGH <= self._rows + size:
                self._changed.notify_all()
            # Nothing can break in between these, so the counts are always right.
            self._put += 1
            self._rows += size
            self._bytes += rows.bytes
            self._waiting.append(rows)

    def flush(self) -> None:
        """Wait until all that was put is on disk, or the writer has ended."""
        with self._lock:
            self._hurry = self._put
            self._changed.notify_all()
            while self._written < self._hurry and not self._ended:
                self._changed.wait()

    def close(self, whole: bool = False) -> None:
        """Have all written that was put, and wait for it. A fork of the owner has nothing to do here."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            if not self._closing:
                self._closing, self._whole = True, whole
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # --- in the thread

    def _run(self) -> None:
        try:
            with database.errors_of(self._path), closing(database.connect(self._path)) as db:
                db.execute("PRAGMA synchronous = FULL")
                try:
                    while work := self._take():
                        self._write(db, work)
                        self._settle(work)
                    self._end_run(db, self._whole)
                except BaseException:
                    with suppress(sqlite3.Error):  # a full disk: the error that matters is on its way
                        self._end_run(db, whole=False)
                    raise
                with suppress(sqlite3.Error):  # a reader is in the way
                    db.execute("PRAGMA busy_timeout = 0")
                    db.execute("PRAGMA journal_mode = DELETE")  # at rest a journal is one file
        except JournalError as error:
            self.error = error
        except BaseException as error:
            self.error = JournalError(
                f"the journal {self._path} can't be written: {type(error).__name__}: {error}"
            )
            self.error.__cause__ = error
        finally:
            self._on_end()
            with self._lock:
                self._ended = True
                self._waiting.clear()
                self._changed.notify_all()

    def _take(self) -> list[Rows]:
        """What waits, once that is worth a transaction; nothing at the end."""
        with self._lock:
            while not self._waiting and not self._closing:
                self._changed.wait()
            until = time.monotonic() + PAUSE
            while self._rows < ENOUGH and not self._closing and self._written >= self._hurry:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            work = list(self._waiting)
            self._waiting.clear()
            return work

    def _settle(self, work: list[Rows]) -> None:
        for rows in work:
            self._landed(rows.landed)
        with self._lock:
            self._written += len(work)
            self._rows -= sum(map(len, work))
            self._bytes -= sum(rows.bytes for rows in work)
            self._changed.notify_all()

    def _write(self, db: sqlite3.Connection, work: list[Rows]) -> None:
        db.execute("BEGIN IMMEDIATE")
        try:
            self._write_rows(db, work)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # some errors of SQLite have rolled back already
                db.execute("ROLLBACK")
            raise

    def _write_rows(self, db: sqlite3.Connection, work: list[Rows]) -> None:
        done = sum(len(rows.done) for rows in work)
        failed = sum(len(rows.failed) for rows in work)
        counted = db.execute(
            "UPDATE runs SET updated = ?, visited = visited + ?, recorded = recorded + ?, done = done + ?,"
            " failed = failed + ? WHERE number = ? AND number = (SELECT max(number) FROM runs)",
            (
                database.now(),
                done + failed + sum(rows.visited for rows in work),
                done + failed,
                done,
                failed - sum(rows.replaced for rows in work),
                self._run_number,
            ),
        )
        if not counted.rowcount:
            raise JournalInUse(
                f"another process has taken over the journal {self._path}, which it found without a living writer: "
                f"let one run write at a time"
            )
        if any(rows.pickled for rows in work):
            db.execute("INSERT OR REPLACE INTO meta VALUES ('pickled', ?)", (self._signer,))
        for rows in work:
            if rows.done:
                db.executemany(_DONE.format(run=self._run_number), rows.done)
            if rows.failed:
                db.executemany(_FAILED.format(run=self._run_number), rows.failed)
            if rows.moved:
                db.executemany("UPDATE outcomes SET position = ? WHERE id = ?", rows.moved)

    def _end_run(self, db: sqlite3.Connection, whole: bool) -> None:
        db.execute(
            "UPDATE runs SET ended = ?, whole = ? WHERE number = ?",
            (database.now(), int(whole), self._run_number),
        )
