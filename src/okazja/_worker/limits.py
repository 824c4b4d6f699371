"""A limit to a worker's memory, enforced by the kernel, and when such a worker has to be replaced.

``RLIMIT_DATA`` counts the heap and all private writable memory of the process, the interpreter's own
included; memory that is shared with other processes does not count. An allocation beyond it fails at
once: in Python with a MemoryError, in C code with a null pointer.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from typing import Any, Self

__all__ = ["MemoryLimit", "Watched"]

PAGE = resource.getpagesize()
FOR_REPLIES = 4  # times the limit; what a worker may have while it builds a reply
DATA = 5  # field of statm: pages of heap, private writable memory and stacks


class MemoryLimit:
    """The limit of this process, in force from now on.

    limit: bytes. Raises MemoryError if the process has more than that already.
    """

    def __init__(self, limit: int) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        self._usual = (_at_most(limit, hard), hard)
        self._for_replies = (_at_most(limit * FOR_REPLIES, hard), hard)
        self._none = (hard, hard)
        self._limit = self._usual[0]
        self._worn_at = self._limit // 2
        self._lifted = False
        used = self.used()
        if used > self._limit:
            raise MemoryError(
                f"the worker has {used} bytes before it does anything, over the memory_limit of {limit}: raise the "
                f"limit, or leave out mp_context, so that the worker does not start with the memory of its parent"
            )
        resource.setrlimit(resource.RLIMIT_DATA, self._usual)

    def used(self) -> int:
        """Bytes that count against the limit; 0 if a task has closed the way to know."""
        try:
            return int(os.pread(self._statm, 128, 0).split()[DATA]) * PAGE
        except (OSError, IndexError):
            return 0

    def settled(self) -> None:
        """The worker is ready; what it has now stays.

        It is worn when it has more than half of the limit, but never before a quarter of what is free now
        was used: else one that starts with much would be replaced after each call.
        """
        used = self.used()
        self._worn_at = max(self._limit // 2, used + (self._limit - used) // 4)

    def worn(self) -> bool:
        """Whether calls have left so much behind that the next one might not have enough."""
        return self.used() > self._worn_at

    def make_room(self) -> None:
        """A reply, or the error that stands for it, needs memory too: up to four times the limit."""
        resource.setrlimit(resource.RLIMIT_DATA, self._for_replies)
        self._lifted = True

    def lift(self) -> None:
        """No limit, until `enforce`: for what the worker must read before it knows whose it is."""
        resource.setrlimit(resource.RLIMIT_DATA, self._none)
        self._lifted = True

    def enforce(self) -> None:
        """The usual limit, from now on."""
        if self._lifted:
            resource.setrlimit(resource.RLIMIT_DATA, self._usual)
            self._lifted = False


class Watched:
    """Items of a chunk. Before each but the first, a worn worker gives back the rest, which empties ``items``.

    An exception of a signal handler leaves it usable, which a generator is not.
    """

    def __init__(self, items: Iterator[Any], memory: MemoryLimit, give_back: Callable[[], object]) -> None:
        self._items = items
        self._memory = memory
        self._give_back = give_back
        self._begun = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._begun and self._memory.worn():
            self._give_back()
        self._begun = True
        return next(self._items)


def _at_most(limit: int, hard: int) -> int:
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)
