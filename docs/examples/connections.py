"""Many tasks, at most five connections to PostgreSQL, and the server is the witness.

python docs/examples/connections.py threads "host=localhost user=postgres"
python docs/examples/connections.py processes "host=localhost user=postgres"

On processes some workers are killed in the middle, a connection in their hands.
"""

import os
import random
import signal
import socket
import sys
from contextlib import contextmanager, suppress

import psycopg

import okazja
from okazja import Executor

LIMIT = 5
WORKERS = 8  # more than may be connected at once
TASKS = 200
KILLS = 10

COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'okazja example'"


@contextmanager
def connected(conninfo):
    """A connection. When the block has ended it is gone, on the server's side too."""
    connection = psycopg.connect(conninfo, application_name="okazja example")
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        with connection:
            yield connection
        # To close is to say goodbye. The server closes its end when it has forgotten us.
        wire.settimeout(10)
        wire.recv(1)


def double(number, permits, conninfo):
    """The task: it has the server compute, and lets it take its time."""
    with permits, connected(conninfo) as connection:
        return connection.execute("SELECT 2 * %s::int, pg_sleep(0.01)", (number,)).fetchone()[0]


def most_connections(conninfo, done):
    """How many of our connections the server saw at once, at most, until ``done`` is set."""
    most = 0
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while not done.wait(timeout=0.002):
            most = max(most, connection.execute(COUNT).fetchone()[0])
    return most


def kill_workers(done):
    """Kills a worker, whichever it is, every 50 ms. On threads there is none that could be killed."""
    for _ in range(KILLS):
        if done.wait(timeout=0.05):
            return
        workers = [work.pid for work in okazja.tree().work if work.pid != os.getpid()]
        with suppress(ProcessLookupError, IndexError):  # it has just ended, or there is none
            os.kill(random.choice(workers), signal.SIGKILL)


def run_tasks(backend, conninfo):
    """Gives how many tasks were begun anew, because their worker was killed."""
    with Executor(backend, max_workers=WORKERS) as executor:
        permits = executor.BoundedSemaphore(LIMIT)
        tasks = [(number, permits, conninfo) for number in range(TASKS)]
        outcomes = list(executor.stream(lambda task: double(*task), tasks, ordered=True, retries=KILLS))

        assert [outcome.value for outcome in outcomes] == [2 * number for number in range(TASKS)]
        # The permits of the dead have come back.
        assert [permits.acquire(timeout=1) for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]
        return sum(outcome.attempts > 1 for outcome in outcomes)


def main(backend, conninfo):
    with Executor("threads", max_workers=2) as outside:
        done = outside.Event()
        most = outside.submit(most_connections, conninfo, done)
        killer = outside.submit(kill_workers, done)
        try:
            again = run_tasks(backend, conninfo)
        finally:
            done.set()
        killer.result()
        assert most.result() == LIMIT
        print(f"{TASKS} tasks on {backend}, {most.result()} connections at most, {again} tasks begun anew")


main(*sys.argv[1:])
