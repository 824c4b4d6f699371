"""Rows of results as text: .csv and .jsonl."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

__all__ = ["CsvRows", "JsonRows", "Rows", "json_value"]


class Rows(Protocol):
    """Writes rows to an open file, which it does not close."""

    def add(self, row: Sequence[Any]) -> None:
        """One row, a value for each column."""

    def end(self) -> None:
        """That was all."""

    def drop(self) -> None:
        """What was written is of no use. Nothing, or `end` that failed, may have come before."""


class _TextRows:
    def __init__(self, file: BinaryIO) -> None:
        # Half of a surrogate pair is no UTF-8; its escape can be read back, from JSON as what it was.
        self._text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")

    def end(self) -> None:
        """See Rows."""
        self._text.detach()

    def drop(self) -> None:
        """See Rows."""


class CsvRows(_TextRows):
    """Columns under a heading."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        super().__init__(file)
        writer = csv.writer(self._text, lineterminator="\n")
        writer.writerow(columns)
        self.add = writer.writerow


class JsonRows(_TextRows):
    """An object a line. One that has an error has no value, and the other way round."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        super().__init__(file)
        self._columns = columns
        encoder = json.JSONEncoder(default=json_value, ensure_ascii=False)
        self._encode = encoder.encode

    def add(self, row: Sequence[Any]) -> None:
        """See Rows."""
        named = dict(zip(self._columns, row, strict=True))
        if "error" in named:
            del named["value" if named["error"] else "error"]
        self._text.write(f"{self._encode(named)}\n")


def json_value(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; what JSON has no form for as its repr."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
