"""What follows from counts and a clock: rate, time left, and how they are said."""

from __future__ import annotations

import threading

import pytest

from okazja import Progress
from okazja.progress.counts import Counter
from okazja.progress.wording import cells, clock_text, cut, line_text, rate_text, short_name


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counter(clock: Clock) -> Counter:
    return Counter(clock)


def test_nothing_is_known_at_first(counter: Counter) -> None:
    counter.begin(10)
    assert counter.look() == Progress(10, 0, 0, 0, 0, 0.0, None, None, False)


def test_rate_and_time_left_follow_from_the_clock(counter: Counter, clock: Clock) -> None:
    counter.begin(100)
    counter.settled(15, 5)
    counter.retried(3)
    clock.now += 4
    assert counter.look() == Progress(100, 20, 5, 3, 0, 4.0, 5.0, 16.0, False)


def test_items_from_a_journal_count_as_done_but_not_for_the_rate(counter: Counter, clock: Clock) -> None:
    counter.begin(100)
    counter.known(59, 1)
    clock.now += 2
    assert counter.look().rate is None
    counter.settled(20, 0)
    seen = counter.look()
    assert (seen.done, seen.failed, seen.known, seen.rate, seen.seconds_left) == (80, 1, 60, 10.0, 2.0)


def test_of_an_unknown_total_there_is_a_rate_but_no_end(counter: Counter, clock: Clock) -> None:
    counter.begin(None)
    counter.settled(8, 0)
    clock.now += 4
    seen = counter.look()
    assert (seen.total, seen.rate, seen.seconds_left) == (None, 2.0, None)


def test_a_length_that_proves_wrong_is_no_longer_believed(counter: Counter, clock: Clock) -> None:
    counter.begin(3)
    counter.settled(3, 0)
    assert counter.look().seconds_left == 0.0
    counter.settled(1, 0)
    assert counter.look().total is None


def test_the_rate_is_that_of_late_and_in_the_end_that_of_all(counter: Counter, clock: Clock) -> None:
    counter.begin(None)
    for items, seconds in ((100, 100), (1, 100)):  # 100 a second at first, then 1
        for _ in range(seconds):
            clock.now += 1
            counter.settled(items, 0)
            counter.look()
    assert counter.look().rate == pytest.approx(1.0)
    assert counter.look(ended=True).rate == pytest.approx(50.5)


def test_slow_items_have_a_rate_too(counter: Counter, clock: Clock) -> None:
    counter.begin(10)
    for _ in range(3):
        for _ in range(5 * 3600):
            clock.now += 1
            counter.look()
        counter.settled(1, 0)
    assert counter.look().rate == pytest.approx(1 / (5 * 3600))
    assert len(counter._samples) < 200


def test_news_from_many_threads_is_all_counted(counter: Counter) -> None:
    def news() -> None:
        for _ in range(5000):
            counter.settled(1, 1)
            counter.retried(1)
            counter.known(0, 1)

    threads = [threading.Thread(target=news) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.look().counts == (60000, 40000, 20000, 20000)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, ""),
        (0.0, ""),
        (12345.4, "12,345/s"),
        (9.96, "10/s"),
        (3.21, "3.2/s"),
        (0.5, "2.0 s an item"),
        (1 / 45, "45 s an item"),
        (1 / 246, "4.1 min an item"),
        (1 / 9000, "2.5 h an item"),
        (1 / 900000, "250 h an item"),
    ],
)
def test_rates_are_said_with_sense(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-:--:--"), (0.4, "0:00:00"), (67, "0:01:07"), (3600, "1:00:00"), (172867, "2 d 0:01:07")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert clock_text(seconds) == text


def test_names_lose_their_folders_and_what_a_terminal_might_obey() -> None:
    assert short_name("/home/somebody/work.py:square") == "work.py:square"
    assert short_name("square") == "square"
    assert "\x1b" not in short_name("a\x1b[2Jb")
    assert len(short_name("x" * 99)) == 30


def test_wide_letters_take_two_columns() -> None:
    assert cells("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert cut("plain", 5) == "plain"


def test_the_line_of_a_log_says_it_all() -> None:
    seen = Progress(100_000, 12_345, 3, 2, 12_000, 40.0, 1234.5, 71.2, False)
    assert line_text("square", seen) == (
        "okazja: square: 12,345 of 100,000 items (12 %), 0:00:40 so far, 1,234/s, 0:01:11 left, 3 failed, 2 retried, "
        "12,000 from the journal"
    )
    assert line_text("square", Progress(None, 5, 0, 0, 0, 9.0, None, None, True)) == (
        "okazja: square: 5 items, 0:00:09 in all"
    )
