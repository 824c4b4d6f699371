"""The one worker loop: read a packet, run its calls, write the replies.

Life of a call here: mark it on the board → load its function and arguments → run → reply. The mark
comes first, so that a call that kills the process while it is being loaded is known to be the guilty
one. A reply is written before the next call begins, so that a result, once there, can't be lost.

The parent can ask for two things while a call runs, by setting COMMAND on the board and sending
SIGNAL: to hand back what was not started, and to interrupt the call. For the latter TARGET names the call
and TARGET_ITEM, in streams, the item; both are compared here, in the thread that runs the item, so that no
other can be hit.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from operator import length_hint
from time import monotonic_ns, perf_counter
from types import CoroutineType, FrameType
from typing import Any

from okazja._transport import codec, pickling, waiting
from okazja._transport.arena import Arena, Large
from okazja._transport.board import (
    CALL,
    COMMAND,
    DONE,
    FIRST,
    ITEM,
    PID,
    SPAN,
    STARTED,
    TARGET,
    TARGET_ITEM,
    TID,
    UNKNOWN,
    Board,
)
from okazja._transport.channel import DEFINE, TIDY
from okazja._worker.cancellation import CancellationToken, enter_worker
from okazja._worker.context import with_context
from okazja._worker.coroutines import finish, finished, runs_coroutine, standing_in
from okazja._worker.interrupt import Interrupted
from okazja._worker.limits import MemoryLimit, Watched
from okazja._worker.logs import WorkerMouth
from okazja._worker.task import finish_coroutines, name_of

__all__ = [
    "BACK",
    "FAILED",
    "HAND_BACK",
    "INTERRUPT",
    "READY",
    "SIGNAL",
    "WAITS",
    "WORN_OUT",
    "Interrupted",
    "Worker",
]

SIGNAL = getattr(signal, "SIGRTMIN", 34) + 7  # a real-time signal that nobody else is known to use
HAND_BACK, INTERRUPT = 1, 2  # values of COMMAND, a sum

# Replies that are no call's: (0, one of these, body).
READY, FAILED, BACK, WORN_OUT, WAITS = "ready", "failed", "back", "worn out", "waits"

BLOCK = 32  # quick items that share a mark
QUICK = BLOCK * 2e-6  # seconds for a block; with slower ones, each has a mark of its own

FUNCTIONS = 64  # loaded functions kept at most, the oldest is dropped


class Worker:
    """One worker process, from its first packet to its last."""

    def __init__(self, end: WorkerMouth, board: Board, slot: int, results: Arena) -> None:
        self._end = end
        self._results = results  # where large ones are put
        self._board = board
        self._slot = slot
        self._words = board.words(slot)
        self._entries: deque[tuple[Any, ...]] = deque()  # read, not started
        self._rest: Iterator[Any] | None = None  # items not started of the running chunk
        self._loading = False  # the running chunk's items are not there yet
        self._number = 0  # the running call
        self._end_of_chunk = 0  # position after the last item of the running chunk
        self._item = -1  # the running item of a stream's chunk; -1: none, so nothing to interrupt
        self._times: list[int] = []  # ns that each item of a stream's chunk took so far
        self._interrupted: dict[int, str] = {}  # where it stood, by item of a stream's chunk
        self._token = CancellationToken()  # of what runs, if it asked for one
        self._token_of = (0, -1)
        self._struck = 0  # the last call that was interrupted as a whole
        self._in_task = False  # the main thread is in a task, so a signal handler may reply
        self._asked = False  # to hand back, at the next chance
        self._handing_back = False
        self.memory: MemoryLimit | None = None
        self._worn = False  # the parent was asked to replace this worker
        self._forked = False  # this is a child that a task forked
        self._references: dict[bytes, Any] = {}
        self._defined: OrderedDict[int, Any] = OrderedDict()  # token → (pickled, name) or callable
        self._described: Any = None

    def serve(self) -> None:
        """Run calls until no more will come."""
        words = self._words
        signal.signal(SIGNAL, self._on_signal)  # before PID, which says where to send it
        words[PID] = os.getpid()
        words[TID] = threading.get_native_id()
        os.register_at_fork(after_in_child=self._after_fork)
        waiting.before_wait = self._before_wait
        waiting.still_waits = self._still_waits
        enter_worker(self.token)
        while True:
            words[CALL] = 0
            entries = self._end.receive()
            if entries is None:
                break
            self._entries.extend(entries)
            while self._entries:
                if self._asked or self._worn:
                    self._hand_back()
                    break
                self._run(self._entries.popleft())
                if self.memory is not None:
                    self._look_after_memory(self.memory)

    def ready(self) -> None:
        """Tell the parent that calls may come."""
        if self.memory is not None:
            self.memory.settled()
            self._end.on_shortage = self.memory.lift
        self._end.send((0, READY, None))

    def failed(self, error: BaseException) -> None:
        """Tell the parent that this worker can't work."""
        self._end.send((0, FAILED, codec.encode_error(error, skip=1)))

    # --- one entry --------------------------------------------------------------------------------

    def _run(self, entry: tuple[Any, ...]) -> None:
        if not entry[0]:
            if entry[1] == TIDY:
                self._results.tidy(rest=True)
                return
            assert entry[1] == DEFINE
            self._defined[entry[2]] = entry[3:]
            if len(self._defined) > FUNCTIONS:
                self._defined.popitem(last=False)
            return
        number, function, kind, _, lo, _, _, base = entry
        if type(function) is int and function not in self._defined:
            self._end.send((0, BACK, [(number, lo)]))  # the parent defines it again
            return
        words = self._words
        words[ITEM] = lo
        words[FIRST] = base + 1
        words[SPAN] = 0
        words[STARTED] = 0 if kind & codec.TIMED else monotonic_ns()  # 0: the function is being loaded
        words[CALL] = self._number = number
        reply = self._chunk(*entry[:7]) if kind & codec.ITEMS else self._single(*entry[:7])
        if self._forked:
            os._exit(0)  # a child that a task forked came back from it: the reply is the worker's alone
        if reply[4] == lo:
            words[CALL] = 0  # all of the chunk was handed back: somebody else replies
        else:
            self._reply(reply)

    def _reply(self, reply: tuple[Any, ...]) -> None:
        """Send the reply of the running call."""
        body = reply[2]
        if type(body) is Large:
            self._results.lend(body.blocks)
            reply = (*reply[:2], body.reference, *reply[3:])
        try:
            self._with_room(self._end.send, reply)
        except OSError:  # a task has closed descriptors that are not its own, perhaps long ago
            self._words[ITEM] = UNKNOWN
            raise

    def _single(
        self, number: int, function: Any, kind: int, payload: Any, lo: int, hi: int, context: bytes | None
    ) -> tuple[Any, ...]:
        start = perf_counter()
        try:
            self._enter_task()
            fn = self._load(function, context)
            args, kwargs = pickling.loads(payload) if kind else (payload, {})
            value = fn(*args, **kwargs)
            form, body = codec.encode_value(finished(value), self._results)
            self._in_task = False
        except BaseException as error:
            self._in_task = False
            form, body = codec.ERROR, self._error(error)
        self._words[DONE] += 1
        return number, form, body, perf_counter() - start, hi

    def _chunk(
        self, number: int, function: Any, kind: int, payload: bytes, lo: int, hi: int, context: bytes | None
    ) -> tuple[Any, ...]:
        start = perf_counter()
        errors: dict[int, tuple[bytes, str]] = {}
        values: list[Any] = []
        timed = kind & codec.TIMED
        run_items = self._run_timed if timed else self._run_items
        self._times, self._interrupted = [], {}
        self._loading = True
        try:
            self._enter_task()
            fn = self._load(function, context)
            rest: Iterator[Any]
            self._end_of_chunk = hi
            self._rest = rest = iter(self._with_room(codec.decode_items, kind, payload)[lo:hi])
            if self.memory is not None:
                self.memory.enforce()
                rest = Watched(rest, self.memory, self._hand_back)
            self._loading = False
            if self._asked:
                self._hand_back()
            while run_items(fn, rest, kind, values, lo, errors):
                pass
            self._words[SPAN] = 0
            unsent: dict[int, BaseException] = {}
            kinds = set(map(type, values))
            mark = functools.partial(_mark_timed if timed else _mark_item, self._words, lo)
            if CoroutineType in kinds:
                finish_coroutines(values, unsent, mark)
                kinds = set(map(type, values))
            form, body, unpicklable = self._encoded(values, kinds, mark)
            self._in_task = False
            for position, problem in (unpicklable | unsent).items():
                errors[lo + position] = codec.encode_error(problem)
        except BaseException as error:
            # The function could not be loaded, or an interrupt came between two items.
            self._in_task = False
            form, body = codec.ERROR, self._error(error)
        self._rest = None
        self._loading = False
        done = min(lo + len(values), hi) if form != codec.ERROR else hi
        self._words[DONE] += done - lo
        if not timed:
            return number, form, body, perf_counter() - start, done, errors
        self._words[STARTED] = 0  # no item runs while the reply is written
        return number, form, body, perf_counter() - start, done, errors, self._times, self._interrupted

    def _run_items(
        self,
        fn: Callable[..., Any],
        rest: Iterator[Any],
        kind: int,
        values: list[Any],
        lo: int,
        errors: dict[int, tuple[bytes, str]],
    ) -> bool:
        """Run items until one fails, False when none is left. Hand-back empties ``rest`` on the way.

        To mark each item takes as long as a tiny one does, so quick ones are run block by block.
        """
        words, append, position = self._words, values.append, lo + len(values)
        star, pickled = kind & codec.STAR, kind & codec.PICKLED
        words[SPAN] = 0
        try:
            if star or pickled:
                for words[ITEM], item in enumerate(rest, position):
                    value = pickling.loads(item) if pickled else item
                    value = fn(*value) if star else fn(value)
                    append(finish(value) if type(value) is CoroutineType else value)
                return False
            while True:
                start = perf_counter()
                if words[SPAN]:
                    words[ITEM] = position
                    values.extend(map(fn, islice(rest, BLOCK)))
                else:
                    for words[ITEM], item in enumerate(islice(rest, BLOCK), position):
                        value = fn(item)
                        append(finish(value) if type(value) is CoroutineType else value)
                if len(values) + lo < position + BLOCK:
                    return False
                position += BLOCK
                words[SPAN] = BLOCK - 1 if perf_counter() - start < QUICK else 0
        except BaseException as error:
            errors[lo + len(values)] = self._error(error)
            append(None)
            return True

    def _run_timed(
        self,
        fn: Callable[..., Any],
        rest: Iterator[Any],
        kind: int,
        values: list[Any],
        lo: int,
        errors: dict[int, tuple[bytes, str]],
    ) -> bool:
        """As ``_run_items``, with the time of each item, any of which can be interrupted without harm to others."""
        words, append, times = self._words, values.append, self._times
        star, pickled = kind & codec.STAR, kind & codec.PICKLED
        try:
            for position, item in enumerate(rest, lo + len(values)):
                words[STARTED] = start = monotonic_ns()  # before ITEM: no item is seen with an older start
                words[ITEM] = self._item = position
                if pickled:
                    item = pickling.loads(item)
                value = fn(*item) if star else fn(item)
                append(finish(value) if type(value) is CoroutineType else value)
                self._item = -1
                times.append(monotonic_ns() - start)
        except BaseException as error:
            position, self._item = self._item, -1  # no call before this, so no signal handler either
            if position < 0:
                raise
            errors[position] = self._error(error)
            del values[position - lo :]  # the interrupt may have come right after the end of the item
            append(None)
            times.append(monotonic_ns() - start)
            return True
        return False

    def _load(self, function: Any, context: bytes | None) -> Callable[..., Any]:
        """The callable that an entry names: a reference, a token, or (pickled, name); with its context variables."""
        if type(function) is bytes:
            fn = self._references.get(function)
            if fn is None:
                fn = self._references[function] = pickling.loads(function)
        elif type(function) is int:
            fn = self._defined[function]
            if type(fn) is tuple:
                fn = self._defined[function] = pickling.loads(fn[0])
        else:
            fn = pickling.loads(function[0])
        if fn is not self._described:
            self._described = fn
            self._board.describe(self._slot, name_of(fn))
        return fn if context is None else with_context(fn, context)

    # --- a limit to memory ----------------------------------------------------------------------------

    def _error(self, error: BaseException) -> tuple[bytes, str]:
        """A task's exception as it travels. After a MemoryError under a limit, this worker begins nothing more."""
        if self.memory is not None and isinstance(error, MemoryError):
            self.memory.make_room()
            self._wear_out()
        return codec.encode_error(error, skip=1)

    def _wear_out(self) -> None:
        """Ask to be replaced, and give back what was not started."""
        self._worn = True
        self._end.send((0, WORN_OUT, None))
        self._hand_back()

    def _look_after_memory(self, memory: MemoryLimit) -> None:
        """Between calls."""
        if not self._worn:
            memory.enforce()
            if memory.worn():
                self._wear_out()

    def _with_room(self, make: Callable[..., Any], *args: Any) -> Any:
        """Do okazja's own part of a call, beyond the limit if need be."""
        try:
            return make(*args)
        except MemoryError:
            if self.memory is None:
                raise
            self.memory.make_room()
            return make(*args)

    def _encoded(
        self, values: list[Any], kinds: set[type], mark: Callable[[int], None]
    ) -> tuple[int, Any, dict[int, BaseException]]:
        """The results of a chunk. Each may be within the limit, and their pickles together beyond it."""
        encoded = codec.encode_values(values, kinds, mark, self._results, Interrupted)
        if self.memory is not None and any(isinstance(error, MemoryError) for error in encoded[2].values()):
            self.memory.make_room()
            encoded = codec.encode_values(values, kinds, mark, self._results, Interrupted)
        return encoded

    # --- requests of the parent -------------------------------------------------------------------------

    def _on_signal(self, _: int, frame: FrameType | None) -> None:
        if self._end.postpone(functools.partial(self._on_signal, SIGNAL, frame)):
            return  # a frame is half written
        words = self._words
        command, words[COMMAND] = words[COMMAND], 0
        if command & HAND_BACK:
            if self._in_task:
                self._hand_back()  # the loop is inside a task, not in the middle of a reply
            else:
                self._asked = True
        if self._in_task and words[TARGET] == self._number:
            self._interrupt(command, words[TARGET_ITEM], frame)

    def _interrupt(self, command: int, target: int, frame: FrameType | None) -> None:
        """Raise in the running task, if it is what the parent means.

        An item that is named needs no command: nobody but the parent writes its name, so it can't get lost.
        What comes after such an item goes back, so that the outcomes so far are not kept waiting for it. An interrupt
        that comes in the middle of that must not tear it: what was not given back yet would be lost. Whoever asked
        for it looks at the target once it is done.
        """
        if not target:
            # The command may have been taken by the handling of another signal: once, the target alone says enough.
            if command & INTERRUPT or self._struck != self._number:
                self._struck = self._number
                self.token().set()
                raise Interrupted
        elif self._handing_back:
            return
        elif self._item == target - 1 and self._item not in self._interrupted:
            self._interrupted[self._item] = ""
            self.token().set()
            try:
                self._interrupted[self._item] = _where(frame)
                self._hand_back()
            finally:
                raise Interrupted

    def token(self) -> CancellationToken:
        """The cancellation token of what runs: set by the time that it is interrupted."""
        running = (self._number, self._item)
        if self._token_of != running:
            self._token, self._token_of = CancellationToken(), running
        return self._token

    def _enter_task(self) -> None:
        """From here on a signal handler may reply. What was asked for a moment before is done now."""
        self._in_task = True
        if self.memory is not None:
            self.memory.enforce()
        if self._asked:
            self._hand_back()

    def _hand_back(self) -> None:
        """Give back what was read and not started: whole calls, and the rest of the running chunk."""
        if self._handing_back:
            return  # the signal has come again, in the middle of what follows, which gives all there is
        self._handing_back = True
        try:
            self._asked = self._loading  # then there is a rest to give, but not yet
            back = [(entry[0], entry[4]) for entry in self._entries if entry[0]]
            defines = [entry for entry in self._entries if not entry[0]]
            self._entries.clear()
            self._entries.extend(defines)
            if self._rest is not None:
                unstarted = length_hint(self._rest)  # exact, as that of a list or range
                deque(self._rest, maxlen=0)
                if unstarted:
                    back.insert(0, (self._number, self._end_of_chunk - unstarted))
            self._end.send((0, BACK, back))
        finally:
            self._handing_back = False

    def _before_wait(self) -> None:
        """A thread waits for a primitive: what it waits for may be in what was not started here."""
        if not self._in_task or threading.current_thread() is not threading.main_thread():
            return
        if self._entries or (self._rest is not None and length_hint(self._rest)):
            self._hand_back()
            if (
                self._words[TARGET] == self._number
            ):  # a signal that came meanwhile has left the rest to this thread
                self._interrupt(0, self._words[TARGET_ITEM], sys._getframe(1))

    def _still_waits(self) -> None:
        """The parent is to see whether anybody is left who could end that."""
        if self._in_task and threading.current_thread() is threading.main_thread():
            self._end.send((0, WAITS, None))

    def _after_fork(self) -> None:
        """In a child that a task forked: nothing here may reach the parent's worker any more."""
        self._forked = True
        waiting.before_wait = waiting.still_waits = None
        self._entries.clear()
        if self._rest is not None:
            deque(self._rest, maxlen=0)  # the items that follow are the parent's to run
        self._words = memoryview(bytearray(64)).cast("Q")
        self._end.close()


def _mark_item(words: memoryview, lo: int, position: int) -> None:
    words[ITEM] = lo + position


def _mark_timed(words: memoryview, lo: int, position: int) -> None:
    """The time to pickle a result counts as a time of its own."""
    words[STARTED] = monotonic_ns()
    words[ITEM] = lo + position


def _where(frame: FrameType | None) -> str:
    """Where a task stands, without the frames of the worker below it; a coroutine, where it waits."""
    if waits := standing_in(threading.get_ident()):
        return "".join(["Traceback (most recent call last):\n", *waits, "Interrupted"])
    inner = takewhile(
        lambda pair: pair[0].f_code.co_filename != __file__ and not runs_coroutine(pair[0]),
        traceback.walk_stack(_interrupted_frame(frame)),
    )
    lines = traceback.StackSummary.extract(inner).format()
    return "".join(["Traceback (most recent call last):\n", *reversed(lines), "Interrupted"])


def _interrupted_frame(frame: FrameType | None) -> FrameType | None:
    """That of the task, where a signal came while another one was being handled: in the middle of `_on_signal`."""
    for outer, _ in traceback.walk_stack(frame):
        if outer.f_code is Worker._on_signal.__code__:
            frame = outer.f_back
    return frame
