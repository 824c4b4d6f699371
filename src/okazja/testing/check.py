"""What a check is, and which executors it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

__all__ = ["Check", "MakeExecutor", "Maker", "Traits", "caught", "collect", "needs"]

MakeExecutor = Callable[..., Any]  # an Executor; what has no static type is what this kit is to find out


@dataclass(frozen=True, slots=True)
class Traits:
    """What an executor is like; says which checks concern it.

    concurrent: with ``max_workers=2`` two calls run at the same time, and ``submit`` doesn't wait for
    its call. False for an executor that runs calls in the calling thread; it is made without ``max_workers``.
    shares_memory: tasks get the very objects that were passed, as they do on threads.
    contextvars: whose values tasks see: ``"all"`` of the submitter's variables, those ``"named"`` by the parameter
    ``context`` of the executor, or ``"none"``.
    chunks: ``map`` sends several items at once.
    forks: a child of ``os.fork`` can make an executor of its own; multiprocessing's "forkserver" can't.
    streams: has ``stream``.
    extended: keeps what okazja promises beyond the standard library: futures that can be awaited, lazy ``map``,
    arity checked at the call of ``map``, lost errors reported, tasks that can't be tasks refused. Without it, what
    is left is the contract of ``concurrent.futures.Executor``.
    """

    concurrent: bool = True
    shares_memory: bool = False
    contextvars: Literal["all", "named", "none"] = "none"
    chunks: bool = False
    forks: bool = True
    streams: bool = True
    extended: bool = True


Concerns = Callable[[Traits], bool]
CheckFunction = Callable[["Maker"], None]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes executors for a check, as its traits allow."""

    make_executor: MakeExecutor
    traits: Traits

    def __call__(self, max_workers: int = 2, **options: Any) -> Any:
        """A new executor."""
        if self.traits.concurrent:
            options["max_workers"] = max_workers
        executor = self.make_executor(**options)
        assert isinstance(executor, Executor), f"not a concurrent.futures.Executor: {executor!r}"
        return executor


@dataclass(frozen=True, slots=True)
class Check:
    """One guarantee, held against one kind of executor when called; raises AssertionError."""

    name: str
    guarantee: str
    function: CheckFunction
    maker: Maker

    def __call__(self) -> None:
        """Make an executor and look."""
        self.function(self.maker)

    def __str__(self) -> str:
        return self.name


def needs(concerns: Concerns) -> Callable[[CheckFunction], CheckFunction]:
    """Have a check concern only the executors whose traits ``concerns`` accepts."""

    def mark(function: CheckFunction) -> CheckFunction:
        function.__dict__["concerns"] = concerns
        return function

    return mark


def collect(chapter: ModuleType, make_executor: MakeExecutor, traits: Traits) -> Iterator[Check]:
    """The checks of a chapter: its functions named ``check_...``, in the order of the file."""
    maker = Maker(make_executor, traits)
    for name, function in vars(chapter).items():
        if name.startswith("check_") and function.__dict__.get("concerns", lambda _: True)(traits):
            title = f"{chapter.__name__.rpartition('.')[2]}: {name.removeprefix('check_').replace('_', ' ')}"
            yield Check(title, " ".join((function.__doc__ or "").split()), function, maker)


def caught(call: Callable[..., object], *args: Any) -> BaseException | None:
    """What a call raises, for a check to look at."""
    try:
        call(*args)
    except BaseException as error:
        return error
    return None
