"""How items and values are kept: as JSON where that says exactly what they are, else as bytes or as a pickle."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from okazja._transport import pickling
from okazja.errors import NotPicklable, describe

__all__ = ["ABSENT", "BYTES", "FORMS", "INT64", "JSON", "KEY", "PICKLE", "TooLarge", "decode", "encode"]

JSON, BYTES, PICKLE, KEY, ABSENT = FORMS = range(5)

INT64 = 1 << 63  # what SQLite's integers go up to
LIMIT = 999_000_000  # bytes; SQLite takes 1,000,000,000 in one row

_DEPTH = 100  # of lists and dicts in JSON; deeper ones could not be read where the stack is low
_DIGITS = 1 << 2_000  # larger ints may not be turned into text in every process (sys.set_int_max_str_digits)
_SHARED = 100  # lists and dicts that may occur more than once in one value

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # which JSON takes for one character

_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False).encode


class TooLarge(NotPicklable):
    """A value that no row can hold."""


class _Shape:
    """Whether a list or a dict comes back from JSON as it is: equal, and of the same types at every level."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._shared = 0

    def is_exact(self, value: Any, depth: int = _DEPTH) -> bool:
        kind = type(value)
        if kind is not list and kind is not dict:
            return is_exact_scalar(value)
        if not depth or self._is_tangled(value):
            return False
        if kind is dict:
            if not all(type(key) is str and not _PAIR.search(key) for key in value):
                return False
            value = value.values()
        return all(self.is_exact(part, depth - 1) for part in value)

    def _is_tangled(self, value: Any) -> bool:
        """Lists that hold themselves, or each other many times, would never end."""
        if id(value) in self._seen:
            self._shared += 1
        self._seen.add(id(value))
        return self._shared > _SHARED


def is_exact_scalar(value: Any) -> bool:
    """Whether JSON keeps this number, text, truth value or None exactly."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii() or not _PAIR.search(value))
    if kind is int:
        return bool(-_DIGITS < value < _DIGITS)
    if kind is float:
        return math.isfinite(value)
    return value is None or kind is bool


def encode(value: Any, what: str) -> tuple[Any, int]:
    """What a column holds for this value, and its form.

    Raises NotPicklable, which calls the value ``what``; TooLarge where no row can hold it.
    """
    kind = type(value)
    if (kind is int and -INT64 <= value < INT64) or (kind is float and math.isfinite(value)):
        return value, JSON
    if kind is bytes:
        stored, form = value, BYTES
    elif _Shape().is_exact(value):
        stored, form = _dump(value), JSON
    else:
        stored, form = _pickle(value, what), PICKLE
    if len(stored) > LIMIT:
        raise TooLarge(
            f"{what} takes {len(stored):,} bytes, over the limit of {LIMIT:,} for one row of a journal: "
            f"keep it in a file and return its path"
        )
    return stored, form


def _pickle(value: Any, what: str) -> bytes:
    try:
        return pickling.dumps(value, what)
    except NotPicklable as error:
        cause = error.__cause__ or error
        raise NotPicklable(
            f"{what}, of type {type(value).__qualname__}, can't be kept in a journal: it is neither JSON nor bytes and "
            f"can't be pickled ({describe(cause)}). Return what can, or leave the journal out"
        ) from error


def decode(stored: Any, form: int) -> Any:
    """The value that a column holds. Unpickles nothing: pickles come as they are.

    Raises ValueError where the column holds nothing of this form.
    """
    if form == JSON:
        return json.loads(stored) if isinstance(stored, str) else stored
    if form in {BYTES, PICKLE}:
        if type(stored) is not bytes:
            raise ValueError(f"bytes expected, {type(stored).__name__} found")
        return stored
    raise ValueError(f"unknown form {form}")
