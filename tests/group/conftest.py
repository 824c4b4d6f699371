from __future__ import annotations

from collections.abc import Iterator

import pytest

from okazja import Executor
from okazja.testing import Gate


@pytest.fixture(params=("serial", "threads", "asyncio", "processes"))
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(request.param) as executor:
        yield executor


@pytest.fixture(params=("threads", "asyncio", "processes"))
def concurrent(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(request.param, max_workers=2) as executor:
        yield executor


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate
