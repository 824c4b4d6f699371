"""What is put into an arena is read as it was, and its memory comes back when nobody looks at it any more."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okazja._transport import arena as arenas
from okazja._transport import mapping
from okazja._transport.arena import CACHE, Arena, Block, Reader, create, read

MEGABYTE = 1 << 20


@pytest.fixture(params=[arenas.COPIED, 0], ids=["copied", "mapped"], autouse=True)
def copied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small blocks are copied by their reader, or mapped as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arenas, "COPIED", request.param)
        yield


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = Arena(create(2))
    reader = Reader(os.dup(arena.fd), 0, private=False)
    yield arena
    reader.close()
    arena.close()


def put(arena: Arena, *buffers: bytes, stream: bytes = b".") -> tuple[Block, arenas.Reference]:
    placed = arena.put([memoryview(buffer) for buffer in buffers], [stream])
    assert placed is not None
    return placed


mapped = pytest.mark.parametrize("copied", [0], indirect=True, ids=["mapped"])


def taken(arena: Arena) -> int:
    """Blocks in use, those included that were let go of and not looked after yet."""
    block, _ = put(arena)  # looks after them
    del block
    return len(arena._blocks) - 1


def views(reference: arenas.Reference) -> tuple[bytes, list[memoryview]]:
    return read(reference, lambda stream, buffers: (bytes(stream), buffers))


def contents(reference: arenas.Reference) -> list[bytes]:
    stream, buffers = views(reference)
    return [*map(bytes, buffers), bytes(stream)]


@given(
    st.lists(st.binary(max_size=300), max_size=4), st.lists(st.binary(min_size=1, max_size=99), min_size=1)
)
def test_buffers_and_streams_arrive(buffers: list[bytes], stream: list[bytes]) -> None:
    arena = Arena(create(1))
    reader = Reader(os.dup(arena.fd), 0, private=False)
    for _ in range(2):  # untouched memory, then touched
        placed = arena.put([memoryview(buffer) for buffer in buffers], stream)
        assert placed is not None
        assert contents(placed[1]) == [*buffers, b"".join(stream)]
        del placed
    reader.close()
    arena.close()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 5)), min_size=1, max_size=40))
def test_blocks_in_use_never_change(history: list[tuple[int, int]]) -> None:
    arena = Arena(create(1))
    reader = Reader(os.dup(arena.fd), 0, private=False)
    held: list[tuple[bytes, memoryview]] = []
    for number, (size, dropped) in enumerate(history):
        content = bytes([number]) * size
        block, reference = put(arena, content)
        held.append((content, views(reference)[1][0]))
        del block  # the view alone keeps it in use
        if dropped < len(held):
            del held[dropped]
        assert all(view == content for content, view in held)
    held.clear()
    assert taken(arena) == 0
    reader.close()
    arena.close()


def test_what_one_reader_writes_nobody_else_sees(arena: Arena) -> None:
    block, reference = put(arena, bytes(MEGABYTE))
    _, (view,) = views(reference)
    view[:] = b"x" * MEGABYTE
    assert contents(reference) == [bytes(MEGABYTE), b"."]
    assert bytes(view) == b"x" * MEGABYTE
    del block


@mapped
def test_a_block_is_in_use_until_its_owner_and_all_its_readers_have_let_go(arena: Arena) -> None:
    block, reference = put(arena, bytes(100))
    _, (view,) = views(reference)
    part = view[10:20]
    del view
    assert taken(arena) == 1
    del block
    assert taken(arena) == 1
    del part
    assert taken(arena) == 0


def test_what_was_lent_is_in_use_until_it_was_read(arena: Arena) -> None:
    block, reference = put(arena, bytes(100))
    arena.lend([block])
    del block
    assert taken(arena) == 1
    assert contents(reference) == [bytes(100), b"."]
    assert taken(arena) == 0


def test_a_reader_that_is_gone_holds_nothing(arena: Arena) -> None:
    lost = Reader(os.dup(arena.fd), 1, private=False)
    block, reference = put(arena, bytes(100))
    view = lost.map(*reference[1:3], 100)
    del block
    assert taken(arena) == 1
    arena.reader_is_gone(1)
    assert taken(arena) == 0
    lost.close()
    del view


def test_memory_comes_back_but_for_a_cache(arena: Arena) -> None:
    blocks = [put(arena, bytes(8 * MEGABYTE)) for _ in range(20)]
    assert os.fstat(arena.fd).st_blocks * 512 >= 160 * MEGABYTE
    del blocks
    arena.tidy()
    assert os.fstat(arena.fd).st_blocks * 512 <= CACHE + 2 * MEGABYTE
    assert contents(put(arena, b"x" * 100 * MEGABYTE)[1])[0] == b"x" * 100 * MEGABYTE


def test_a_view_outlives_the_arena() -> None:
    arena = Arena(create(1))
    reader = Reader(os.dup(arena.fd), 0, private=False)
    _, (view,) = views(put(arena, b"x" * MEGABYTE)[1])
    reader.close()
    arena.close()
    assert bytes(view) == b"x" * MEGABYTE


def test_where_no_mapping_can_be_had_a_copy_is_made(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "MOST", 0)
    block, reference = put(arena, b"x" * MEGABYTE)
    _, (view,) = views(reference)
    view[0] = 0
    del block
    assert taken(arena) == 0, "the copy needs no block"


def test_no_blocks_left(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arenas, "ENTRIES", 3)
    blocks = [put(arena) for _ in range(3)]
    assert arena.put([], [b"."]) is None
    del blocks[1]
    assert arena.put([], [b"."]) is not None


def test_a_finalizer_in_the_middle_of_a_change_goes_without(arena: Arena) -> None:
    arena._inside = True
    assert arena.put([], [b"."]) is None
    arena._inside = False
    assert arena.put([], [b"."]) is not None


@mapped
def test_views_survive_a_fork_on_both_sides(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    for private, limit in ((True, 0), (False, 4 * MEGABYTE), (False, 0)):
        monkeypatch.setattr(mapping, "COPIED", limit)
        reader = Reader(os.dup(arena.fd), 0, private=private)
        block, reference = put(arena, b"x" * MEGABYTE)
        _, (view,) = views(reference)
        del block
        ready, go = os.pipe()
        child = os.fork()
        if not child:
            os.read(ready, 1)
            intact = bytes(view) == b"x" * MEGABYTE
            del view
            os._exit(0 if intact else 1)
        del view
        blocks = [put(arena, b"y" * MEGABYTE) for _ in range(3)]
        os.write(go, b".")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        del blocks
        assert taken(arena) == (0 if private or limit else 1), "copied, or kept for the child"
        os.close(ready)
        os.close(go)
        reader.close()


def test_threads_that_put_and_drop_at_once(arena: Arena) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        content = bytes([number]) * 50_000
        for _ in range(200):
            block, reference = put(arena, content)
            if contents(reference) != [content, b"."]:
                wrong.append(number)
            del block

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert taken(arena) == 0
    assert gc.collect() >= 0
