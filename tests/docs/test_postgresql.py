"""The server that other tests rely on: it is theirs alone, and it goes when they go."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from tests.faults.scripts import eventually

ROOT = Path(__file__).parents[2]

KEEPER = """
import time
from tests.postgresql import find_binaries, server

with server(find_binaries()) as conninfo:
    print(conninfo, flush=True)
    time.sleep(60)
"""


def test_it_answers(postgresql: str) -> None:
    import psycopg

    with psycopg.connect(postgresql) as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)


def test_it_ends_with_the_process_that_started_it(postgresql: str) -> None:
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server runs as another user
        keeper = subprocess.Popen(
            [sys.executable, "-c", KEEPER],
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": folder},
            stdout=subprocess.PIPE,
        )
        try:
            assert keeper.stdout is not None
            assert b"port=" in keeper.stdout.readline()
            servers = psutil.Process(keeper.pid).children(recursive=True)
            assert "postgres" in {process.name() for process in servers}
        finally:
            keeper.kill()
            keeper.communicate()
        assert eventually(lambda: not any(process.is_running() for process in servers))
