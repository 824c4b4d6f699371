"""Queue for processes: a ring of records in shared memory, and no thread that feeds it.

Those who put, those who take, and those who say that items are done each have a lock. It passes on quietly when an
owner dies: each change is one store, so that the next finds a whole queue. Items are pickled before, and rebuilt after,
with no lock held.

Who has how many items that are not done is in two arrays over the slots of threads, each word of which one thread
writes: how many it has taken, and how many it has said to be done. What a dead process had taken and not finished
counts as done; whoever waits in ``join`` finds that out, and warns.
"""

from __future__ import annotations

import marshal
import os
import warnings
from queue import Empty, Full
from typing import Any

from okazja._transport import pickling
from okazja.errors import OwnerDiedWarning
from okazja.sync.carriers import Queue, ShutDown, checked
from okazja.sync.coroutines import aside, deadline_of
from okazja.sync.shared.blocks import CLASSES, PID_BITS, Blocks, process_name
from okazja.sync.shared.layout import GET, HIGH, JOIN, PURPOSE, PUT, SLOTS, WORD
from okazja.sync.shared.lock import QuietLock
from okazja.sync.shared.parcels import LARGE, LARGE_BYTES, MARSHALLED, pack, unpack
from okazja.sync.shared.region import Region, Ticket
from okazja.sync.shared.ring import COUNT, RING_WORDS, Ring
from okazja.sync.shared.room import Room
from okazja.sync.shared.side import SIDE_WORDS, Side, new_lock
from okazja.sync.shared.slots import Slots, started

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
GOT = TAKING + SIDE_WORDS  # by slot: items taken
# By slot: items said to be done; what the dead had taken is added by whoever finds that out.
DID = GOT + SLOTS
WHO = DID + SLOTS  # by slot: the process that counts there
WORDS = WHO + SLOTS
assert LISTS + CLASSES <= PUTTING


