"""The file of a journal: its tables, connections to it, and what SQLite's errors mean for its user."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from okazja.errors import (
    BadInput,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalInUse,
    UnsupportedHere,
)

try:
    import sqlite3
except ImportError as error:
    raise UnsupportedHere(
        "a journal needs the sqlite3 module of the standard library, which this build of Python leaves out: "
        "install SQLite's development files and build Python again, or use a Python that has it"
    ) from error

__all__ = [
    "APPLICATION",
    "FORMAT",
    "PATIENCE",
    "SCHEMA",
    "as_path",
    "connect",
    "damaged",
    "errors_of",
    "is_new",
    "now",
]

APPLICATION = 0x6F6B617A  # "okaz", in the header of the file
FORMAT = 1  # grows when an older okazja could no longer read what a newer one writes
_LITTLE = 1 << 18  # bytes; SQLite's files beside the journal grow by up to 32 KiB at once
PATIENCE = 60.0  # seconds to wait for a lock that another program holds

# No column but the numbered ones has a type, so that SQLite keeps what it is given: an item's key is an INTEGER for an
# int of up to 64 bits, TEXT for a short str, and a BLOB for everything else (see keys.py).
# `form`, `item_form`: 0 JSON (numbers as they are), 1 bytes, 2 a pickle, 3 the key says it, 4 not kept.
# An outcome that comes later takes the row of the earlier one, and keeps its rowid.
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    pid INTEGER NOT NULL, birth TEXT NOT NULL, host TEXT NOT NULL,
    started REAL NOT NULL, updated REAL NOT NULL, ended REAL, whole INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    visited INTEGER NOT NULL DEFAULT 0,
    recorded INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,
    key NOT NULL, occurrence INTEGER NOT NULL, position INTEGER NOT NULL,
    item, item_form INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    value, form INTEGER NOT NULL, mac,
    attempts INTEGER NOT NULL, seconds, finished, run INTEGER NOT NULL,
    error_type TEXT, error TEXT, traceback TEXT
);
CREATE UNIQUE INDEX outcomes_by_key ON outcomes (key, occurrence);
CREATE INDEX outcomes_by_position ON outcomes (position);
CREATE VIEW results AS SELECT
    position,
    CASE WHEN item_form = 3 THEN json_quote(key) ELSE item END AS item,
    occurrence,
    CASE failed WHEN 0 THEN 'done' ELSE 'failed' END AS status,
    value,
    CASE form WHEN 0 THEN 'json' WHEN 1 THEN 'bytes' WHEN 2 THEN 'pickle' END AS form,
    error_type, error, traceback, attempts, seconds, finished, run
FROM outcomes;
"""


def as_path(path: object) -> Path:
    """The absolute path of a journal. Raises BadInput or JournalError for what can't be one."""
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise BadInput(f"journal must be the path of a file, got {path!r}")
    name = os.fspath(path)
    made = Path(os.fsdecode(name) if isinstance(name, bytes) else name).absolute()
    if "\0" in str(made):
        raise BadInput(f"journal must be the path of a file, got {path!r}, with a null character in it")
    if made.is_dir():
        raise JournalError(f"the journal {made} is a directory: name a file in it")
    if not made.parent.is_dir():
        raise JournalError(
            f"the journal {made} can't be made: there is no directory {made.parent}. Make it first"
        )
    return made


def connect(path: Path, *, read_only: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """A connection without transactions of its own making. May be used by one thread at a time."""
    uri = f"{path.as_uri()}?mode={'ro' if read_only else 'rwc'}{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def is_new(db: sqlite3.Connection) -> bool:
    """Whether nothing has been made in this file yet."""
    return not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Have errors of SQLite come as what they mean for this journal."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error, path) from error


def _meaning(error: sqlite3.Error, path: Path) -> JournalError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _is_full(path)):
        return JournalFull(
            f"no room is left for the journal {path}. What was recorded is whole: make room, and run again with the "
            f"same journal"
        )
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT", "SQLITE_IOERR_SHORT_READ")) or (
        (name == "SQLITE_ERROR" and "no such" in str(error)) or "decode to UTF-8" in str(error)
    ):
        return damaged(path, str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return JournalInUse(
            f"another program has locked the journal {path} for {PATIENCE:g} s: have it end its transaction, then run "
            f"again"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return JournalError(
            f"the journal {path} can't be opened or written ({error}): look at the permissions of the file and of its "
            f"directory, or name another path"
        )
    return JournalError(
        f"the journal {path} can't be read or written ({error}): look for a full quota, a limit on the size of files, "
        f"or a disk that fails, then run again"
    )


def _is_full(path: Path) -> bool:
    """Whether the disk is; where the log beside the file can't grow, SQLite speaks of an I/O error."""
    try:
        return shutil.disk_usage(path.parent).free < _LITTLE
    except OSError:
        return False


def damaged(path: Path, why: str) -> JournalDamaged:
    """The error for a file that is no whole journal."""
    return JournalDamaged(
        f"{path} is no whole journal ({why}): restore it from a copy, or name another path, where all items are run "
        f"again"
    )


def now() -> float:
    """Seconds since 1970."""
    return time.time()
