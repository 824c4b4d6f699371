"""A PostgreSQL server of the tests' own: a new cluster in a temporary folder, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["REMEDY", "find_binaries", "server"]

REMEDY = "no PostgreSQL server here: apt-get install postgresql"
PATIENCE = 30.0  # seconds that a server may take to start, and to end
ATTEMPTS = 5  # free ports that are tried: another program may take one first

# What a test does not need (durability) makes it slow; what it needs is to hear soon of clients that died.
SETTINGS = {
    "fsync": "off",
    "autovacuum": "off",  # its workers come and go, and would look like processes that the test has left
    "client_connection_check_interval": "10ms",
}


def find_binaries() -> Path | None:
    """The folder of the newest ``initdb`` and ``postgres``; Debian keeps them off the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    candidates = [*reversed(debian), *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def server_user() -> str | None:
    """Whom the server runs as: it refuses to run as root. None: the user of this process."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Runs a server for as long as the block lasts; gives what ``psycopg.connect`` needs.

    It ends with the block, and with the process that runs the tests, however that ends.
    """
    user = server_user()
    with tempfile.TemporaryDirectory(prefix="okazja-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        make_cluster(binaries, folder, user)
        process, port = start(binaries, folder, user)
        try:
            yield f"host=127.0.0.1 port={port} user=okazja dbname=postgres"
        finally:
            end(process)


def make_cluster(binaries: Path, folder: Path, user: str | None) -> None:
    options = ["--auth=trust", "--username=okazja", "--encoding=UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(
        [binaries / "initdb", *options, "-D", folder / "data"],
        user=user,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert made.returncode == 0, made.stderr


def start(binaries: Path, folder: Path, user: str | None) -> tuple[subprocess.Popen[bytes], int]:
    log = folder / "log"
    for _ in range(ATTEMPTS):
        port = free_port()
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command: list[str | Path] = [
            binaries / "postgres",
            "-D",
            folder / "data",
            "-k",
            folder,
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                # SIGQUIT, sent by the kernel when the tests are gone, ends the server at once.
                ["setpriv", "--pdeathsig", "QUIT", *command, *options],
                user=user,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if is_ready(process, port):
            return process, port
        end(process)
    raise AssertionError(log.read_text("utf-8", "replace"))


def is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until the server takes connections; False where it ended or took too long."""
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=okazja dbname=postgres").close()
        except psycopg.OperationalError:  # not yet
            time.sleep(0.02)
        else:
            return process.poll() is None
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGINT: clients are cut off, then it ends in good order."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
