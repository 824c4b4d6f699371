"""Where results go: lines on standard output, or a file that is written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from okazja.errors import BadInput

__all__ = ["FileOutput", "LineOutput", "output_to"]

ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def output_to(path: Path | None) -> LineOutput | FileOutput:
    """A file for a path, standard output for None. Raises BadInput when the file can't be written."""
    return LineOutput() if path is None else FileOutput(path)


class LineOutput:
    """``item<TAB>value`` lines on standard output, as they come. Tabs and line ends in values are escaped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            sys.stdout.flush()

    def write(self, item: Any, value: Any) -> None:
        """One result."""
        sys.stdout.write(f"{_line_text(item)}\t{_line_text(value)}\n")

    def write_error(self, item: Any, error: BaseException) -> None:
        """Nothing: a failed item has no value, and standard error tells of it."""


class FileOutput:
    """A ``.csv`` (item, value, error) or ``.jsonl`` file.

    It is written beside its place under another name and put there when all is done, so that a file of this
    name is always whole. After an exception nothing is left of it.
    """

    def __init__(self, path: Path, columns: tuple[str, ...] = ("item", "value", "error")) -> None:
        self.path = path
        self._columns = columns
        if path.suffix not in {".csv", ".jsonl"}:
            raise BadInput(f"can't write {str(path)!r}: its name must end in .csv or .jsonl")
        if path.is_dir():
            raise BadInput(f"can't write {str(path)!r}: it is a folder")
        if not path.parent.is_dir():
            raise BadInput(f"can't write {str(path)!r}: there is no folder {str(path.parent)!r}")
        self._file: TextIO
        self._row: Callable[[Any, Any, str], object]

    def __enter__(self) -> Self:
        try:
            fd, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
        except OSError as error:
            raise BadInput(f"can't write {str(self.path)!r}: {error.strerror}") from error
        self._part = Path(name)
        self._file = os.fdopen(fd, "w", encoding="utf-8", newline="")
        if self.path.suffix == ".csv":
            writer = csv.writer(self._file, lineterminator="\n")
            writer.writerow(self._columns)
            width = len(self._columns)
            self._row = lambda item, value, error: writer.writerow((item, value, error)[:width])
        else:
            self._row = self._json_row
        return self

    def write(self, item: Any, value: Any) -> None:
        """One result."""
        self._row(item, value, "")

    def write_many(self, items: Iterable[Any], values: Iterable[Any]) -> None:
        """Many results at once, which is faster."""
        for item, value in zip(items, values, strict=True):
            self._row(item, value, "")

    def write_error(self, item: Any, error: BaseException) -> None:
        """A failed item: it has an error in place of a value."""
        self._row(item, None, f"{type(error).__name__}: {error}")

    def _json_row(self, item: Any, value: Any, error: str) -> None:
        names = self._columns
        row = {names[0]: item, "error": error} if error else {names[0]: item, names[1]: value}
        self._file.write(json.dumps(row, default=_json_value, ensure_ascii=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                self._part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)


def _line_text(value: Any) -> str:
    return str(value).translate(ESCAPES)


def _json_value(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; what JSON has no form for as its repr."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
