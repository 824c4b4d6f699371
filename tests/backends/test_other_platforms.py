"""Where a backend is not offered: importing okazja and the others work, and the error says what is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The modules that a system of this name comes without. None in sys.modules makes an import fail as a missing one does.
LACKING = {
    "darwin": [],
    "win32": ["fcntl", "resource", "grp", "pwd", "termios"],
}

# Everything that okazja needs of the standard library is loaded as on Linux; only okazja sees the other platform.
PROGRAM = """
import sys
platform, *lacking = sys.argv[1:]
import concurrent.futures.process, multiprocessing.connection, subprocess, tempfile, threading
sys.platform = platform
for name in lacking:
    sys.modules[name] = None

import okazja

for backend in ("serial", "threads"):
    with okazja.Executor(backend) as executor:
        assert executor.submit(pow, 2, 10).result() == 1024
        assert list(executor.map(str, range(100))) == [str(number) for number in range(100)]
        outcomes = list(executor.stream(int, ["1", "two"], ordered=True))
        assert [type(outcome.error) for outcome in outcomes] == [type(None), ValueError]
    assert okazja.map(abs, [-1, 2], backend=backend) == [1, 2]
assert okazja.cpu_count() >= 1

try:
    okazja.Executor("processes")
except okazja.UnsupportedHere as error:
    print(error)
"""


@pytest.mark.parametrize("platform", LACKING)
def test_only_processes_need_linux(platform: str) -> None:
    """It is refused when the executor is made, and the message names Linux, this platform and what works here."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, platform, *LACKING[platform]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"the backend 'processes' needs Linux (this is {platform})")
    assert 'Use "threads" or "serial" here' in ended.stdout
