"""Which worker gets which call, and what becomes of the calls of a worker that dies.

Pure: no threads, no I/O, no clock. The caller holds a lock around every method and carries out what
they return. Workers are known by their slot, 0 to ``max_workers - 1``; a slot outlives its process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count, islice
from typing import NamedTuple

from okazja._core.messages import Call, Reply

__all__ = ["MAX_START_DEATHS", "Scheduler", "Verdict"]

MAX_START_DEATHS = 3  # workers in a row that die before they are ready, then the executor is broken
PATIENCE = 0.002  # seconds that work waits behind a running call before its worker is asked for it
LONGEST_PAUSE = 0.25  # seconds between two such requests, at most
LOOKS = 4  # workers that a submit looks at for room before it gives up; the next reply finds the rest
BATCH = 16  # calls that wait before they are sent behind running ones; fewer wait for the next reply
LEAST_BRISK = 2  # workers that share short calls, at least; more of them only where there are more CPUs


@dataclass(slots=True, eq=False)
class _Worker:
    slot: int
    held: dict[int, Call] = field(default_factory=dict)  # sent and not yet replied to, oldest first
    alive: bool = False  # a process stands behind it, or was asked for
    ready: bool = False  # it has started, and its initializer has run
    taken: int = 0  # items sent to this process so far
    worn: bool = False  # it asked to be replaced
    listed: bool = False  # it stands in the idle list
    noticed: int = 0  # the running call behind which others were seen to wait
    asked: int = 0  # the running call during which it was asked to hand back the rest, or found to be slow
    answered: int = 0  # the running call during which it did so
    due: float = 0.0  # when to ask (again), in seconds of the caller's clock
    pause: float = 0.0  # seconds between the last two times

    def forget(self, number: int) -> None:
        """The call has left this worker. If it comes again, it may be slow again, and what it holds is new."""
        if number == self.noticed:
            self.noticed = 0
        if number == self.asked:
            self.asked = 0
        if number == self.answered:
            self.answered = 0


class Verdict(NamedTuple):
    """What follows from a worker's death."""

    guilty: Call | None  # the call whose item ran; narrowed to that item
    broken: bool  # too many deaths while starting: give up


