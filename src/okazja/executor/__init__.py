"""The Executor, and the one-liner that needs none."""

from okazja.executor.executor import Executor
from okazja.executor.one_liner import map  # noqa: A004  (the field's name for it)

__all__ = ["Executor", "map"]
