"""Executors whose primitives are held to the same tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from okazja import Executor


@pytest.fixture(params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One with two workers, of each kind whose tasks run side by side."""
    with Executor(request.param, max_workers=2) as executor:
        yield executor
