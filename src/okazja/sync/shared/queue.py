"""Queue for processes: a ring of records in shared memory, and no thread that feeds it.

Those who put, those who take, and those who say that items are done each have a lock. It passes on quietly when an
owner dies: each change is one store, so that the next finds a whole queue. Items are pickled before, and rebuilt after,
with no lock held.

Each thread's items that are not done are counted (`okazja.sync.shared.tally`). What a dead process had taken and not
finished counts as done; whoever waits in ``join`` finds that out, and warns.
"""

from __future__ import annotations

import marshal
import os
import warnings
import weakref
from queue import Empty, Full
from typing import Any

from okazja._transport import pickling
from okazja._transport.codec import PLAIN
from okazja.errors import OwnerDiedWarning
from okazja.sync.carriers import Queue, ShutDown, checked
from okazja.sync.coroutines import aside, deadline_of, in_loop
from okazja.sync.shared.blocks import CLASSES, Blocks, process_name
from okazja.sync.shared.layout import GET, JOIN, PURPOSE, PUT, WORD
from okazja.sync.shared.lock import QuietLock
from okazja.sync.shared.parcels import LARGE, LARGE_BYTES, MARSHALLED, pack, pickled, unpack
from okazja.sync.shared.region import Region, Ticket
from okazja.sync.shared.ring import INLINE, RING_WORDS, Record, Ring
from okazja.sync.shared.room import Room
from okazja.sync.shared.side import SIDE_WORDS, Side, new_lock
from okazja.sync.shared.slots import Slots
from okazja.sync.shared.tally import TALLY_WORDS, Tally

__all__ = ["SharedQueue"]

# Words of a queue.
GETTERS = RING_WORDS  # the hints of its waiting rooms, which are the rooms' names as well
PUTTERS = GETTERS + 8
JOINERS = PUTTERS + 8
SHUT = JOINERS + 1  # not 0: nobody may put
MAXSIZE = JOINERS + 2
LISTS = JOINERS + 8  # of blocks
PUTTING = LISTS + 24
TAKING = PUTTING + SIDE_WORDS
TALLY = TAKING + SIDE_WORDS
WORDS = TALLY + TALLY_WORDS
assert LISTS + CLASSES <= PUTTING


