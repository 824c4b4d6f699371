from __future__ import annotations

from tests.faults.conftest import open_executor

__all__ = ["open_executor"]  # a fixture for these tests too
