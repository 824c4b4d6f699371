"""The name that a journal knows a function by."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

__all__ = ["name_of"]


def name_of(fn: Any) -> str:
    """``module:qualified name``; of a partial, that of its function; of another object, that of its class.

    The module of a script is the name of its file, as if it were imported.
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not hasattr(fn, "__qualname__"):
        fn = type(fn)
    module = getattr(fn, "__module__", None) or "builtins"
    return f"{_script() if module in {'__main__', '__mp_main__'} else module}:{fn.__qualname__}"


def _script() -> str:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"
