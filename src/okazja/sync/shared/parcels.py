"""Items of queues as bytes. Small and plain ones are marshalled, what is large goes into a block of its own."""

from __future__ import annotations

import marshal
from typing import Any

from okazja._transport import pickling
from okazja._transport.codec import PLAIN
from okazja.sync.shared.ring import INLINE

__all__ = ["BYTES", "LARGE", "LARGE_BYTES", "MARSHALLED", "PICKLED", "pack", "pickled", "unpack"]

# Kinds of records, as a ring has them. BYTES: a message of a connection.
MARSHALLED, PICKLED, BYTES = 0, 1 << 32, 2 << 32
LARGE, LARGE_BYTES = 3 << 32, 4 << 32  # their bytes are (block, sizes), marshalled

_CONTAINERS = frozenset({tuple, list})
_all_plain = PLAIN.issuperset


def pack(item: Any) -> tuple[int, bytes | list[Any]]:
    """Kind and bytes; or LARGE and its parts, to be copied at once. Raises NotPicklable."""
    kind = type(item)
    if (
        kind in PLAIN
        or (kind in _CONTAINERS and _all_plain(map(type, item)))
        or (kind is dict and _all_plain(map(type, item)) and _all_plain(map(type, item.values())))
    ):
        data = marshal.dumps(item)
        if len(data) <= INLINE:
            return MARSHALLED, data
    return pickled(item)


def pickled(item: Any) -> tuple[int, bytes | list[Any]]:
    """As `pack`, of what is not to be marshalled."""
    stream, buffers = pickling.dump(item, "the item")
    if not buffers and sum(map(len, stream)) <= INLINE:
        return PICKLED, stream[0] if len(stream) == 1 else b"".join(stream)
    return LARGE, [*buffers, stream[0] if len(stream) == 1 else b"".join(stream)]


def unpack(kind: int, data: bytes) -> Any:
    """The item of a record that is not large. Raises whatever its parts raise."""
    if kind == MARSHALLED:
        return marshal.loads(data)
    return data if kind == BYTES else pickling.loads(data)