class SharedQueue(Queue):
    """`queue.Queue` for the threads of all processes of an executor."""

    def __init__(self, region: Region, place: int, locks: tuple[int, int, int]) -> None:
        self._region, self._place, self._locks = region, place, locks
        self._words = region.words
        self._slots = Slots.of(region)
        self._here = self._slots.here
        self._ring = Ring(region, place)
        self._tally = Tally(region, place + TALLY, self._ring, self._my_name)
        self._putting = Side(region, place + PUTTING, locks[0])
        self._taking = Side(
            region, place + TAKING, locks[1], self._tally.count_from_now, self._tally.count_until_now
        )
        self._finishing = QuietLock(region, locks[2])
        self._getters = Room(self._slots, place + GETTERS)
        self._putters = Room(self._slots, place + PUTTERS)
        self._joiners = Room(self._slots, place + JOINERS)
        self._shut_word = place + SHUT
        self._maxsize = int(self._words[place + MAXSIZE])
        self._blocks = Blocks(region, place + LISTS, self._my_name)
        self._forget()
        _queues[id(self)] = self

    @classmethod
    def create(cls, region: Region, maxsize: int = 0) -> SharedQueue:
        """A new one, empty."""
        place = region.allocate(WORDS * WORD) // WORD
        region.words[place + MAXSIZE] = max(0, maxsize)
        for room, purpose in ((GETTERS, GET), (PUTTERS, PUT), (JOINERS, JOIN)):
            region.words[place + room + PURPOSE] = purpose
        Ring(region, place).start()
        locks = tuple(new_lock(region) for _ in range(3))
        return cls(region, place, locks)  # type: ignore[arg-type]

    def __reduce__(self) -> Any:
        return _arrive, (self._region.ticket, self._place, self._locks)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (other._region, other._place) == (self._region, self._place)

    def __hash__(self) -> int:
        return hash((self._region.ticket, self._place))

    def __repr__(self) -> str:
        return f"<okazja.Queue {self._place:#x}: {len(self._ring)} items, maxsize={self._maxsize}>"

    def _forget(self) -> None:
        """What holds for one process only; again in a forked child."""
        self._name = 0  # of this process, once it was asked for
        self._tally.forget()
        self._putting.mine = self._taking.mine = 0

    def _my_name(self) -> int:
        if not self._name:
            self._name = process_name()
        return self._name

    # --- putting

    @property
    def maxsize(self) -> int:
        """How many items it holds at most; 0: any number."""
        return self._maxsize

    def _has_room(self) -> bool:
        return not self._maxsize or len(self._ring) < self._maxsize or self._shut

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> Any:
        """As `Queue.put`; what is small and plain goes in as few calls as may be."""
        if timeout is not None or (block and in_loop()):
            return super().put(item, block, timeout)
        data: bytes | list[Any]
        if type(item) in PLAIN:  # as `pack` does, a call earlier
            kind, data = MARSHALLED, marshal.dumps(item)
            if len(data) > INLINE:
                kind, data = pickled(item)
        else:
            kind, data = pack(item)
        if type(data) is not bytes or not self._try_put(kind, data):
            self._put_packed(kind, data, block=block)
        return None

    def _put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._put_packed(*pack(item), block=block, timeout=timeout)

    def _put_packed(
        self, kind: int, data: bytes | list[Any], *, block: bool = True, timeout: float | None = None
    ) -> None:
        if timeout is not None and block:
            checked(timeout)
        if type(data) is bytes:
            self._put_record(kind, data, block, timeout)
            return
        parcel = self._blocks.fill(data, self._finishing, self._in_use)
        put = False
        try:
            self._put_record(kind, marshal.dumps(parcel), block, timeout)
            put = True
        finally:
            if not put:
                self._blocks.drop(parcel[0])

    def _put_record(self, kind: int, data: bytes, block: bool, timeout: float | None) -> None:
        if self._try_put(kind, data):
            return
        if not block or timeout == 0:
            raise Full
        deadline = deadline_of(timeout)
        while True:
            if not self._putters.wait(self._has_room, deadline):
                raise Full
            if self._try_put(kind, data):
                return

    def _try_put(self, kind: int, data: bytes) -> bool:
        side = self._putting
        try:
            want, mark, _ = self._here.seat
        except AttributeError:  # the thread's first time
            want, mark, _ = self._slots.seat()
        without_lock = put = False
        try:  # see Side
            want.value = side.place
            if side.alone.value == mark == side.mine:
                without_lock = True
                if self._maxsize or self._words[self._shut_word]:
                    put = self._put_inside(kind, data)
                else:  # the same, a call earlier
                    self._ring.put(kind, data)
                    put = True
        finally:
            want.value = 0
        if not (put if without_lock else side.locked(mark, self._put_inside, kind, data)):
            return False
        if self._getters.hint.value:
            self._getters.wake_one()
        if self._maxsize and self._putters.hint.value and self._has_room():
            self._putters.wake_one()
        return True

    def _put_inside(self, kind: int, data: bytes) -> bool:
        if self._words[self._shut_word]:
            raise ShutDown
        if self._maxsize and len(self._ring) >= self._maxsize:
            return False
        self._ring.put(kind, data)
        return True

    # --- taking

    def _has_item(self) -> bool:
        return not self._ring.empty or self._shut

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `Queue.get`; what is there already is had in as few calls as may be."""
        if timeout is None and not (block and in_loop()):
            kind, data, _ = self._try_get() or self._get_record(block)
            return marshal.loads(data) if kind == MARSHALLED else self._opened(kind, data)
        return super().get(block, timeout)

    def _get(self, block: bool = True, timeout: float | None = None) -> Any:
        kind, data, _ = self._get_record(block, timeout)
        return self._opened(kind, data)

    def _get_record(self, block: bool = True, timeout: float | None = None) -> Record:
        if timeout is not None and block:
            checked(timeout)
        record = self._try_get()
        if record is not None:
            return record
        if not block or timeout == 0:
            raise Empty
        deadline = deadline_of(timeout)
        while True:
            if not self._getters.wait(self._has_item, deadline):
                raise Empty
            record = self._try_get()
            if record is not None:
                return record

    def _try_get(self) -> Record | None:
        side = self._taking
        try:
            want, mark, _ = self._here.seat
        except AttributeError:  # the thread's first time
            want, mark, _ = self._slots.seat()
        without_lock, record = False, None
        try:  # see Side
            want.value = side.place
            if side.alone.value == mark == side.mine:
                without_lock = True
                record = self._take_inside()
        finally:
            want.value = 0
        if not without_lock:
            record = side.locked(mark, self._take_counted, mark)
        if record is None:
            return None
        if self._getters.hint.value and not self._ring.empty:
            self._getters.wake_one()
        if self._maxsize and self._putters.hint.value:
            self._putters.wake_one()
        return record

    def _take_inside(self) -> Record | None:
        ring = self._ring
        head = ring.head.value
        if head == ring.tail.value:
            if self._words[self._shut_word]:
                raise ShutDown
            return None
        record = ring.at(head)
        if record[0] >= LARGE:
            self._blocks.hand_over(marshal.loads(record[1])[0])
        ring.head.value = record[2]
        return record

    def _take_counted(self, mark: int) -> Record | None:
        """With the lock, for a thread by its slot, plus 1."""
        self._tally.begin(mark - 1)
        record = self._take_inside()
        if record is not None:
            self._tally.taken(mark - 1)
        return record

    def _opened(self, kind: int, data: bytes) -> Any:
        if kind < LARGE:
            return unpack(kind, data)
        block, sizes = marshal.loads(data)
        *buffers, stream = self._blocks.read(block, sizes)
        return bytes(stream) if kind == LARGE_BYTES else pickling.loads_beside(stream, buffers)

    def _in_use(self) -> set[int]:
        """The blocks that records name."""
        records = self._putting.apart(self._taking.apart, self._ring.records)
        return {marshal.loads(data)[0] for kind, data in records if kind >= LARGE}

    # --- in coroutines: a helper thread waits, and takes nothing -------------------------------------------

    async def _put_soon(self, item: Any, timeout: float | None) -> None:
        deadline = deadline_of(checked(timeout))
        while True:
            try:
                return self._put(item, False)
            except Full:
                if not await aside(self._await_room, deadline):
                    return self._put(item, False)

    async def _get_soon(self, timeout: float | None) -> Any:
        deadline = deadline_of(checked(timeout))
        while True:
            try:
                return self._get(False)
            except Empty:
                if not await aside(self._await_item, deadline):
                    return self._get(False)

    def _await_item(self, timeout: float) -> bool:
        return self._getters.glimpse(self._has_item, deadline_of(timeout))

    def _await_room(self, timeout: float) -> bool:
        return self._putters.glimpse(self._has_room, deadline_of(timeout))

    # --- what is done

    def task_done(self) -> None:
        """Say that an item that was taken is done. Raises ValueError if said more often than items were put."""
        slot = self._slots.seat()[2].slot
        with self._finishing:
            left = self._tally.unfinished()
            if not left:
                raise ValueError("task_done() called too many times")
            self._tally.done(slot)
        if left == 1:
            self._joiners.wake_all()

    def _look_for_dead(self) -> None:
        for slot, name, pid in self._tally.of_the_dead():
            lost = self._taking.apart(self._tally.write_off, slot, name)
            if lost:
                warnings.warn(
                    f"process {pid} died with {lost} items of a queue that it had taken and not said to be done: they "
                    f"count as done",
                    OwnerDiedWarning,
                    stacklevel=6,
                )

    def _await_done(self, timeout: float | None) -> bool:
        return self._joiners.wait(
            lambda: not self._tally.unfinished(), deadline_of(timeout), self._look_for_dead
        )

    # --- the end, and what it is now

    @property
    def _shut(self) -> bool:
        return bool(self._words[self._shut_word])

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and not said to be done."""
        return self._tally.unfinished()

    @property
    def is_shutdown(self) -> bool:
        """Whether it was shut down."""
        return self._shut

    def qsize(self) -> int:
        """How many items wait; others may change it at once."""
        return len(self._ring)

    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put any more; ``get`` raises ShutDown once it is empty (immediate: from now on)."""
        self._words[self._shut_word] = 1
        if immediate:
            self._drain()
        for room in (self._getters, self._putters, self._joiners):
            room.wake_all()

    def _drain(self) -> None:
        self._putting.apart(bool)  # whoever was putting has done so
        try:
            while True:
                record = self._try_get()
                assert record is not None
                if record[0] >= LARGE:
                    self._blocks.drop(marshal.loads(record[1])[0])
                self._tally.done(self._slots.seat()[2].slot)
        except ShutDown:
            return


def _arrive(ticket: Ticket, place: int, locks: tuple[int, int, int]) -> SharedQueue:
    return SharedQueue(Region.attach(ticket), place, locks)


_queues: weakref.WeakValueDictionary[int, SharedQueue] = weakref.WeakValueDictionary()  # of this process


def _after_fork() -> None:
    for queue in list(_queues.values()):
        queue._forget()


os.register_at_fork(after_in_child=_after_fork)
