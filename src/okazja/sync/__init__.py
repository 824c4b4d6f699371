"""Primitives that threads, worker processes and coroutines use alike: locks, semaphores, queues, shared values.

They are made by an executor (``executor.Lock()``), which knows where its tasks run. Here are their types; ``local``
holds those of the backends whose tasks share memory, ``shared`` those of worker processes.
"""

from okazja.sync.carriers import Array, Connection, Queue, ShutDown, Value
from okazja.sync.faces import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Connection",
    "Event",
    "Lock",
    "Queue",
    "RLock",
    "Semaphore",
    "ShutDown",
    "Value",
]
