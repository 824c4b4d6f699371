"""How calls are executed: one file a backend, and one entry here."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from okazja.errors import UnknownBackend, UnsupportedHere

if TYPE_CHECKING:
    from okazja._backends.base import Backend

__all__ = ["BACKENDS", "Entry", "find_backend"]


class Entry(NamedTuple):
    """Where a backend is found, and where it can run."""

    name: str
    module: str
    type_name: str
    linux_only: bool = False


BACKENDS = (
    Entry("serial", "okazja._backends.serial", "SerialBackend"),
    Entry("threads", "okazja._backends.threads", "ThreadBackend"),
    Entry("asyncio", "okazja._backends.asyncio_loop", "AsyncioBackend"),
    Entry("processes", "okazja._backends.processes", "ProcessBackend", linux_only=True),
)


def find_backend(name: str) -> type[Backend]:
    """The backend of this name. Raises UnknownBackend or UnsupportedHere."""
    for entry in BACKENDS:
        if entry.name == name:
            if entry.linux_only and sys.platform != "linux":
                raise UnsupportedHere(
                    f"the backend {name!r} needs Linux (this is {sys.platform}): it relies on anonymous memory files, "
                    f'pidfds and pipe signals. Use "threads" or "serial" here'
                )
            backend: type[Backend] = getattr(import_module(entry.module), entry.type_name)
            return backend
    known = ", ".join(repr(entry.name) for entry in BACKENDS)
    raise UnknownBackend(f"there is no backend {name!r}: choose one of {known}")
