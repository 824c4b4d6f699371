"""Finding threads that wait for each other in a circle."""

from __future__ import annotations

from okazja.sync.shared.slots import Seat, Slots


def look_for_circles(slots: Slots, seat: Seat, number: int) -> None:
    """Raise Deadlock in the youngest wait of a circle."""
