"""A defect of okazja's own: those who wait are told, and everything is given back."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from okazja import Executor, ExecutorBroken

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none


def make(count: int) -> np.ndarray:
    return np.full(count, 1.0)


def defect(*_: object) -> Any:
    raise RuntimeError("a defect")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_nothing_stays_open_and_nothing_is_written_to(
    open_executor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = open_executor(max_workers=1)
    result = executor.submit(make, 6_000_000).result(PATIENCE)  # more than is let go of in silence
    backend: Any = executor._engine.backend
    (port,) = backend._ports.values()
    wake = backend._wake
    monkeypatch.setattr(backend, "_read", defect)
    with pytest.raises(ExecutorBroken):
        executor.submit(make, 1).result(PATIENCE)
    executor.shutdown()
    assert port.channel.closed
    assert port.pidfd == -1
    assert not executor._processes
    for fd in (wake, port.results.fd):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    foreign = os.memfd_create("foreign")
    try:
        if foreign != wake:
            os.dup2(foreign, wake)
        del result
        gc.collect()
        assert os.fstat(foreign).st_size == 0
    finally:
        os.close(foreign)
        if foreign != wake:
            os.close(wake)
