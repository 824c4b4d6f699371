"""The beginning of a run: the journal is made or found fit, and this process becomes the one that writes to it."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okazja.errors import JournalInUse, JournalMismatch, JournalUntrusted
from okazja.journal import database, owner
from okazja.journal.signing import Signer

__all__ = ["Identity", "Opened", "check_format", "open_run", "release"]

CHECKED = 1 << 28  # bytes; a larger file takes seconds to check, so damage shows when it is come across

_mine: set[bytes] = set()  # journals that this process writes to, by their ids


@dataclass(frozen=True)
class Identity:
    """What a journal is of."""

    function: str
    version: str | None
    keyed: bool  # items are called by what a key function gives


@dataclass(frozen=True)
class Opened:
    """A run that may begin."""

    journal: bytes  # the journal's id
    run: int
    last: int  # id of the last outcome of earlier runs, 0 where there is none
    highest: int | None  # the highest int that is a key, None where there is none
    signer: Signer


def open_run(path: Path, identity: Identity, total: int | None, *, trust: bool) -> Opened:
    """Make the journal, or find it fit, and begin a run.

    Raises a JournalError of the kind that fits, with nothing changed.
    """
    with database.errors_of(path), closing(database.connect(path)) as db:
        new = database.is_new(db)
        if not new:
            check_format(db, path)
            _check_free(db, path)  # before a wait for a lock that a living writer may hold
            check_whole(db, path)
        _allow_readers(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        try:
            if database.is_new(db):  # looked at again: two processes may have come at once
                _make(db, identity)
            opened = _begin(db, path, identity, total, trust=trust)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    _mine.add(opened.journal)
    return opened


def release(journal: bytes) -> None:
    """This process writes to that journal no more."""
    _mine.discard(journal)


def check_format(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalDamaged for what is a database, but not a journal that this okazja can read."""
    if db.execute("PRAGMA application_id").fetchone()[0] != database.APPLICATION:
        raise database.damaged(path, "it is a database of another program")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != database.FORMAT:
        raise database.damaged(
            path, f"its format is {version}, this okazja reads {database.FORMAT}: a newer one may read it"
        )


def check_whole(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalDamaged where the file's structure is damaged."""
    if path.stat().st_size <= CHECKED:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise database.damaged(path, str(found).partition("\n")[0])


def _allow_readers(db: sqlite3.Connection) -> None:
    """Have readers and the writer not wait for each other, where the file system can do that."""
    try:
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_FULL")):
            raise  # nothing can be written at all


def _make(db: sqlite3.Connection, identity: Identity) -> None:
    for statement in database.SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {database.APPLICATION}")
    db.execute(f"PRAGMA user_version = {database.FORMAT}")
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [
            ("function", identity.function),
            ("version", identity.version),
            ("keyed", int(identity.keyed)),
            ("id", secrets.token_bytes(16)),
        ],
    )


def _begin(
    db: sqlite3.Connection, path: Path, identity: Identity, total: int | None, *, trust: bool
) -> Opened:
    meta = dict(db.execute("SELECT name, value FROM meta"))
    _check_identity(meta, path, identity)
    journal = _id_of(db, path)
    signer = Signer(journal)
    if not trust and meta.get("pickled", signer.name) != signer.name:
        raise untrusted(path)
    _check_free(db, path)
    now = database.now()
    run = db.execute(
        "INSERT INTO runs (pid, birth, host, started, updated, total, done, failed) VALUES (?, ?, ?, ?, ?, ?,"
        " coalesce((SELECT done FROM runs ORDER BY number DESC LIMIT 1), 0),"
        " coalesce((SELECT failed FROM runs ORDER BY number DESC LIMIT 1), 0))",
        (*owner.this(), now, now, total),
    ).lastrowid
    assert run is not None
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM outcomes").fetchone()
    (highest,) = db.execute(
        "SELECT max(key) FROM outcomes WHERE key < ''"
    ).fetchone()  # numbers come before texts
    return Opened(journal, run, last, highest, signer)


def _check_identity(meta: dict[str, Any], path: Path, identity: Identity) -> None:
    function, version = meta.get("function"), meta.get("version")
    if function != identity.function:
        raise JournalMismatch(
            f"the journal {path} is of the function {function}, not of {identity.function}: name another path, or, if "
            f"the function was only renamed, run it under its old name"
        )
    if version != identity.version:
        raise JournalMismatch(
            f"the journal {path} is of version={version!r} of {function}, not of version={identity.version!r}: name "
            f"another path, or pass version={version!r} if the outcomes of before still hold"
        )
    if meta.get("keyed") != identity.keyed:
        was, now = ("with", "without") if meta.get("keyed") else ("without", "with")
        raise JournalMismatch(
            f"the journal {path} was begun {was} key=, and this run is {now}: the same items would have other names. "
            f"Run it {was} key=, or name another path"
        )


def _id_of(db: sqlite3.Connection, path: Path) -> bytes:
    found = db.execute("SELECT value FROM meta WHERE name = 'id'").fetchone()
    if found is None or type(found[0]) is not bytes:
        raise database.damaged(path, "it has no id")
    return found[0]


def _check_free(db: sqlite3.Connection, path: Path) -> None:
    """Raise JournalInUse where a living process writes; the run of a dead one is taken over."""
    found = db.execute(
        "SELECT pid, birth, host, started FROM runs WHERE ended IS NULL ORDER BY number DESC LIMIT 1"
    ).fetchone()
    if found is None or not owner.is_alive(*found[:3]):
        return
    if (found[0], found[1]) == owner.this()[:2] and _id_of(db, path) not in _mine:
        return  # a run of this process that could not say that it ended
    if (found[0], found[1]) == owner.this()[:2]:
        raise JournalInUse(
            f"the journal {path} is written by another stream of this process: take all of it or close its iterator, "
            f"or name another path"
        )
    raise JournalInUse(
        f"the journal {path} is written by the process {found[0]}: wait for its end, end it, or name another path"
    )


def untrusted(path: Path) -> JournalUntrusted:
    """The error for pickled values that can't be told to be this user's own."""
    return JournalUntrusted(
        f"the journal {path} holds pickled values that are not signed with this user's key: it comes from elsewhere, "
        f"or no key could be kept. To unpickle can run any code: pass trust=True if you know who made it, or name "
        f"another path"
    )
