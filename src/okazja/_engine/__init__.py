"""The engine behind every Executor, its futures, and its passes over inputs."""

from okazja._engine.engine import Engine
from okazja._engine.future import Future
from okazja._engine.lifetime import live_engines
from okazja._engine.run import Run, context_values
from okazja._engine.stream_run import StreamRun

__all__ = ["Engine", "Future", "Run", "StreamRun", "context_values", "live_engines"]
