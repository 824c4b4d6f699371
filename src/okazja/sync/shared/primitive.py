"""What all shared primitives are: words in a region, and how they travel."""

from __future__ import annotations

from typing import Any, ClassVar

from okazja.sync.shared import counter
from okazja.sync.shared.layout import HEAD, KIND, NEXT, SEMAPHORE, SIZE, WORD
from okazja.sync.shared.region import Region, Ticket
from okazja.sync.shared.slots import Slots

__all__ = ["Primitive"]


class Primitive:
    """One primitive, as one process sees it. Pickles as its place; lives as long as its executor."""

    kind: ClassVar[int]

    def __init__(self, region: Region, place: int) -> None:
        self._region = region
        self._id = place  # index of its first word
        self._words = region.words
        self._slots = Slots.of(region)
        self._here = self._slots.here

    @classmethod
    def _place(cls, region: Region, value: int = 0, **fields: int) -> int:
        """Allocate it, with a semaphore of ``value``; it can be seen by those who count from now on."""
        from okazja.sync.shared import layout

        place = region.allocate(SIZE) // WORD
        counter.initialise(region.address + (place + SEMAPHORE) * WORD, value)
        region.words[place + KIND] = cls.kind
        for name, number in fields.items():
            region.words[place + getattr(layout, name)] = number
        region.guarded(_list, region, place)
        return place

    def _options(self) -> tuple[Any, ...]:
        """Further arguments of its class, as a process that unpickles it needs them."""
        return ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (type(self), self._region.ticket, self._id, *self._options())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (other._region, other._id) == (self._region, self._id)

    def __hash__(self) -> int:
        return hash((self._region.ticket, self._id))

    def _others_may_be_gone(self) -> None:
        """Look around after a while of waiting: threads that died, perhaps with what this one waits for."""
        from okazja.sync.shared.recovery import recover

        recover(self._slots, rarely=True)

    def _describe(self, state: str) -> str:
        return f"<okazja {type(self).__name__.removeprefix('Shared')} {self._id:#x}: {state}>"


def _list(region: Region, place: int) -> None:
    words = region.words
    words[place + NEXT] = words[HEAD]
    words[HEAD] = place


def _arrive(cls: type[Primitive], ticket: Ticket, place: int, *options: Any) -> Primitive:
    return cls(Region.attach(ticket), place, *options)
