"""Primitives for the threads of many processes, any of which may be killed at any moment.

    Region (memory, guard) ◀─ Slots (who uses it, who sleeps) ◀─ Lock, Semaphore, Condition, Event, Barrier
                                       ▲
                                  recovery (who died, and what comes back)

**Memory.** All primitives of an executor are words in one anonymous file that its process owns. A pickled
primitive is a ticket to that file and a place in it, so it can go to any process at any time. Nothing is ever
freed before the end: a place means the same for as long as anybody can name it.

**Slots.** Each thread that uses a primitive has a slot, with words that it alone writes: what it is changing
(WANT), what it waits for (WAITS), the number of that wait (SEQ). Others write only who was woken (WOKEN: a
number of a wait, so one that comes too late means nothing). It sleeps on a semaphore of its own; nobody ever
sleeps on a lock.

**Windows.** To change a lock or a semaphore takes several writes: the sem_t, and who has it. So a thread
names the primitive in WANT first, and takes the name back last: what lies between is a window. Invariant:
outside of all windows of living threads, *value of the sem_t + permits that threads have = permits there
are*; what is missing is what the dead took with them. Where an exception breaks into a window, its own thread
counts anew.

**Counting** (`recovery`). Who notices a death: the executor's process, as soon as it hears of a worker's end,
in a thread of its own; and every thread that has waited for half a second, for any process that has slots, so
also for those that the executor did not start. Whoever noticed repairs, under the guard, which the kernel
takes from a holder that dies:

1. close the gate: who is about to release sees it, and waits for the guard instead;
2. take all permits in hand: who is about to acquire gets none, sees the gate, and waits as well;
3. wait until each living thread was seen outside of the windows once: those that open now change nothing;
4. now the words are at rest. A lock whose owner is dead becomes an orphan, which the next to come takes over, and is
   told; permits that nobody living has come back;
5. open the gate, and wake everybody, for a wake-up may have died with its sender.

A thread that is stopped (SIGSTOP) within its window keeps that primitive uncounted until it goes on, and only
that one. Only a thread that is stopped while it has the guard itself holds up others, at what needs the
guard.

**No lost wake-up.** A sleeper first stands in the waiting room, sets the hint, and then tries once more; a
releaser first releases, and then looks at the hint. Between the two steps of each lies an atomic operation,
so one of them sees the other. Who was woken and leaves without the permit, or got one while there are more,
passes the wake-up on.

**Interrupts.** An exception from a signal handler can come wherever the interpreter looks for signals. Each
such place is held by tests, but for one that no Python code can close: the first instruction of ``__exit__``.
An interrupt there leaves the lock with its owner, as it does with ``threading.Condition`` and
``multiprocessing.Lock``.
"""
