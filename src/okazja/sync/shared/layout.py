"""Where things stand in the memory that processes share, in words of 64 bits.

The first page is the header. Then come the arrays over thread slots; each word of them is written by one thread only,
but for those of which something else is said. Then what was allocated: primitives and what they refer to.
"""

from __future__ import annotations

from struct import calcsize

WORD = 8  # bytes
LINE = 64  # bytes of a cache line
SEM = 32  # bytes of a sem_t, on every Linux
assert calcsize("P") == WORD

# --- header -------------------------------------------------------------------------------------------
MAGIC = 0
KEY = 1  # random, so that a stale ticket can't lead to somebody else's memory
OWNER = 2  # process id of the executor's process
TOP = 3  # bytes that are allocated; under the guard
HIGH = 4  # slots that were ever used, from 0 on; under the guard
HEAD = 5  # the newest primitive; each names the one before it
GATE = 8  # not 0: nobody may try to get a permit, for somebody counts; only while the guard is held
COUNTS = 11  # how often that was so. Under the guard
STORY = 6  # bytes from the start, of the story of the latest standstill, and how long it is
STORY_SIZE = 7  # in bytes
CLOSED = 9  # not 0: the executor has ended
LEFT = 10  # not 0: some primitive is uncounted. Under the guard
VAIN = 12  # when such a one was last looked at in vain, ns of CLOCK_MONOTONIC. Under the guard

MAGIC_VALUE = int.from_bytes(b"OKAZJAS1", "little")

# --- slots --------------------------------------------------------------------------------------------
SLOTS = 1024  # threads of all processes that use primitives of one executor at a time
_ARRAYS = 512
WANT = _ARRAYS  # the side of a queue that the thread is in, or about to look at; 0: none. A cache line each
WANT_STEP = LINE // WORD
WAITS = WANT + SLOTS * WANT_STEP  # what it waits for: a primitive, or one of a primitive's waiting rooms
SEQ = WAITS + SLOTS  # number of its latest wait
WOKEN = SEQ + SLOTS  # the wait that somebody has ended; written by whoever ends it
VERDICT = WOKEN + SLOTS  # and how, where there are several ways; written by whoever ends it
SINCE = VERDICT + SLOTS  # when that wait began, ns of CLOCK_MONOTONIC
TIMED = SINCE + SLOTS  # 1: it will end by itself
PID = TIMED + SLOTS  # process of the thread; 0: the slot is free. Under the guard
START = PID + SLOTS  # when that process started, for the number may be another's by now
TID = START + SLOTS  # native id of the thread
INSIDE = TID + SLOTS  # the condition in whose `wait` it is, from the first step to the last
LOOKS = INSIDE + SLOTS  # how often it has gone to sleep, after it had looked and found that it had to
TOLD = LOOKS + SLOTS  # the SINCE of a wait that is to end with Deadlock; written by whoever found that out
OWNS = TOLD + SLOTS  # the newest of its shares. Under the guard
PARKS = OWNS + SLOTS  # a semaphore each, at which the thread sleeps
FIRST_FREE = (PARKS + SLOTS * SEM // WORD) * WORD  # bytes

# --- a primitive --------------------------------------------------------------------------------------
# Its id is the index of its first word. All are of three cache lines.
KIND = 0
NEXT = 1  # the one that was made before it
SEMAPHORE = 2  # its sem_t; nobody ever sleeps on it
SHARES = 6  # of a lock or semaphore: the newest of its shares. Under the guard
MISSING = 7  # of these: how many permits the dead, or interrupted threads, may have taken with them. Under the guard
HINT = 8  # not 0: somebody may wait
ORPHAN = 9  # of a lock: not 0, the process id of the owner that died; nobody has it
FOREIGN = 10  # of a lock or semaphore: not 0, a thread that did not have it has released it
UNCOUNTED = 11  # not 0: the dead have left something of it, which could not be settled yet. Under the guard
DIED = 12  # of a lock: the process that died, and perhaps had it. Under the guard
VOID = 13  # of a lock or semaphore: how many permits too many its shares say, nobody knows which. Under the guard
PERMITS = 16  # of a lock or semaphore: how many there are
SIGNALS = 17  # of a semaphore: not 0, it counts events, and nobody owns its permits
LOCK = 16  # of a condition or barrier: its lock
FLAG = 16  # of an event
PARTIES = 17  # of a barrier
BROKEN = 18  # of a barrier
ACTOR = 19  # of a barrier: the slot that runs its action, plus 1
SIZE = 3 * LINE  # bytes

# --- a share ------------------------------------------------------------------------------------------
# What one thread has of one lock or semaphore. Its id is the index of its first word; a cache line each.
OF = 1  # the primitive
WHOSE = 2  # the slot
NEXT_OF_PRIMITIVE = 3
NEXT_OF_SLOT = 4

# --- a queue's waiting room ---------------------------------------------------------------------------
PURPOSE = 3  # which of these it is
GET, PUT, JOIN = range(1, 4)

LOCK_KIND, RLOCK_KIND, SEMAPHORE_KIND, CONDITION_KIND, EVENT_KIND, BARRIER_KIND = range(1, 7)
LOCKS = frozenset({LOCK_KIND, RLOCK_KIND})
COUNTED = frozenset({*LOCKS, SEMAPHORE_KIND})