class Scheduler:
    """Calls wait in a backlog; each worker holds as many as its credit allows.

    Guarantees: a call is held by one worker at most; calls leave the backlog in the order in which
    they came, those of dead workers and urgent ones first; a call that a worker has begun is never given to another.
    """

    def __init__(self, max_workers: int, max_items: int | None = None, cpus: int = LEAST_BRISK) -> None:
        self.backlog: deque[Call] = deque()
        self.pending = 0  # calls accepted and not yet settled
        self.workers = [_Worker(slot) for slot in range(max_workers)]
        self.max_items = max_items  # items that one process may run; None: no limit
        self._unstarted = list(range(max_workers - 1, -1, -1))  # slots without a process
        self._idle: list[int] = []  # slots with a process and nothing to do; may hold stale entries
        self._deep: set[int] = set()  # slots that hold what could wait; may hold stale entries
        self._brisk: set[int] = set()  # slots that hold short calls and have not been seen to be slow
        self._most_brisk = max(cpus, LEAST_BRISK)
        self._parked = False  # calls or items may wait beside idle workers; `relieve` resets it
        self._watched = False  # and somebody has set a time to look again
        self._some_worn = False  # a living worker has asked to be replaced
        self.given: list[
            int
        ] = []  # told of each slot that is given a call; whose list it is, the caller knows
        self.refused: list[Call] = []  # that must not begin, as their sinks have said; for the caller to take
        self._next_look = 0
        self._start_deaths = 0
        self._numbers = count(1)

    def number(self) -> int:
        """A number for a new call, unique in this executor."""
        return next(self._numbers)

    # --- calls come in ------------------------------------------------------------------------------

    def offer(self, call: Call) -> int | None:
        """Accept a call. Returns the slot of an idle worker to send it to, or None if it waits in the backlog.

        One by one, calls are sent to idle workers only: a write for each of many short calls costs more
        than the calls. See `is_ripe` and `top_up` for the others.
        """
        self.pending += 1
        if not self.backlog:
            slot = None if self._is_shared_out(call) else self._free_slot()
            if slot is not None:
                self._cut_to_life(self.workers[slot], call)
                self._give(self.workers[slot], call)
                # Its items may wait for each other while others rest, and no reply may be due: see `stuck`.
                self._parked = self._parked or (call.items > 1 and bool(self._idle or self._unstarted))
                return slot
        if call.urgent:
            self.backlog.appendleft(call)
        else:
            self.backlog.append(call)
        return None

    def is_ripe(self) -> bool:
        """Whether so many short calls wait that it is time for a packet of them; true at every BATCH-th."""
        waiting = len(self.backlog)
        return not waiting % BATCH and waiting > 0 and self.backlog[0].fn.timing.credit > BATCH

    def _is_shared_out(self, call: Call) -> bool:
        """Whether a call is so short that waking up one more worker for it costs more than it gains.

        As many as there are CPUs share such calls. If one of them turns out to be slow, `relieve` has others take over.
        """
        if len(self._brisk) < self._most_brisk or call.fn.timing.credit <= BATCH:
            return False
        self._parked = bool(self._idle or self._unstarted)
        return True

    def needs_watch(self) -> bool:
        """Whether `relieve` and `stuck` must be asked soon; said once."""
        needed = self._parked and not self._watched
        self._watched = self._watched or needed
        return needed

    def relieve(self, now: float) -> float | None:
        """Find those that share short calls and have been at one for PATIENCE. When to look again, in seconds."""
        pause: float | None = None
        self._watched = self._parked = bool(self.backlog and (self._idle or self._unstarted))
        if not self._watched:
            return None
        for slot in list(self._brisk):
            worker = self.workers[slot]
            running = next(iter(worker.held), 0)
            if worker.noticed != running:
                worker.noticed, worker.pause, worker.due = running, PATIENCE, now + PATIENCE
            elif now >= worker.due:
                self._brisk.discard(slot)
                worker.asked = running  # so it gets nothing more meanwhile
                if running:
                    worker.held[running].fn.timing.doubt()
                continue
            left = worker.due - now
            pause = left if pause is None else min(pause, left)
        return pause

    def some_slots(self) -> list[int]:
        """LOOKS workers that may soon be short of work, others each time."""
        if self._brisk:
            return list(islice(self._brisk, LOOKS))
        count = len(self.workers)
        start = self._next_look = (self._next_look + LOOKS) % count
        return [(start + step) % count for step in range(min(LOOKS, count))]

    def _free_slot(self) -> int | None:
        """A worker with nothing to do, or one yet to be started; it is up to the caller to use it."""
        while self._idle:
            worker = self.workers[self._idle.pop()]
            worker.listed = False
            if worker.alive and not worker.held and self._has_life(worker):
                return worker.slot
        return self._unstarted.pop() if self._unstarted else None

    def _has_life(self, worker: _Worker) -> bool:
        return worker.alive and not worker.worn and (self.max_items is None or worker.taken < self.max_items)

    def _takes_more(self, worker: _Worker) -> bool:
        """Whether calls may wait behind the running one: it has not kept others waiting before."""
        return self._has_life(worker) and (not worker.asked or next(iter(worker.held), 0) != worker.asked)

    def _cut_to_life(self, worker: _Worker, call: Call) -> None:
        """Leave the items of a chunk that this process may not run any more to another."""
        if self.max_items is not None:
            room = self.max_items - worker.taken
            if call.items > room:
                self.backlog.appendleft(call.part(self.number(), call.lo + room, call.hi))
                call.hi = call.lo + room
                self.pending += 1

    def _give(self, worker: _Worker, call: Call) -> None:
        self.given.append(worker.slot)
        worker.alive = True
        worker.taken += call.items
        worker.held[call.id] = call
        call.slot = worker.slot
        if len(worker.held) > 1 or call.hi - call.lo > 1:
            self._deep.add(worker.slot)
        if call.fn.timing.credit > BATCH:
            self._brisk.add(worker.slot)

    def top_up(self, slots: Iterable[int] | None = None) -> list[tuple[int, list[Call]]]:
        """Give the backlog to workers that are short of work: whom to send what.

        slots: the workers that may have become so, besides the idle ones; None: any.

        A worker is filled up when it is down to half of its credit, so that one write carries many
        calls. Cancelled calls are dropped; the others have begun as far as their future can tell.
        """
        sends: dict[int, list[Call]] = {}
        while self.backlog and not self._is_shared_out(self.backlog[0]):
            slot = self._free_slot()
            if slot is None:
                break
            if not self._fill(slot, 1, sends):
                self._list_if_idle(self.workers[slot])
        if self.backlog:
            credit = self.backlog[0].fn.timing.credit
            looked_at = self.workers if slots is None else map(self.workers.__getitem__, slots)
            short = [w for w in looked_at if len(w.held) <= credit // 2 and self._takes_more(w)]
            # Others may be short of work a moment later: nobody takes more than what falls to each.
            sharers = len(self._brisk) if credit > BATCH else len(self.workers) - len(self._unstarted)
            share = -(-len(self.backlog) // max(sharers, 1))
            for worker in short:
                self._fill(worker.slot, min(credit - len(worker.held), share), sends)
        return list(sends.items())

    def _fill(self, slot: int, room: int, sends: dict[int, list[Call]]) -> int:
        """Move up to ``room`` live calls from the backlog to one worker; how many they were."""
        worker, moved = self.workers[slot], 0
        while self.backlog and moved < room and (not moved or self._has_life(worker)):
            call = self.backlog.popleft()
            if call.sink._begin():
                self._cut_to_life(worker, call)
                self._give(worker, call)
                sends.setdefault(slot, []).append(call)
                moved += 1
            else:
                self.pending -= 1
                self.refused.append(call)
        return moved

    def take_back(self, slot: int, calls: Iterable[Call]) -> None:
        """Calls that could not be sent, or that a worker gave back: the next to be sent."""
        worker = self.workers[slot]
        back = [call for call in calls if worker.held.pop(call.id, None) is not None]
        for call in back:
            worker.taken -= call.items
            call.slot = -1
            worker.forget(call.id)
        self.backlog.extendleft(reversed(back))
        if not worker.held:
            self._brisk.discard(slot)
        if worker.alive and not worker.held and not worker.listed and self._has_life(worker):
            worker.listed = True
            self._idle.insert(0, slot)  # the last to be asked: it had a reason to give them back

    # --- calls come back ------------------------------------------------------------------------------

    def replied(self, slot: int, replies: Iterable[Reply]) -> list[tuple[Call, Reply]]:
        """A worker is done with calls: each with its reply, but for those that it did not hold (any more)."""
        worker = self.workers[slot]
        held = worker.held
        done = []
        for reply in replies:
            call = held.pop(reply[0], None)
            if call is not None:
                call.fn.timing.measured(reply[3])
                done.append((call, reply))
        self.pending -= len(done)
        if done and not held:
            self._brisk.discard(slot)
            self._list_if_idle(worker)
        return done

    def _list_if_idle(self, worker: _Worker) -> None:
        if worker.held or worker.listed:
            return
        if not worker.alive:
            self._unstarted.append(worker.slot)
        elif self._has_life(worker):
            worker.listed = True
            self._idle.append(worker.slot)

    def narrow(self, slot: int, number: int, first: int) -> Call | None:
        """A worker gave back the items from ``first`` on of a call that it goes on with.

        Returns a call for them, which waits at the head of the backlog from now on.
        """
        worker = self.workers[slot]
        call = worker.held.get(number)
        if call is None or not call.lo < first < call.hi:
            return None
        rest = call.part(self.number(), first, call.hi)
        worker.taken -= rest.items
        call.hi = first
        self.pending += 1
        self.backlog.appendleft(rest)
        return rest

    # --- the life of workers -----------------------------------------------------------------------

    def ready(self, slot: int) -> None:
        """A worker has started."""
        self.workers[slot].ready = True
        self._start_deaths = 0

    def wear_out(self, slot: int) -> None:
        """A worker asks to be replaced: it gets no more calls, and retires once it holds none."""
        self.workers[slot].worn = self._some_worn = True

    def retiring(self) -> list[int]:
        """Workers that may run nothing more and hold nothing: to be told to exit, once.

        They have run all the items they may, or have asked to be replaced.
        """
        done = []
        if self.max_items is not None or self._some_worn:
            for worker in self.workers:
                if worker.alive and not worker.held and not self._has_life(worker):
                    worker.alive = False  # until Died puts the slot back
                    done.append(worker.slot)
            self._some_worn = any(worker.worn and worker.alive for worker in self.workers)
        return done

    def died(self, slot: int, number: int, item: int, span: int = 0) -> Verdict:
        """A worker has ended while its mark said item ``item`` of call ``number`` (0: none), or one of ``span`` more.

        The item it ran is guilty; everything else that it held goes back to the head of the backlog.
        Where the mark is not of one item of the call, those that it may mean go back one by one: the guilty
        one, run by itself, will be known.
        """
        worker = self.workers[slot]
        held, worker.held = worker.held, {}
        if not worker.ready:
            self._start_deaths += 1
        self._brisk.discard(slot)
        worker.alive = worker.ready = worker.listed = worker.worn = False
        worker.taken = worker.asked = worker.answered = worker.noticed = 0
        self._unstarted.append(slot)
        guilty = held.pop(number, None)
        again = list(held.values())
        if guilty is not None and guilty.items > 1:
            known = guilty.lo <= item < guilty.hi
            last = min(item + span + 1, guilty.hi) if known else guilty.hi
            first = item if known else guilty.lo
            suspects = range(first, last) if last - first > 1 else range(0)
            again = self._innocent_parts(guilty, first, suspects, last) + again
            guilty = None if suspects else guilty.part(number, item, item + 1)
        elif guilty is not None:
            self.pending -= 1
        for call in again:
            call.slot = -1
        self.backlog.extendleft(reversed(again))
        return Verdict(guilty, self._start_deaths >= MAX_START_DEATHS)

    def _innocent_parts(self, call: Call, first: int, suspects: range, last: int) -> list[Call]:
        """The items of a chunk before ``first`` and from ``last`` on, and each suspect, as calls of their own."""
        ranges = [(call.lo, first), *((item, item + 1) for item in suspects), (last, call.hi)]
        parts = [call.part(self.number(), lo, hi) for lo, hi in ranges if lo < hi]
        self.pending += len(parts) - 1
        return parts

    def repair(self) -> None:
        """Make whole what `replied` left half done when an exception (Ctrl-C) broke into it."""
        self.pending = len(self.backlog) + sum(len(worker.held) for worker in self.workers)
        self._idle = [w.slot for w in self.workers if not w.held and self._has_life(w)]
        self._deep = {w.slot for w in self.workers if w.held}
        self._brisk &= self._deep
        for worker in self.workers:
            worker.listed = worker.slot in self._idle

    # --- work stuck behind other work -------------------------------------------------------------------

    def stuck(self, now: float) -> tuple[list[int], float | None]:
        """Workers that hold work behind a running call while others rest: whom to ask for it, when to look again.

        A worker is asked when it was seen so PATIENCE ago, and again, less and less often, until it answers.
        """
        ripe: list[int] = []
        pause: float | None = None
        if self.backlog or not self.has_free():
            return ripe, pause
        for slot in list(self._deep):
            worker = self.workers[slot]
            running = next(iter(worker.held.values()), None)
            if running is None or (len(worker.held) == 1 and running.items == 1):
                self._deep.discard(slot)
                continue
            if worker.answered == running.id:
                continue
            if worker.noticed != running.id:
                worker.noticed = running.id
                worker.pause = PATIENCE
                worker.due = now + PATIENCE
            elif now >= worker.due:
                worker.asked = running.id
                worker.pause = min(worker.pause * 2, LONGEST_PAUSE)
                worker.due = now + worker.pause
                ripe.append(worker.slot)
            left = worker.due - now
            pause = left if pause is None else min(pause, left)
        return ripe, pause

    def answered(self, slot: int) -> None:
        """A worker has given back what it could."""
        worker = self.workers[slot]
        if len(worker.held) == 1:  # else some call was still on its way to the worker: ask again
            # It may have done so without being asked, because the call waits: nothing more goes behind that.
            worker.answered = worker.asked = next(iter(worker.held))

    def has_free(self) -> bool:
        """Whether some worker has nothing to do, or can be started."""
        if self._unstarted:
            return True
        return any(
            not w.held and w.ready and self._has_life(w) for w in map(self.workers.__getitem__, self._idle)
        )

    def drop_backlog(self) -> list[Call]:
        """Give up what was not sent; the caller tells the sinks."""
        dropped = list(self.backlog)
        self.backlog.clear()
        self.pending -= len(dropped)
        return dropped

    def withdraw(self, chosen: Callable[[Call], bool]) -> list[Call]:
        """Give up some of what was not sent; the caller tells the sinks."""
        dropped = [call for call in self.backlog if chosen(call)]
        if dropped:
            kept = [call for call in self.backlog if not chosen(call)]
            self.backlog.clear()
            self.backlog.extend(kept)
            self.pending -= len(dropped)
        return dropped

    def drop_all(self) -> list[Call]:
        """Give up everything, sent or not."""
        dropped = self.drop_backlog()
        for worker in self.workers:
            dropped += worker.held.values()
            worker.held = {}
        self.pending = 0
        return dropped
