"""Parquet files, through pyarrow. Memory is bounded: rows are written in groups."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from okazja.cli.rows import json_value
from okazja.errors import BadInput, OkazjaError

__all__ = ["ParquetRows", "check_pyarrow"]

GROUP = 65_536  # rows of a group
BYTES = 1 << 25  # of values that a group may hold, about


def check_pyarrow(path: Path) -> None:
    """Raise BadInput where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401  (whether it is there is the question)
    except ImportError as error:
        raise BadInput(
            f"can't write {str(path)!r} without pyarrow, which is not installed: pip install 'okazja[parquet]', or "
            f"write .csv or .jsonl"
        ) from error


class ParquetRows:
    """Columns with the types of the first group's values.

    A column of numbers, texts, times or bytes has that type. One of lists, dicts, or of types that don't go together,
    holds JSON text, and its field says so: its metadata has ``okazja: json``.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._file = file
        self._columns = columns
        self._rows: list[Sequence[Any]] = []
        self._written = 0
        self._bytes = 0
        self._writer: Any = None
        self._schema: Any = None

    def add(self, row: Sequence[Any]) -> None:
        """See Rows."""
        self._rows.append(row)
        self._bytes += sum(map(sys.getsizeof, row))
        if len(self._rows) >= GROUP or self._bytes >= BYTES:
            self._write()

    def end(self) -> None:
        """See Rows."""
        if self._rows or self._writer is None:
            self._write()
        self.drop()

    def drop(self) -> None:
        """See Rows."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            finally:
                writer.is_open = False  # else it tries once more when it is forgotten

    def _write(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        columns = [list(column) for column in zip(*self._rows, strict=True)] or [[] for _ in self._columns]
        for name, values in zip(self._columns, columns, strict=True):
            if name == "error":
                values[:] = [value or None for value in values]
        if self._writer is None:
            self._schema = pa.schema(list(map(_field, self._columns, columns)))
            self._writer = parquet.ParquetWriter(self._file, self._schema)
        arrays = [self._array(field, column) for field, column in zip(self._schema, columns, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._written += len(self._rows)
        self._rows.clear()
        self._bytes = 0

    def _array(self, field: Any, values: list[Any]) -> Any:
        import pyarrow as pa

        if field.metadata:
            values = list(map(_json_text, values))
        try:
            return pa.array(values, field.type)
        except _misfits():
            row = next(row for row, value in enumerate(values) if not _fits(value, field.type))
            raise OkazjaError(
                f"row {self._written + row:,}, counted from 0: the {field.name} {values[row]!r:.200} does not fit into "
                f"a column of {field.type}, the type of the first {self._written:,} rows: write a .jsonl file, or have "
                f"the function return values of one type"
            ) from None


def _field(name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    if name == "error":
        return pa.field(name, pa.string())
    try:
        kind = pa.array(values).type
    except _misfits():
        kind = pa.null()
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return pa.field(name, pa.string(), metadata={"okazja": "json"})
    return pa.field(name, kind)


def _json_text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=json_value, ensure_ascii=False)


def _fits(value: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        pa.array([value], kind)
    except _misfits():
        return False
    return True


def _misfits() -> tuple[type[Exception], ...]:
    """What pyarrow raises for values that don't go into one array."""
    import pyarrow as pa

    return (pa.ArrowException, OverflowError, TypeError, ValueError)
