"""From what is typed as TARGET to a function that workers can import too."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from okazja._worker.task import check_arity, check_task
from okazja.errors import BadInput, TaskTypeError
from okazja.jobs import find_job, job_names

__all__ = ["Target", "load_target"]

FORMS = "write path/file.py:function, module:function or a ready job ({})"


@dataclass(frozen=True, slots=True)
class Target:
    """A function to run, and the items that a ready job brings along."""

    name: str
    function: Callable[[Any], Any]
    items: range | None = None


def load_target(text: str) -> Target:
    """The function that ``text`` names.

    Raises BadInput when there is no such module, file or function, or when importing it fails.
    """
    forms = FORMS.format(", ".join(job_names()))
    place, separator, name = text.rpartition(":")
    if not separator:
        if text in job_names():
            job = find_job(text)
            return Target(text, job.function, job.items)
        hint = f"{text}:function" if text.endswith(".py") else "a function's name after a colon"
        raise BadInput(f"{text!r} names no function (is {hint} meant?): {forms}")
    if not place or not name:
        raise BadInput(f"can't read {text!r}: {forms}")
    if place in job_names():
        return _job_variant(place, name)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    function = _function(module, place, name)
    _check(text, function)
    return Target(text, function)


def _check(text: str, function: Callable[[Any], Any]) -> None:
    """Raise BadInput for a function that can't be called with one item, or whose call would do nothing."""
    try:
        check_task(function)
    except TaskTypeError as error:
        raise BadInput(
            f"{text} is a generator function, whose call does no work: name one that returns a list"
        ) from error
    try:
        check_arity(function, 1)
    except TaskTypeError as error:
        raise BadInput(
            f"{text}{inspect.signature(function)} can't be called with one item, as it is here: wrap it in a function "
            f"of one argument"
        ) from error


def _job_variant(job_name: str, variant: str) -> Target:
    job = find_job(job_name)
    if variant not in job.variants:
        raise BadInput(f"{job_name!r} has no variant {variant!r}: choose one of {', '.join(job.variants)}")
    return Target(f"{job_name}:{variant}", job.variants[variant], job.items)


def _function(module: ModuleType, place: str, name: str) -> Callable[[Any], Any]:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            near = difflib.get_close_matches(part, names, 3) or names[:5]
            raise BadInput(f"{place} has no {name!r}; it has {', '.join(near) if near else 'no functions'}")
        found = getattr(found, part)
    if not callable(found):
        raise BadInput(f"{place}:{name} is no function, but {found!r}: name something that can be called")
    function: Callable[[Any], Any] = found
    return function


def _load_module(name: str) -> ModuleType:
    if "" not in sys.path:
        _put_on_path(Path.cwd())  # as `python -m` does; the command `okazja` starts without it
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _not_imported(name, error) from error  # the module is there, but one that it needs isn't
        raise BadInput(f"there is no module {name!r}: for a file, write path/{name}.py:function") from error
    except Exception as error:
        raise _not_imported(name, error) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"there is no file {str(path)!r} (seen from {Path.cwd()})")
    path = path.resolve()
    stem = path.stem
    if not _is_taken(stem, path):
        _put_on_path(path.parent)  # workers get the same sys.path
        with _blamed_on(path):
            return importlib.import_module(stem)
    # Another module has this name, so workers would import that one: the file's functions go by value.
    _put_on_path(path.parent, last=True)  # so that the file doesn't hide the module of its name
    spec = importlib.util.spec_from_file_location(f"okazja_target_{stem.replace('.', '_')}", path)
    assert spec is not None
    loader = spec.loader
    assert loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with _blamed_on(path):
        loader.exec_module(module)
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    return module


def _put_on_path(folder: Path, *, last: bool = False) -> None:
    """Make a folder's modules importable: first, as for a script, unless they would hide standard ones.

    A ``random.py`` at the front would be what NumPy and the workers' own start get for ``import random``.
    """
    if str(folder) in sys.path:
        return
    hides = any(file.stem in sys.stdlib_module_names for file in folder.glob("*.py"))
    sys.path.insert(len(sys.path) if last or hides else 0, str(folder))


def _is_taken(stem: str, path: Path) -> bool:
    if "." in stem or stem in sys.stdlib_module_names or stem == "__main__":
        return True
    loaded = sys.modules.get(stem)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(stem)
        except (ImportError, ValueError):
            return True
        if spec is None:
            return False
        origin = spec.origin
    return origin is None or Path(origin).resolve() != path


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _not_imported(str(path), error) from error


def _not_imported(place: str, error: Exception) -> BadInput:
    """The traceback without the frames of okazja and of the import system: what is left is the user's."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    lines = [*traceback.format_list(frames), *traceback.format_exception_only(error)]
    return BadInput(f"importing {place} failed:\n{''.join(lines).rstrip()}")
