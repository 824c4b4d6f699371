"""An executor of each backend, with two workers where it can have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from okazja import Executor


@pytest.fixture(params=["serial", "threads", "asyncio", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(request.param, max_workers=1 if request.param == "serial" else 2) as executor:
        yield executor
