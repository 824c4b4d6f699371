"""What an interrupted task sees; by this name it is known to the worker and the backends."""

from __future__ import annotations

from okazja.errors import Interrupted

__all__ = ["Interrupted"]
