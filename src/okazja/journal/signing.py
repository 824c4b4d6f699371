"""Which pickles are this user's own: they are signed with a key that no journal holds.

To unpickle is to run what the pickle says, so a journal that came from elsewhere is read without.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from okazja.journal.keys import Key

__all__ = ["Signer"]

_BYTES = 32  # of the key


class Signer:
    """Signs and verifies the pickles of one journal. Where no key can be had, it does neither."""

    def __init__(self, journal: bytes) -> None:
        self._journal = journal
        self._secret = _secret()

    @property
    def name(self) -> bytes:
        """Tells this key from others without giving it away; empty where there is none."""
        return self._mac(b"name") if self._secret else b""

    def sign(self, key: Key, occurrence: int, pickled: bytes) -> bytes | None:
        """A signature that holds for this pickle, in this place of this journal, and no other."""
        if self._secret is None:
            return None
        place = b"%s %r %d " % (type(key).__name__.encode(), repr(key).encode(), occurrence)
        return self._mac(b"pickle", place, pickled)

    def verify(self, key: Key, occurrence: int, pickled: bytes, mac: object) -> bool:
        """Whether this user signed this pickle, for this place."""
        expected = self.sign(key, occurrence, pickled)
        return expected is not None and type(mac) is bytes and hmac.compare_digest(expected, mac)

    def _mac(self, *parts: bytes) -> bytes:
        assert self._secret is not None
        made = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in (self._journal, *parts):
            made.update(len(part).to_bytes(8, "big"))
            made.update(part)
        return made.digest()


def _secret() -> bytes | None:
    """This user's key, made the first time; None where it can't be kept, or others can read it."""
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(base) if Path(base).is_absolute() else Path("~/.local/state").expanduser()
        return _kept(folder / "okazja" / "journal.key")
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None


def _kept(path: Path) -> bytes | None:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        private = not stat.S_IMODE(status.st_mode) & 0o077 and status.st_uid == os.geteuid()
        secret = file.read(_BYTES + 1)
    return secret if private and len(secret) == _BYTES else None


def _make(path: Path) -> None:
    """Whole or not at all, and only once, whoever else makes it at the same time."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_bytes(_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was quicker, and its key is as good
    finally:
        draft.unlink()
