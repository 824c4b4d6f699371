"""The engine behind every Executor, and its futures."""

from okazja._engine.engine import Engine, live_engines
from okazja._engine.future import Future, report_lost

__all__ = ["Engine", "Future", "live_engines", "report_lost"]
