"""From a function and its arguments to a call that is on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from okazja._core.messages import Call, Function, Timing
from okazja._engine.engine import Engine
from okazja._engine.future import Future
from okazja._transport import codec, pickling
from okazja._worker.context import context_values
from okazja._worker.task import check_task, name_of
from okazja.errors import NotPicklable

__all__ = ["submit"]

_UNTIMED = Timing()


def submit(
    engine: Engine,
    future: Future[Any],
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context_vars: Sequence[ContextVar[Any]],
) -> None:
    """Have ``fn(*args, **kwargs)`` run for a new future. What can't be pickled fails it; see Executor.submit."""
    function = engine.functions.again(fn)
    if function is None:
        check_task(fn)
        future.name = name_of(fn)
    else:
        future.name = function.name
    engine.check_open()
    if engine.shares_memory:
        function = Function(fn, future.name, _UNTIMED)
        call = Call(engine.number_call(), function, codec.ARGS, (args, kwargs), future)
        call.context = future._context()
        if engine.cancels:
            future._call, future._end = call, engine.stop_call
    else:
        try:
            if function is None:
                function = engine.functions.for_submit(fn, future.name)
            kind, payload = codec.encode_args(args, kwargs, engine.arena)
            call = Call(engine.number_call(), function, kind, payload, future)
            if type(future) is Future:  # the only kind that the shortcut settles
                future._call, future._assist = call, engine.shortcut
            if context_vars:
                call.context = pickling.dumps(context_values(context_vars), "the context")
        except NotPicklable as error:
            future.set_running_or_notify_cancel()
            future.set_exception(error)
            return
    try:
        engine.dispatch(call)
    finally:
        del call, future  # the frames of a serial call's exception lead here, see serial.execute
