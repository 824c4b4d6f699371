"""The conformance kit: what every executor must do, whatever carries out its calls.

``checks_for(make_executor, traits)`` gives the checks that concern an executor, as callables without
arguments that raise AssertionError; any test runner can call them. The guarantee that a check holds is
its docstring. Each makes executors of its own, shuts them down, and takes up to a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from okazja.testing.check import Check, MakeExecutor, Traits, collect
from okazja.testing.gate import PATIENCE, Gate

__all__ = ["PATIENCE", "Check", "Gate", "MakeExecutor", "Traits", "checks_for"]

CHAPTERS = (
    "futures",
    "maps",
    "streams",
    "contexts",
    "coroutines",
    "groups",
    "reports",
    "lifetimes",
    "endings",
    "forks",
)


def checks_for(make_executor: MakeExecutor, traits: Traits) -> Iterator[Check]:
    """The checks that concern such an executor, chapter by chapter.

    make_executor: called with keyword arguments of the standard library's pools, those that a check needs:
    ``max_workers``, ``initializer`` and ``initargs``, and with ``context`` where ``traits`` says so. Gives an executor
    that nobody else uses. It must be picklable (a function of a module, or a ``functools.partial`` of one),
    as some checks use it in another interpreter.
    """
    for chapter in CHAPTERS:
        yield from collect(import_module(f"{__name__}.{chapter}"), make_executor, traits)
