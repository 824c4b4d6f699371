"""Every backend passes the kit of okazja.testing; the standard library's threads pass its part of the kit."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import okazja
from okazja.testing import Check, MakeExecutor, Traits, checks_for

PROCESSES = Traits(contextvars="named", chunks=True)

KINDS: dict[str, tuple[MakeExecutor, Traits]] = {
    "serial": (
        functools.partial(okazja.Executor, "serial"),
        Traits(concurrent=False, shares_memory=True, contextvars="all"),
    ),
    "threads": (
        functools.partial(okazja.Executor, "threads"),
        Traits(shares_memory=True, contextvars="all"),
    ),
    "processes": (functools.partial(okazja.Executor, "processes"), PROCESSES),
    "fork": (functools.partial(okazja.Executor, "processes", mp_context="fork"), PROCESSES),
    "spawn": (functools.partial(okazja.Executor, "processes", mp_context="spawn"), PROCESSES),
    "forkserver": (functools.partial(okazja.Executor, "processes", mp_context="forkserver"), PROCESSES),
    "ThreadPoolExecutor": (ThreadPoolExecutor, Traits(shares_memory=True, streams=False, extended=False)),
}


def all_checks() -> Iterator[object]:
    for kind, (make_executor, traits) in KINDS.items():
        for check in checks_for(make_executor, traits):
            yield pytest.param(check, id=f"{kind}: {check}")


@pytest.mark.parametrize("check", [*all_checks()])
def test_conformance(check: Check) -> None:
    check()
