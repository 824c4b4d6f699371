"""What is measured, a row each of the table.

row.py        Row, and its points
calls.py      submits
maps.py       maps of small items
coroutines.py tasks of an event loop
payloads.py   maps of large ones
memory.py     what a long map adds to the parent
workers.py    many workers, and idle ones
sync.py       locks, queues and shared values
"""

from __future__ import annotations

from benchmarks.rows.calls import FAN_OUT, FIRST_RESULT, ROUND_TRIP, SUBMIT, THREADS
from benchmarks.rows.coroutines import ASYNC_FETCH, ASYNC_SLEEPS, ASYNC_SUBMIT
from benchmarks.rows.maps import GROWTH_ITEMS, MAP_SIEVE, MAP_TINY, READY_JOB, STREAM_JOURNAL, STREAM_TINY
from benchmarks.rows.memory import MAP_MEMORY
from benchmarks.rows.payloads import MAP_ARRAYS, MAP_PAYLOADS
from benchmarks.rows.row import Point, Row
from benchmarks.rows.sync import LOCKS, LOCKS_CONTENDED, QUEUE, QUEUE_ARRAYS, SYNC_THREADS, VALUE
from benchmarks.rows.workers import GROWTH_WORKERS, IDLE, WORKER_MEMORY

__all__ = ["ROWS", "Point", "Row"]

ROWS = (
    SUBMIT,
    ROUND_TRIP,
    MAP_TINY,
    MAP_SIEVE,
    MAP_ARRAYS,
    MAP_MEMORY,
    THREADS,
    FIRST_RESULT,
    MAP_PAYLOADS,
    STREAM_TINY,
    STREAM_JOURNAL,
    FAN_OUT,
    GROWTH_ITEMS,
    GROWTH_WORKERS,
    WORKER_MEMORY,
    IDLE,
    LOCKS,
    LOCKS_CONTENDED,
    QUEUE,
    QUEUE_ARRAYS,
    VALUE,
    SYNC_THREADS,
    ASYNC_SUBMIT,
    ASYNC_SLEEPS,
    ASYNC_FETCH,
    READY_JOB,
)
