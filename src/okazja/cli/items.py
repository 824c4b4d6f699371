"""The items that ``--over A..B[..STEP]`` names."""

from __future__ import annotations

import re
import sys

import click

from okazja.errors import BadInput

__all__ = ["OVER", "WORKERS", "parse_over", "parse_workers"]

NUMBER = r"[+-]?\d[\d_]*"
PATTERN = re.compile(rf"({NUMBER})\.\.({NUMBER})(?:\.\.({NUMBER}))?")


def parse_over(text: str) -> range:
    """``1..10`` is 1 to 10, both included; ``1..10..3`` is 1, 4, 7, 10; ``5..1..-1`` counts down."""
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"can't read {text!r} as numbers: write A..B or A..B..STEP, such as 1..1000")
    try:
        first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    except ValueError as error:
        raise BadInput(f"can't read {text!r} as numbers: {error}") from error
    if step == 0:
        raise BadInput(f"the step of {text!r} is 0, so it would never end: leave it out, or write 1")
    items = range(first, last + (1 if step > 0 else -1), step)
    if abs(last - first) // abs(step) >= sys.maxsize:
        raise BadInput(f"{text!r} is more numbers than can be counted: take fewer than {sys.maxsize:,}")
    if not items:
        raise BadInput(f"{text!r} holds no number: to count the other way, write {first}..{last}..{-step}")
    return items


def parse_workers(text: str) -> tuple[int, ...]:
    """``1,2,4``: numbers of workers."""
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"can't read {text!r} as numbers of workers: write for instance 1,2,4") from None
    if min(counts) < 1:
        raise BadInput(f"a number of workers must be at least 1, got {min(counts)} in {text!r}")
    return counts


class _Over(click.ParamType[object]):
    name = "A..B[..STEP]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_over(value)
        except BadInput as error:
            self.fail(str(error), param, ctx)


class _Workers(click.ParamType[object]):
    name = "N,N,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_workers(value)
        except BadInput as error:
            self.fail(str(error), param, ctx)


OVER = _Over()
WORKERS = _Workers()
