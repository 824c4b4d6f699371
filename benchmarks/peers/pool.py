"""The one face behind which pools are compared: open, submit, map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any, NoReturn

import okazja

__all__ = ["Open", "Peer", "Pool", "Wait", "executor", "no_submit"]

Wait = Callable[[], Any]  # waits for a result and returns it


@dataclass(frozen=True)
class Pool:
    """An open pool: how a call is submitted, and how a map is consumed.

    primitives: what makes locks, queues and values that the calls can use: ``Lock()``, ``Queue(maxsize)`` ...
    """

    submit: Callable[..., Wait]
    map: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
    primitives: Any = None


Open = Callable[[int], AbstractContextManager[Pool]]  # takes the number of workers


@dataclass(frozen=True)
class Peer:
    """A way to run things.

    open: gives a context manager that opens a pool with that many workers.
    package: the distribution that it needs; None for the standard library and for okazja itself.
    rounds: at most so many; None: as many as there are.
    """

    name: str
    open: Open
    package: str | None = None
    rounds: int | None = None

    @property
    def version(self) -> str | None:
        """The version of what is measured, None where it is not installed."""
        if self.package is None:
            return okazja.__version__ if self.name.startswith("okazja") else python_version()
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


def executor(make: Callable[[int], Executor], **map_options: Any) -> Open:
    """Whatever has the interface of concurrent.futures."""

    @contextmanager
    def open_executor(workers: int) -> Iterator[Pool]:
        with make(workers) as pool:
            yield Pool(
                lambda fn, *args: pool.submit(fn, *args).result,
                lambda fn, items: pool.map(fn, items, **map_options),
                pool,
            )

    return open_executor


def no_submit(*_: object) -> NoReturn:
    """In place of a ``submit`` that a peer does not have."""
    raise NotImplementedError("it has no submit")
