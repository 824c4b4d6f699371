"""Every backend passes the kit of okazja.testing; the standard library's threads pass its part of the kit."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

import okazja
from okazja.testing import Check, MakeExecutor, Traits, checks_for

LOCAL = Traits(shares_memory=True, contextvars="all")
PROCESSES = Traits(contextvars="named", chunks=True)


def okazja_executor(backend: str, **options: Any) -> MakeExecutor:
    return functools.partial(okazja.Executor, backend, **options)


KINDS: dict[str, tuple[MakeExecutor, Traits]] = {
    "serial": (okazja_executor("serial"), replace(LOCAL, concurrent=False)),
    "threads": (okazja_executor("threads"), LOCAL),
    "asyncio": (okazja_executor("asyncio"), LOCAL),
    "processes": (okazja_executor("processes"), PROCESSES),
    "fork": (okazja_executor("processes", mp_context="fork"), PROCESSES),
    "spawn": (okazja_executor("processes", mp_context="spawn"), PROCESSES),
    # multiprocessing waits for the server as for a child of its own, which it is not in the child of a fork
    "forkserver": (okazja_executor("processes", mp_context="forkserver"), replace(PROCESSES, forks=False)),
    "ThreadPoolExecutor": (
        ThreadPoolExecutor,
        replace(LOCAL, contextvars="none", streams=False, extended=False),
    ),
}


def all_checks() -> Iterator[object]:
    for kind, (make_executor, traits) in KINDS.items():
        for check in checks_for(make_executor, traits):
            yield pytest.param(check, id=f"{kind}: {check}")


@pytest.mark.parametrize("check", [*all_checks()])
def test_conformance(check: Check) -> None:
    check()


@pytest.mark.parametrize("check", [*checks_for(*KINDS["asyncio"])], ids=str)
def test_conformance_without_uvloop(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    check()
