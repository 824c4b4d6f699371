"""A process that forks off a child reports a lost error itself; the child does not say it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.scripts import run

SCRIPT = """
    import os
    import sys
    import warnings
    from okazja import Executor

    warnings.simplefilter("ignore", DeprecationWarning)  # of forks of processes that have had threads

    def fail():
        raise ValueError("no one looks")

    with Executor({name!r}) as executor:
        future = executor.submit(fail)
    child = os.fork()
    if not child:
        {leave}
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("leave", ["pass", "del future"])
@pytest.mark.parametrize("name", ["serial", "threads", "asyncio", "processes"])
def test_reported_once(tmp_path: Path, name: str, leave: str) -> None:
    done = run(tmp_path, SCRIPT.format(name=name, leave=leave))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nobody looked at its future: ValueError: no one looks") == 1