class SharedQueue(Queue):
    """`queue.Queue` for the threads of all processes of an executor."""

    def __init__(self, region: Region, place: int, locks: tuple[int, int, int]) -> None:
        self._region, self._place, self._locks = region, place, locks
        self._words = region.words
        self._slots = Slots.of(region)
        self._here = self._slots.here
        self._ring = Ring(region, place)
        self._putting = Side(region, place + PUTTING, locks[0])
        self._taking = Side(region, place + TAKING, locks[1])
        self._finishing = QuietLock(region, locks[2])
        self._getters = Room(self._slots, place + GETTERS)
        self._putters = Room(self._slots, place + PUTTERS)
        self._joiners = Room(self._slots, place + JOINERS)
        self._shut_word, self._got = place + SHUT, place + GOT
        self._maxsize = int(self._words[place + MAXSIZE])
        self._blocks = Blocks(region, place + LISTS, self._my_name)
        self._pid, self._name = os.getpid(), process_name()
        self._known: set[int] = set()  # slots of this process's threads that have taken items

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

    def _my_name(self) -> int:
        if self._pid != os.getpid():  # a forked child
            self._pid, self._name, self._known = os.getpid(), process_name(), set()
        return self._name

    # --- putting

    @property
    def maxsize(self) -> int:
        """How many items it holds at most; 0: any number."""
        return self._maxsize

    def _has_room(self) -> bool:
        return not self._maxsize or len(self._ring) < self._maxsize or self._shut

    def _put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        kind, data = pack(item)
        if type(data) is bytes and timeout is None and self._try_put(kind, data):
            return
        self._put_packed(kind, data, block=block, timeout=timeout)

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
            if side.alone.value == mark:
                without_lock = True
                put = self._put_inside(kind, data)
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

    def _get(self, block: bool = True, timeout: float | None = None) -> Any:
        record = self._try_get() if timeout is None else None
        kind, data = record or self._get_record(block, timeout)
        return marshal.loads(data) if kind == MARSHALLED else self._opened(kind, data)

    def _get_record(self, block: bool = True, timeout: float | None = None) -> tuple[int, bytes]:
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

    def _try_get(self) -> tuple[int, bytes] | None:
        side = self._taking
        try:
            want, mark, _ = self._here.seat
        except AttributeError:  # the thread's first time
            want, mark, _ = self._slots.seat()
        without_lock, record = False, None
        try:  # see Side
            want.value = side.place
            if side.alone.value == mark:
                without_lock = True
                record = self._take_inside(mark - 1)
        finally:
            want.value = 0
        if not without_lock:
            record = side.locked(mark, self._take_inside, mark - 1)
        if record is None:
            return None
        if self._getters.hint.value and not self._ring.empty:
            self._getters.wake_one()
        if self._putters.hint.value:
            self._putters.wake_one()
        return record

    def _take_inside(self, slot: int) -> tuple[int, bytes] | None:
        words, ring = self._words, self._ring
        before = ring.head.value
        if before == ring.tail.value:
            if words[self._shut_word]:
                raise ShutDown
            return None
        if slot not in self._known:
            self._begin_to_count(slot)
        kind, data, after = ring.at(before)
        if kind >= LARGE:
            self._blocks.hand_over(marshal.loads(data)[0])
        words[self._got + slot] += 1
        ring.head.value = after
        return kind, data

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

    def _unfinished(self) -> int:
        """Items that were put and are not done; modulo 2**30, and so exact below."""
        place, high = self._place, self._words[HIGH]
        done = sum(self._words[place + DID : place + DID + high].tolist())
        return (self._ring.put_so_far - done) & COUNT

    def task_done(self) -> None:
        """Say that an item that was taken is done. Raises ValueError if said more often than items were put."""
        slot = self._slots.seat()[2].slot
        with self._finishing:
            left = self._unfinished()
            if not left:
                raise ValueError("task_done() called too many times")
            self._words[self._place + DID + slot] += 1
        if left == 1:
            self._joiners.wake_all()

    def _begin_to_count(self, slot: int) -> None:
        """Inside: this slot may have been a dead process's."""
        who = self._place + WHO + slot
        me = self._my_name()
        if self._words[who] != me:
            if self._words[who]:
                self._write_off(slot, self._words[who])
            self._words[who] = me
        self._known.add(slot)

    def _write_off(self, slot: int, name: int) -> int:
        """Inside: what a dead process had taken and not finished is done. How much it was."""
        words, place, high = self._words, self._place, self._words[HIGH]
        if words[place + WHO + slot] != name:
            return 0  # another process's by now
        total = sum(words[place + GOT : place + GOT + high].tolist())
        if (total - self._ring.taken_so_far) & COUNT:
            words[place + GOT + slot] -= 1  # it died before it had taken what it had counted
        lost = words[place + GOT + slot] - words[place + DID + slot]
        if lost > 0:
            words[place + DID + slot] = words[place + GOT + slot]
        return max(lost, 0)

    def _look_for_dead(self) -> None:
        words, place, high = self._words, self._place, self._words[HIGH]
        who = words[place + WHO : place + WHO + high].tolist()
        for slot, name in enumerate(who):
            pid = name & (1 << PID_BITS) - 1
            if not name or started(pid) == name >> PID_BITS:
                continue
            lost = self._taking.apart(self._write_off, slot, name)
            if lost:
                warnings.warn(
                    f"process {pid} died with {lost} items of a queue that it had taken and not said to be done: they "
                    f"count as done",
                    OwnerDiedWarning,
                    stacklevel=6,
                )

    def _await_done(self, timeout: float | None) -> bool:
        return self._joiners.wait(lambda: not self._unfinished(), deadline_of(timeout), self._look_for_dead)

    # --- the end, and what it is now

    @property
    def _shut(self) -> bool:
        return bool(self._words[self._shut_word])

    @property
    def unfinished_tasks(self) -> int:
        """How many items were put and not said to be done."""
        return self._unfinished()

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
                self._words[self._place + DID + self._slots.seat()[2].slot] += 1
        except ShutDown:
            return


def _arrive(ticket: Ticket, place: int, locks: tuple[int, int, int]) -> SharedQueue:
    return SharedQueue(Region.attach(ticket), place, locks)
