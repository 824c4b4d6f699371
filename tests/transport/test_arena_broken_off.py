"""Ctrl-C and want of memory in the middle of what an arena does leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from okazja._core.blocks import Blocks
from okazja._transport import arena as arenas
from okazja._transport import mapping
from okazja._transport.arena import Arena, Reader, create, read

SIZE = 1 << 20


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = Arena(create(1))
    yield arena
    arena.close()


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def put(arena: Arena) -> Any:
    return arena.put([memoryview(bytes(SIZE))], [b"."])


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def after_a_block_was_made(patch: pytest.MonkeyPatch, _: Arena) -> None:
    patch.setattr(Blocks, "take", interrupt)


def while_a_block_is_made(patch: pytest.MonkeyPatch, _: Arena) -> None:
    patch.setattr(arenas, "Block", interrupt)


def after_a_block_was_taken(patch: pytest.MonkeyPatch, arena: Arena) -> None:
    take = arena._take
    patch.setattr(arena, "_take", lambda size: interrupt(take(size)))


def while_it_is_written(patch: pytest.MonkeyPatch, arena: Arena) -> None:
    patch.setattr(arena, "_write", interrupt)


@pytest.mark.parametrize(
    "when",
    [after_a_block_was_made, while_a_block_is_made, after_a_block_was_taken, while_it_is_written],
)
def test_an_interrupt_while_a_value_is_put(
    arena: Arena, when: Callable[[pytest.MonkeyPatch, Arena], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        when(patch, arena)
        with pytest.raises(KeyboardInterrupt):
            put(arena)
    block, _ = put(arena)
    assert len(arena._blocks) == 1, "the block of the one that was broken off is free again"
    del block
    arena.close()
    assert not is_open(arena.fd)


def test_no_memory_for_a_copy(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(_: int) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(mapping, "MOST", 0)
    monkeypatch.setattr(arenas, "bytearray", no_memory, raising=False)
    reader = Reader(os.dup(arena.fd), 0, private=False)
    block, reference = put(arena)
    with pytest.raises(MemoryError):
        read(reference, lambda stream, buffers: buffers)
    del block
    placed = put(arena)
    assert len(arena._blocks) == 1, "the reader looks at nothing"
    del placed
    reader.close()


@pytest.mark.parametrize("copied", [0, 1 << 30], ids=["mapped again", "copied the second time"])
def test_a_block_that_is_read_twice_is_in_use_until_the_first_view_is_gone(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    reader = Reader(os.dup(arena.fd), 0, private=True)
    block, reference = put(arena)
    monkeypatch.setattr(arenas, "COPIED", 0)
    (first,) = read(reference, lambda stream, buffers: buffers)
    monkeypatch.setattr(arenas, "COPIED", copied)
    (again,) = read(reference, lambda stream, buffers: buffers)
    again[:] = b"x" * SIZE
    del again, block
    other, _ = put(arena)
    assert len(arena._blocks) == 2
    assert bytes(first) == bytes(SIZE)
    del first, other
    placed = put(arena)
    assert len(arena._blocks) == 1
    del placed
    reader.close()
