"""A row fits its terminal, whatever its width and whatever there is to say."""

from __future__ import annotations

import re

import pytest

from okazja import Progress
from okazja.progress.terminal import row_text
from okazja.progress.wording import cells

BUSY = Progress(10_000_000, 1_234_567, 1_234, 56_789, 1_000_000, 45_678.9, 12_345.6, 98_765.4, False)
QUIET = Progress(40, 12, 0, 0, 0, 7.0, 1.7, 16.4, False)
ENDLESS = Progress(None, 12, 1, 0, 0, 7.0, 1.7, None, False)


@pytest.mark.parametrize("seen", [BUSY, QUIET, ENDLESS], ids=["busy", "quiet", "endless"])
@pytest.mark.parametrize(
    "name", ["square", "a-file-with-a-long-name.py:fu…", "日本語のとても長い名前の関数です"]
)
@pytest.mark.parametrize("coloured", [False, True])
def test_a_row_is_as_wide_as_the_terminal(seen: Progress, name: str, coloured: bool) -> None:
    for width in range(10, 250):
        plain = re.sub(r"\x1b\[\d*m", "", row_text(name, seen, width, coloured=coloured))
        assert cells(plain) == width
        assert (
            re.match(r".*\b12( done|/40) " if seen is not BUSY else r".*1,234,567/10,000,000", plain)
            or width < 25
        )


def test_with_room_all_is_said() -> None:
    assert row_text("square", QUIET, 70) == (
        "square ━━━━━━━━━───────────────────── 12/40 1.7/s 0:00:07 left 0:00:16"
    ).ljust(70)
    assert row_text("f", ENDLESS, 50) == "f 12 done 1.7/s 0:00:07 1 failed".ljust(50)
    assert (
        row_text("square", BUSY, 180)
        .rstrip()
        .endswith(
            " 1,234,567/10,000,000 12,346/s 12:41:19 left 1 d 3:26:05 "
            "1,234 failed, 56,789 retried, 1,000,000 from the journal"
        )
    )


def test_with_little_room_the_bar_goes_and_then_the_rest_but_counts_and_failures_stay() -> None:
    assert row_text("square", BUSY, 80) == (
        "1,234,567/10,000,000 1,234 failed 12,346/s left 1 d 3:26:05 56,789 retried squa…"
    )
    assert "━" not in row_text("square", QUIET, 30)


def test_an_empty_input_is_done() -> None:
    assert "━━━ 0/0" in row_text("f", Progress(0, 0, 0, 0, 0, 0.0, None, 0.0, True), 60)


def test_failures_are_red() -> None:
    assert "\x1b[31m1 failed\x1b[0m" in row_text("f", ENDLESS, 50, coloured=True)
