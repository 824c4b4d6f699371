"""The engine behind every Executor, its futures, and its passes over inputs."""

from okazja._engine.async_input import AsyncInput
from okazja._engine.engine import Engine
from okazja._engine.future import Future
from okazja._engine.input import DirectInput, RangeInput, ReadInput, can_block
from okazja._engine.library import library
from okazja._engine.lifetime import live_engines
from okazja._engine.results import Results
from okazja._engine.run import Run
from okazja._engine.stream_run import StreamOptions, StreamRun

__all__ = [
    "AsyncInput",
    "DirectInput",
    "Engine",
    "Future",
    "RangeInput",
    "ReadInput",
    "Results",
    "Run",
    "StreamOptions",
    "StreamRun",
    "can_block",
    "library",
    "live_engines",
]
