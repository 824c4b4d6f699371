"""A real PostgreSQL for the examples that talk to one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.postgresql import REMEDY, find_binaries, server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """What ``psycopg.connect`` takes to reach it."""
    pytest.importorskip("psycopg", reason="talks to PostgreSQL; the extra `test` brings it")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(REMEDY)
    with server(binaries) as conninfo:
        yield conninfo
