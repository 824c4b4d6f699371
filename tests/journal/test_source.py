"""An input on top of another: batches are all known or all to be run, and nothing is lost or comes twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.journal.passes import one_pass

from okazja._engine.source import Batch, Source
from okazja.errors import BadInput, JournalError
from okazja.journal import Recorder, Resuming


class Listed:
    """Gives what is there, in pieces; then ends, or raises."""

    def __init__(self, pieces: list[list[Any]], error: Exception | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.closed = False
        self.on_news: Callable[[], None] = lambda: None

    @property
    def ended(self) -> bool:
        return not self.pieces and self.error is None

    def take(self, most: int) -> Batch:
        if not self.pieces:
            error, self.error = self.error, None
            if error is not None:
                raise error
            return Batch([])
        piece = self.pieces[0]
        taken, self.pieces[0] = piece[:most], piece[most:]
        if not self.pieces[0]:
            del self.pieces[0]
        return Batch(taken)

    def close(self) -> None:
        self.closed = True


def has_more(source: Source) -> bool:
    return not source.ended


def drain(source: Source, most: int) -> list[Batch]:
    batches = []
    while not source.ended:
        batch = source.take(most)
        assert batch.known is not None or len(batch.items) <= most
        if batch.items:
            batches.append(batch)
    return batches


@pytest.mark.parametrize("most", [1, 3, 1000])
@pytest.mark.parametrize("done", [[], range(100), range(0, 100, 2), range(40, 60)], ids=str)
def test_every_item_comes_once_and_in_order(path: Path, most: int, done: Any) -> None:
    one_pass(path, done)
    recorder = Recorder(path, function="tests:square")
    source = Resuming(Listed([[*range(10)], [], [*range(10, 11)], [*range(11, 100)]]), recorder)
    batches = drain(source, most)
    recorder.close()
    assert [item for batch in batches for item in batch.items] == list(range(100))
    assert [item for batch in batches if batch.known is not None for item in batch.items] == list(done)
    values = [known.value for batch in batches for known in batch.known or ()]
    assert values == [number * number for number in done]
    assert all(len(batch.items) == len(batch.keys or ()) for batch in batches)


def test_an_error_of_the_input_comes_after_what_was_before_it(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    source = Resuming(Listed([[1, 2, 3]], OSError("the line is cut")), recorder)
    assert source.take(2).items == [1, 2]
    assert source.take(2).items == [3]
    assert has_more(source)
    with pytest.raises(OSError, match="the line is cut"):
        source.take(2)
    assert not has_more(source)
    assert source.take(2).items == []
    recorder.close()


def test_an_item_without_a_name_ends_the_input_after_what_was_before_it(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    source = Resuming(Listed([[1, 2, lambda: None, 4], [5]]), recorder)
    assert source.take(100).items == [1, 2]
    assert has_more(source)
    with pytest.raises(BadInput, match="position 2"):
        source.take(100)
    assert not has_more(source)
    assert source.take(100).items == []
    recorder.close()


def test_large_known_values_are_held_for_few_items(path: Path) -> None:
    one_pass(path, range(600), lambda number: "x" * 100_000)
    recorder = Recorder(path, function="tests:square")
    batches = drain(Resuming(Listed([[*range(600)]]), recorder), 1000)
    recorder.close()
    assert sum(len(batch.items) for batch in batches) == 600
    assert max(len(batch.items) for batch in batches) <= 16


def test_closing_and_news_go_through(path: Path) -> None:
    recorder = Recorder(path, function="tests:square")
    listed = Listed([[1]])
    source = Resuming(listed, recorder)
    news: list[int] = []
    source.on_news = lambda: news.append(1)
    listed.on_news()
    assert news == [1]
    source.close()
    assert listed.closed
    recorder.close()
    with pytest.raises(JournalError, match="was closed"):
        recorder.look_up(0, ["a"])
