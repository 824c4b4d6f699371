"""Whatever happens in whatever order, each item is settled exactly once and held in one place at most.

The machine plays the workers: each has a queue of what it was sent, begins its calls in that order and
leaves a mark of what it runs, as real ones do on the board.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from okazja._core.messages import Call, Function, Reply, Timing
from okazja._core.scheduler import BATCH, LEAST_BRISK, MAX_START_DEATHS, Scheduler

SECONDS = (1e-6, 3e-4, 1.0)  # of the functions: tiny, short, long


class Client:
    """A sink that may cancel what has not begun."""

    _runs_again = False

    def __init__(self) -> None:
        self.begun = False
        self.cancelled = False

    def _begin(self) -> bool:
        if not self.begun and self.cancelled:
            return False
        self.begun = True
        return True

    def _refused(self, call: Call) -> None:
        raise AssertionError("the scheduler never says so by itself")

    def _settle(self, call: Call, reply: Reply) -> None:
        """Not used: the machine settles."""

    def _fail(self, call: Call, error: BaseException, item: int | None = None) -> None:
        """Not used: the machine settles."""

    def _drop(self, call: Call) -> None:
        """Not used: the machine settles."""


@dataclass
class Player:
    """One worker process, as the scheduler can't see it."""

    queue: list[Call] = field(default_factory=list)
    item: int = -1  # that runs of the first call; -1: it has not begun

    @property
    def running(self) -> Call | None:
        return self.queue[0] if self.queue and self.item >= 0 else None


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(workers=st.integers(1, 4), max_items=st.none() | st.integers(1, 5))
    def open(self, workers: int, max_items: int | None) -> None:
        self.scheduler = Scheduler(workers, max_items)
        self.max_items = max_items
        self.players = [Player() for _ in range(workers)]
        self.functions = [Function(None, "f", Timing()) for _ in SECONDS]
        self.next_item = 0
        self.now = 0.0  # seconds
        self.broken = False  # an engine would stop here; the machine goes on
        self.base: dict[int, int] = {}  # sink → number of its first item
        self.settled: Counter[int] = Counter()
        self.began_in: dict[int, int] = {}  # call begun → slot
        self.cancelled_items: set[int] = set()

    # --- what the engine does

    @rule(items=st.integers(1, 6), which=st.integers(0, 2))
    def offer(self, items: int, which: int) -> None:
        scheduler = self.scheduler
        sink = Client()
        call = Call(scheduler.number(), self.functions[which], 0, b"", sink, 0, items)
        self.base[id(sink)] = self.next_item
        self.next_item += items
        self.sinks = [*getattr(self, "sinks", []), sink]  # keeps ids unique
        waited = bool(scheduler.backlog)
        slot = scheduler.offer(call)
        if slot is None:
            assert scheduler.backlog[-1] is call
            alone = waited or not self.resting() or self.is_shared_out(call)
            assert alone, "a call waits although a worker has nothing to do"
        else:
            assert sink._begin()
            self.receive(slot, call)
            if scheduler.backlog:  # the worker may not run all of the call's items
                self.top_up()

    @rule()
    def top_up(self) -> None:
        before = self.items_of(self.scheduler.backlog)
        cancelled = set(self.items_of(filter(self.is_cancelled, self.scheduler.backlog)))
        sent: list[int] = []
        for slot, calls in self.scheduler.top_up():
            for call in calls:
                self.receive(slot, call)
                sent += self.items(call)
        after = self.items_of(self.scheduler.backlog)
        gone = before[: len(before) - len(after)]
        assert sorted(sent) == sorted(set(gone) - cancelled)
        assert before[len(gone) :] == after, "calls leave the backlog in the order in which they came"
        assert not after or not self.resting() or self.is_shared_out(self.scheduler.backlog[0])

    @rule()
    def relieve_those_at_a_slow_call(self) -> None:
        """Nobody waits for long beside workers with nothing to do, however short calls are thought to be."""
        for _ in range(2 * len(self.players)):
            self.scheduler.relieve(self.now)
            self.now += 1.0  # longer than any patience
            self.scheduler.relieve(self.now)
            self.top_up()
        assert not self.scheduler.backlog or not self.resting()
        assert self.scheduler.relieve(self.now) is None

    @rule(which=st.integers(0, 30))
    def cancel(self, which: int) -> None:
        waiting = [call for call in self.scheduler.backlog if not sink_of(call).begun]
        if waiting:
            call = waiting[which % len(waiting)]
            sink_of(call).cancelled = True
            self.cancelled_items.update(self.items(call))

    @rule()
    def drop_backlog(self) -> None:
        for call in self.scheduler.drop_backlog():
            self.settle(call)

    @rule()
    def end_workers_that_ran_enough(self) -> None:
        for slot in self.scheduler.retiring():
            assert not self.players[slot].queue, "a worker that is told to exit holds nothing"
            self.die(slot)
        worn = [worker for worker in self.scheduler.workers if worker.worn and worker.alive]
        assert all(worker.held for worker in worn), "a worker that asked to be replaced rests only once"

    @precondition(lambda self: any(worker.alive for worker in self.scheduler.workers))
    @rule(which=st.integers(0, 3))
    def ask_to_be_replaced(self, which: int) -> None:
        alive = [worker.slot for worker in self.scheduler.workers if worker.alive]
        slot = alive[which % len(alive)]
        self.scheduler.wear_out(slot)
        self.hand_back(slot)

    @rule()
    def reclaim_what_is_stuck(self) -> None:
        self.now += 1.0
        ripe, _ = self.scheduler.stuck(self.now)
        for slot in ripe:
            assert len(self.players[slot].queue) > 1 or self.players[slot].queue[0].items > 1
            self.hand_back(slot)

    @rule()
    def repair(self) -> None:
        self.scheduler.repair()

    # --- what workers do

    @precondition(lambda self: self.busy())
    @rule(which=st.integers(0, 3))
    def begin_or_go_on(self, which: int) -> None:
        player = self.players[self.pick(which)]
        call = player.queue[0]
        if player.item < 0:
            assert self.began_in.setdefault(call.id, self.players.index(player)) == self.players.index(player)
            player.item = call.lo
            self.scheduler.ready(self.players.index(player))
        elif player.item + 1 < call.hi:
            player.item += 1

    @precondition(lambda self: self.busy())
    @rule(which=st.integers(0, 3))
    def reply(self, which: int) -> None:
        slot = self.pick(which)
        player = self.players[slot]
        sent = player.queue.pop(0)
        player.item = -1
        self.scheduler.ready(slot)
        reply = (sent.id, 0, None, SECONDS[self.functions.index(sent.fn)], sent.hi)
        assert self.scheduler.replied(slot, [reply]) == [(sent, reply)]
        self.settle(sent)
        assert not self.scheduler.replied(slot, [reply]), "a second reply counts for nothing"
        assert not self.scheduler.replied(slot, [])

    @precondition(lambda self: self.busy())
    @rule(which=st.integers(0, 3))
    def give_back_the_unstarted(self, which: int) -> None:
        self.hand_back(self.pick(which))

    @precondition(lambda self: any(worker.alive for worker in self.scheduler.workers))
    @rule(which=st.integers(0, 3))
    def worker_dies(self, which: int) -> None:
        alive = [worker.slot for worker in self.scheduler.workers if worker.alive]
        self.die(alive[which % len(alive)])

    # --- parts of the above

    def receive(self, slot: int, call: Call) -> None:
        assert call.slot == slot
        assert self.scheduler.workers[slot].held[call.id] is call
        assert not self.is_cancelled(call)
        assert call.id not in self.began_in, "a call that began is never given to another worker"
        assert not self.scheduler.workers[slot].worn, "a worker that asked to be replaced gets no calls"
        self.players[slot].queue.append(call)

    def hand_back(self, slot: int) -> None:
        player, scheduler = self.players[slot], self.scheduler
        if player.running is None:
            scheduler.take_back(slot, player.queue)
            player.queue = []
            return
        call = player.queue[0]
        unstarted, player.queue = player.queue[1:], [call]
        items, first = self.items(call), player.item + 1
        scheduler.take_back(slot, unstarted)
        rest = scheduler.narrow(slot, call.id, first)
        assert (rest is None) == (first == items.stop - items.start + call.lo)
        if rest is not None:
            assert [*self.items(call), *self.items(rest)] == list(items)
            assert scheduler.backlog[0] is rest

    def die(self, slot: int) -> None:
        player, self.players[slot] = self.players[slot], Player()
        running = player.running
        was_ready = self.scheduler.workers[slot].ready
        verdict = self.scheduler.died(slot, running.id if running else 0, max(player.item, 0))
        if running is None:
            assert verdict.guilty is None
        else:
            assert verdict.guilty is not None
            assert verdict.guilty.items == 1
            assert verdict.guilty.lo == player.item
            self.settle(verdict.guilty)
        if was_ready and not self.broken:
            assert not verdict.broken, "only deaths while starting break the executor"
        self.broken = self.broken or verdict.broken

    def settle(self, call: Call) -> None:
        self.settled.update(self.items(call))

    def items(self, call: Call) -> range:
        base = self.base[id(call.sink)]
        return range(base + call.lo, base + call.hi)

    def items_of(self, calls: Iterable[Call]) -> list[int]:
        return [item for call in calls for item in self.items(call)]

    def is_shared_out(self, call: Call) -> bool:
        """Whether calls are so short that two workers, who have some, are enough for them."""
        short = sum(any(c.fn.timing.credit > BATCH for c in player.queue) for player in self.players)
        return call.fn.timing.credit > BATCH and short >= LEAST_BRISK

    def is_cancelled(self, call: Call) -> bool:
        return sink_of(call).cancelled and not sink_of(call).begun

    def busy(self) -> bool:
        return any(player.queue for player in self.players)

    def pick(self, which: int) -> int:
        busy = [slot for slot, player in enumerate(self.players) if player.queue]
        return busy[which % len(busy)]

    def resting(self) -> list[int]:
        """Workers that could take a call now: alive or not yet started, with items left to run."""
        limit = self.max_items
        return [
            worker.slot
            for worker in self.scheduler.workers
            if not worker.held
            and (worker.alive or worker.slot in self.scheduler._unstarted)
            and not worker.worn
            and (limit is None or worker.taken < limit)
        ]

    # --- what holds at all times

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        waiting = list(self.scheduler.backlog)
        held = [call for worker in self.scheduler.workers for call in worker.held.values()]
        places = Counter(self.items_of([*waiting, *held]))
        assert not [item for item, count in (places + self.settled).items() if count > 1]
        missing = set(range(self.next_item)) - set(places) - set(self.settled)
        assert missing <= self.cancelled_items
        assert self.scheduler.pending == len(waiting) + len(held)

    @invariant()
    def the_scheduler_knows_what_workers_hold(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for worker, player in zip(self.scheduler.workers, self.players, strict=True):
            assert list(worker.held.values()) == player.queue


def sink_of(call: Call) -> Client:
    assert isinstance(call.sink, Client)
    return call.sink


SchedulerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestScheduler = SchedulerMachine.TestCase


def test_workers_that_die_while_starting_break_the_executor_and_only_in_a_row() -> None:
    scheduler = Scheduler(1)
    for attempt in range(MAX_START_DEATHS - 1):
        assert not scheduler.died(0, 0, 0).broken, attempt
    scheduler.ready(0)
    assert not scheduler.died(0, 0, 0).broken
    for _ in range(MAX_START_DEATHS - 1):
        assert not scheduler.died(0, 0, 0).broken
    assert scheduler.died(0, 0, 0).broken


def test_an_unknown_function_gets_one_call_a_worker() -> None:
    scheduler = Scheduler(2)
    function = Function(None, "f", Timing())
    calls = [Call(scheduler.number(), function, 0, b"", Client()) for _ in range(4)]
    assert [scheduler.offer(call) is None for call in calls] == [False, False, True, True]


def test_a_worker_that_asks_to_be_replaced_retires_once_it_holds_nothing() -> None:
    scheduler = Scheduler(1)
    function = Function(None, "f", Timing())
    calls = [Call(scheduler.number(), function, 0, b"", Client()) for _ in range(2)]
    assert [scheduler.offer(call) for call in calls] == [0, None]
    scheduler.wear_out(0)
    assert (scheduler.top_up(), scheduler.retiring()) == ([], [])
    reply = (calls[0].id, 0, None, 1e-6, 1)
    assert scheduler.replied(0, [reply]) == [(calls[0], reply)]
    assert scheduler.top_up() == []
    assert (scheduler.retiring(), scheduler.retiring()) == ([0], [])
    assert scheduler.top_up() == []
    scheduler.died(0, 0, 0)
    assert scheduler.top_up() == [(0, [calls[1]])]


def test_drop_all_gives_up_what_was_sent_too() -> None:
    scheduler = Scheduler(2)
    function = Function(None, "f", Timing())
    calls = [Call(scheduler.number(), function, 0, b"", Client()) for _ in range(5)]
    for call in calls:
        scheduler.offer(call)
    assert sorted(call.id for call in scheduler.drop_all()) == [call.id for call in calls]
    assert not scheduler.pending


def test_where_nobody_knows_the_guilty_item_each_goes_back_by_itself() -> None:
    scheduler = Scheduler(1)
    function = Function(None, "f", Timing())
    chunk = Call(scheduler.number(), function, 0, b"", Client(), 3, 7)
    behind = Call(scheduler.number(), function, 0, b"", Client())
    scheduler.offer(chunk)
    scheduler.offer(behind)
    unknown = (1 << 64) - 1
    assert scheduler.died(0, chunk.id, unknown).guilty is None
    assert [(call.lo, call.hi) for call in scheduler.backlog] == [(3, 4), (4, 5), (5, 6), (6, 7), (0, 1)]
    assert scheduler.pending == 5
    [(_, [alone])] = scheduler.top_up()
    assert scheduler.died(0, alone.id, unknown).guilty is alone, "run by itself, it is known"
    assert scheduler.pending == 4


def test_short_calls_are_shared_by_few_until_one_is_slow() -> None:
    scheduler = Scheduler(8, cpus=2)
    function = Function(None, "f", Timing())
    function.timing.measured(1e-6)

    def offer() -> int | None:
        return scheduler.offer(Call(scheduler.number(), function, 0, b"", Client(), 0, 1))

    assert [offer() is None for _ in range(6)] == [False, False, True, True, True, True]
    assert scheduler.needs_watch()
    assert not scheduler.needs_watch(), "said once"
    assert not scheduler.top_up([]), "those who have some will soon take more"
    pause = scheduler.relieve(1.0)
    assert pause is not None
    assert not scheduler.top_up([])
    scheduler.relieve(1.0 + pause)
    assert sum(len(calls) for _, calls in scheduler.top_up([])) == 4
    assert not scheduler.backlog


def test_a_chunk_beside_a_worker_that_rests_is_watched() -> None:
    """No reply need come to have anybody look: its items may wait for each other."""
    scheduler = Scheduler(2)
    function = Function(None, "f", Timing())

    def offer(items: int) -> int | None:
        return scheduler.offer(Call(scheduler.number(), function, 0, b"", Client(), 0, items))

    assert offer(1) == 0
    assert not scheduler.needs_watch(), "one item waits for nobody"
    assert scheduler.relieve(0.0) is None
    scheduler = Scheduler(3)
    assert offer(5) == 0
    assert scheduler.needs_watch()
    assert scheduler.relieve(0.0) is None
    assert scheduler.stuck(0.0)[1] is not None


def test_a_worker_that_gets_a_call_for_the_second_time_is_asked_for_its_items_again() -> None:
    scheduler = Scheduler(2)
    chunk = Call(scheduler.number(), Function(None, "f", Timing()), 0, b"", Client(), 0, 5)
    slot = scheduler.offer(chunk)
    assert slot is not None
    for now in (
        0.0,
        10.0,
    ):  # it is asked, says at first that it has nothing yet, and then gives all of it back
        scheduler.stuck(now)
        ripe, pause = scheduler.stuck(now + 1.0)
        assert (ripe, pause is not None) == ([slot], True)
        scheduler.answered(slot)
        assert scheduler.stuck(now + 2.0)[0] == [], "it has answered"
        scheduler.take_back(slot, [chunk])
        sends = scheduler.top_up()
        while sends[0][0] != slot:  # the others, who rest as well, have it in between
            scheduler.take_back(sends[0][0], [chunk])
            sends = scheduler.top_up()
        assert sends == [(slot, [chunk])]
