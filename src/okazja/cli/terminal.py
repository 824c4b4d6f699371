"""What is said on standard error, and the progress there."""

from __future__ import annotations

import sys
from typing import Any

from okazja.progress import progress_for

__all__ = ["progress_named", "say"]


def say(text: str) -> None:
    """Write lines to standard error, without markup and as they are."""
    print(text, file=sys.stderr, flush=True)


def progress_named(name: str) -> Any:
    """What a stream shows its progress with, on standard error, under this name."""
    return progress_for(True, name)
