"""In a log file: whole lines, ever more seldom."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from functools import partial

import pytest
from tests.progress.screen import SOURCE
from tests.progress.test_counts import Clock

from okazja import Executor
from okazja.progress.counts import Counter
from okazja.progress.views import LogLines
from okazja.progress.watching import Place, Watched


def lines_of(seconds: float, *, total: int | None = None) -> list[tuple[float, str]]:
    """The lines of work that takes so long, one item a second, and when each is written."""
    clock, stream, lines = Clock(), io.StringIO(), []
    counter, view = Counter(clock), LogLines("square", stream)
    counter.begin(total)
    end, start = clock.now + seconds, clock.now
    ended = False
    while not ended:
        pause = max(view.pause, 0.0)
        ended = clock.now + pause >= end
        before = int(clock.now)
        clock.now = min(clock.now + pause, end)
        counter.settled(int(clock.now) - before, 0)
        view.show(counter.look(ended))
        lines += [(clock.now - start, line) for line in stream.getvalue().splitlines()]
        stream.seek(0)
        stream.truncate()
    return lines


def test_the_first_comes_after_ten_seconds_and_the_others_at_growing_distances() -> None:
    times = [when for when, _ in lines_of(1500)]
    assert times == [10, 20, 40, 80, 160, 320, 620, 920, 1220, 1500]


def test_each_line_says_how_far_it_is() -> None:
    assert lines_of(15, total=15) == [
        (10, "okazja: square: 10 of 15 items (66 %), 0:00:10 so far, 1.0/s, 0:00:05 left"),
        (15, "okazja: square: 15 of 15 items (100 %), 0:00:15 in all, 1.0/s"),
    ]


def test_short_work_leaves_no_line() -> None:
    assert lines_of(9.9) == []


def test_work_of_just_ten_seconds_leaves_its_last() -> None:
    assert [when for when, _ in lines_of(10)] == [10]


def test_the_end_has_its_line_as_soon_as_it_comes() -> None:
    clock, stream = Clock(), io.StringIO()
    watched = Watched("square", lambda: Place(partial(LogLines, "square", stream), 30), clock)
    watched.began(4)
    watched.settled(3, 1)
    watched.retried(2)
    clock.now += 12
    watched.ended()
    watched.ended()
    assert stream.getvalue() == (
        "okazja: square: 4 of 4 items (100 %), 0:00:12 in all, 3.0 s an item, 1 failed, 2 retried\n"
    )


def test_a_program_whose_errors_go_to_a_pipe_says_nothing_of_short_work() -> None:
    program = "import okazja; print(sum(okazja.map(abs, range(5), backend='serial', progress=True)))"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert (finished.stdout, finished.stderr) == ("10\n", "")


def test_without_standard_error_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with Executor("threads", max_workers=1) as executor:
        results = executor.map(abs, range(3), progress=True)
        assert not [t for t in threading.enumerate() if t.name.startswith("okazja-progress")]
        assert list(results) == [0, 1, 2]


def test_a_log_that_cannot_be_written_does_the_work_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    clock, stream = Clock(), io.StringIO()
    watched = Watched("square", lambda: Place(partial(LogLines, "square", stream), 30), clock)
    watched.began(4)
    stream.close()
    clock.now += 12
    watched.ended()
    [record] = caplog.records
    assert "progress of square" in record.getMessage()
