"""Primitives for the threads of many processes, any of which may be killed at any moment.

    Region (memory, guard) ◀─ Slots (who uses it, who sleeps) ◀─ Lock, Semaphore, Condition, Event, Barrier
                                       ▲
                       Shares (who has what) ◀─ recovery (who died, and what comes back)

**Memory.** All primitives of an executor are words in one anonymous file that its process owns. A pickled
primitive is a ticket to that file and a place in it, so it can go to any process at any time. Nothing is ever
freed before the end: a place means the same for as long as anybody can name it.

**Slots.** Each thread that uses a primitive has a slot, with words that it alone writes: what it waits for
(WAITS), the number of that wait (SEQ). Others write only who was woken (WOKEN: a number of a wait, so one that
comes too late means nothing). It sleeps on a semaphore of its own; nobody ever sleeps on a lock.

**Shares.** To get a lock is one step, and to write down who has it another: whoever dies in between would leave a
lock that nobody has. So a thread says that it has a permit *before* it tries to get one, in a word of its own, its
share of that primitive; and takes that back *after* it has given the permit back, or tried in vain. Invariant:
shares never say too little, *value of the sem_t + what the shares say >= permits there are*; what is missing is what
the dead took with them. Where an exception breaks in, its thread takes back what its share says too much, and counts.

**Counting** (`recovery`). Who notices a death: the executor's process, as soon as it hears of a worker's end,
in a thread of its own; and every thread that has waited for half a second, for any process that has slots, so
also for those that the executor did not start. Whoever noticed counts, under the guard, which the kernel takes
from a holder that dies:

1. forget the shares of the dead, but for how much may be missing because of them. Often that is nothing;
2. else close the gate: who is about to try for a permit sees it, takes that back, and waits for the guard. Who holds
   something goes on, and may release it;
3. read the shares of the living, which can only say less from now on, and then take in hand what there is to be had.
   What neither has is lost: a lock becomes an orphan, which the next to come takes over, and is told; permits of a
   semaphore come back;
4. open the gate, and wake everybody, for a wake-up may have died with its sender.

As long as a living thread says that it has the permit which the dead may have had, one of the two is true, and none is
handed out: most often the living one has it. When it says so no more, it is known. So a thread that is stopped
(SIGSTOP) in the middle of an attempt may keep a permit from others until it goes on. A thread that is stopped while it
has the guard holds up others at all that needs the guard; and while it counts, everybody who wants a permit.

**Released by another.** Who releases a lock for the thread that has it writes so into that thread's share. Where
several say that they have it (one may be held up in the middle of an attempt), nobody can tell whose it was: then it is
only known that one of them says too much (VOID). Permits that the dead may have had are then rather kept back than
handed out twice.

**No lost wake-up.** A sleeper first stands in the waiting room, sets the hint, and then tries once more; a
releaser first releases, and then looks at the hint. Between the two steps of each lies an atomic operation,
so one of them sees the other. Who was woken and leaves without the permit, or got one while there are more,
passes the wake-up on.

**Interrupts.** An exception from a signal handler can come wherever the interpreter looks for signals. Such places are
held by tests, of those who take and release as of those who recover. One cannot be closed by Python code: the first
instruction of ``__exit__``. An interrupt there leaves the lock with its owner, as it does with ``threading.Condition``
and ``multiprocessing.Lock``. Handlers may use a primitive in the middle of a use of it by their thread, but for two
moments: while the thread has the guard, they get `Deadlock`; and a handler that waits for an RLock between the moment
in which its thread got it and the one in which that is noted waits in vain.
"""
