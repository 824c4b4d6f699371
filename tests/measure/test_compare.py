"""okazja.compare and the samples that it takes."""

from __future__ import annotations

import os
from functools import partial
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

import okazja
from okazja.errors import BadInput, TaskTypeError, UnknownBackend
from okazja.measure.comparison import Comparison, Row, Way
from okazja.measure.sample import mean_seconds, positions, sample_size, stratified


def spin(n: int) -> int:
    return sum(range(n))


def tells_where_it_runs(n: int, home: int) -> int:
    return n if os.getpid() == home else -n


@given(st.integers(1, 10**7), st.integers(1, 300))
def test_each_equal_stretch_of_the_items_gives_one(total: int, size: int) -> None:
    found = positions(total, size)
    size = min(size, total)
    assert len(found) == size
    for stretch, position in enumerate(found):
        assert stretch * total // size <= position < -((stretch + 1) * total // -size)


def test_a_sample_of_a_growing_job_costs_as_much_as_the_whole_on_average() -> None:
    items = range(1, 1_000_001)
    sample = stratified(items, 100)
    assert sum(sample) / 100 == pytest.approx(sum(items) / len(items), rel=0.01)


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="at least one item"):
        positions(0, 3)


def test_the_pilot_doubles_until_it_lasts_long_enough() -> None:
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    assert mean_seconds(work, [0.25] * 1000, budget=160, clock=lambda: now) == 0.25
    assert now == 0.25 * (1 + 4 + 8)


@given(
    st.integers(1, 10**6), st.floats(1e-7, 10), st.integers(6, 60), st.integers(1, 64), st.floats(0.1, 100)
)
def test_a_sample_fits_the_budget_or_is_the_smallest_that_keeps_all_workers_busy(
    total: int, seconds: float, runs: int, workers: int, budget: float
) -> None:
    size = sample_size(total, seconds, runs, workers, budget)
    assert 1 <= size <= total
    assert size * seconds * runs <= budget or size <= 8 * workers


def test_every_way_is_measured_and_serial_is_what_they_are_compared_with() -> None:
    comparison = okazja.compare(spin, range(1, 2000), workers=[2, 1], budget=0.5)
    ways = [str(row.way) for row in comparison.rows]
    assert ways == [
        "serial",
        "threads with 1 worker",
        "threads with 2 workers",
        "processes with 1 worker",
        "processes with 2 workers",
    ]
    assert comparison.errors == ()
    assert comparison.rows[0].speedup == 1
    for row in comparison.rows:
        assert len(row.runs) == comparison.rounds
        assert min(row.seconds, row.cpu_seconds, row.efficiency, row.startup_seconds) > 0
    assert [row.processes for row in comparison.rows[:3]] == [1, 1, 1]
    assert comparison.rows[1].threads == comparison.rows[0].threads + 1
    assert comparison.rows[3].processes == comparison.rows[4].processes - 1
    assert comparison.rows[3].threads == comparison.rows[4].threads - 1
    assert str(comparison).splitlines()[0].startswith("spin: ")
    assert str(comparison).splitlines()[-1] == f"Recommended: {comparison.recommendation}"


def test_a_way_with_other_results_is_an_error_and_never_recommended() -> None:
    comparison = okazja.compare(
        partial(tells_where_it_runs, home=os.getpid()),
        range(1, 9),
        backends=["processes"],
        workers=[1],
        budget=0.1,
    )
    (error,) = comparison.errors
    assert "8 of 8 results differ from serial's: for 1 -1 instead of 1" in error
    assert comparison.best.way == Way("serial", 1)
    assert error in str(comparison)


def test_the_functions_own_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        okazja.compare(lambda n: 1 // n, [0], budget=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": [0]}, "at least 1, got 0"),
        ({"workers": []}, "got none"),
        ({"backends": "threads"}, r"got 'threads': write \['threads'\]"),
        ({"budget": 0}, "got 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        okazja.compare(spin, [1, 2], **options)  # type: ignore[arg-type]


def test_no_items_and_unknown_backends_are_refused() -> None:
    with pytest.raises(BadInput, match="no items"):
        okazja.compare(spin, [])
    with pytest.raises(UnknownBackend, match="thread"):
        okazja.compare(spin, [1, 2], backends=["thread"], budget=0.1)


async def coroutine(n: int) -> int:
    return n


def test_what_can_not_be_a_task_is_refused_before_it_runs() -> None:
    with pytest.raises(TaskTypeError, match="coroutine"):
        okazja.compare(coroutine, [1], budget=0.1)
    with pytest.raises(TaskTypeError, match="1 positional"):
        okazja.compare(lambda a, b: a, [1], budget=0.1)  # type: ignore[arg-type,misc]


def test_where_serial_fails_nothing_is_recommended() -> None:
    serial = row("serial", 1, 0, error="failed")
    rows = (serial, row("threads", 2, 0, error="failed"))
    assert Comparison("f", 10, 10, 1, 2, rows).recommendation == "nothing: every way failed"


def row(backend: str, workers: int, speedup: float, error: str = "") -> Row:
    return Row(Way(backend, workers), (1.0,), 1 / (speedup or 1), speedup, speedup, 1.0, 0.1, 1, 1, error)


def recommended(*others: Row) -> str:
    return Comparison("f", 10, 10, 1, 2, (row("serial", 1, 1.0), *others)).recommendation


def test_the_recommendation_is_in_words() -> None:
    best = row("processes", 2, 1.93)
    assert recommended(row("threads", 2, 0.97), best) == "processes with 2 workers: 1.93 × serial"
    # As fast with fewer workers is better, and what gave wrong results is out.
    assert recommended(row("processes", 4, 1.95), best).startswith("processes with 2 workers")
    assert recommended(row("processes", 4, 3.9, error="wrong"), best).startswith("processes with 2 workers")
    assert recommended(row("threads", 2, 1.01)) == (
        "serial: nothing beats it here (the nearest: threads with 2 workers, 1.01 × serial)"
    )
    # One worker runs nothing in parallel, so a little gain is noise.
    assert recommended(row("threads", 1, 1.09)).startswith("serial: ")
    assert recommended(row("threads", 2, 0, error="failed")) == "serial: nothing else could be measured"


def test_a_notebook_shows_a_table_with_the_recommended_way_in_bold() -> None:
    rows = (row("serial", 1, 1.0), row("threads", 2, 0.9, error="got <3>, not 4"), row("processes", 2, 1.9))
    shown = Comparison("<lambda>", 10, 10, 1, 2, rows)._repr_html_()
    table = ET.fromstring(f"<cell>{shown}</cell>")  # well formed, with all texts escaped
    lines = ["".join(cell.text or "" for cell in line[:2]) for line in table.iter("tr")]
    assert lines == ["backendworkers", "serial1", "threads2", "processes2"]
    assert [line[0].text for line in table.iter("tr") if "bold" in line.get("style", "")] == ["processes"]
    assert "error: threads with 2 workers: got <3>, not 4" in [note.text for note in table.iter("p")]
