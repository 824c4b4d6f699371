"""Where results go: lines on standard output, or a file that is written whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from okazja.cli.parquet import ParquetRows, check_pyarrow
from okazja.cli.rows import CsvRows, JsonRows, Rows
from okazja.errors import BadInput, OkazjaError

__all__ = ["ESCAPES", "RESULT", "FileOutput", "LineOutput", "output_to"]

ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
RESULT = ("item", "value", "error")
FORMATS: dict[str, Callable[[BinaryIO, Sequence[str]], Rows]] = {
    ".csv": CsvRows,
    ".jsonl": JsonRows,
    ".parquet": ParquetRows,
}


def output_to(path: Path | None) -> LineOutput | FileOutput:
    """A file for a path, standard output for None. Raises BadInput when the file can't be written."""
    return LineOutput() if path is None else FileOutput(path, RESULT)


class LineOutput:
    """``item<TAB>value`` lines on standard output, each at once. Tabs and line ends in values are escaped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, item: Any, value: Any, error: str = "") -> None:
        """One result, to be read now by whoever waits for it. A failed item has none: standard error tells of it."""
        if not error:
            sys.stdout.write(f"{_line_text(item)}\t{_line_text(value)}\n")
            sys.stdout.flush()


class FileOutput:
    """A ``.csv``, ``.jsonl`` or ``.parquet`` file with these columns.

    It is written beside its place under another name and put there when all is done, so that a file of this
    name is always whole. After an exception nothing is left of it.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path = path
        self._columns = columns
        if path.suffix not in FORMATS:
            raise BadInput(f"can't write {str(path)!r}: its name must end in .csv, .jsonl or .parquet")
        if path.suffix == ".parquet":
            check_pyarrow(path)
        if path.is_dir():
            raise BadInput(f"can't write {str(path)!r}: it is a folder")
        if not path.parent.is_dir():
            raise BadInput(f"can't write {str(path)!r}: there is no folder {str(path.parent)!r}")
        self._file: BinaryIO
        self._rows: Rows | None = None

    def __enter__(self) -> Self:
        try:
            fd, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
        except OSError as error:
            raise BadInput(f"can't write {str(self.path)!r}: {error.strerror}") from error
        self._part = Path(name)
        self._file = os.fdopen(fd, "wb")
        try:
            self._rows = FORMATS[self.path.suffix](self._file, self._columns)
        except BaseException:
            self._give_up()
            raise
        return self

    def write(self, *row: Any) -> None:
        """One row, a value for each column."""
        try:
            self._opened().add(row)
        except OSError as error:
            raise self._unwritten(error) from error

    def write_many(self, *columns: Iterable[Any]) -> None:
        """Many rows at once, as columns."""
        add = self._opened().add
        try:
            for row in zip(*columns, strict=True):
                add(row)
        except OSError as error:
            raise self._unwritten(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._give_up()
            return
        try:
            self._opened().end()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            self._part.replace(self.path)
        except OSError as problem:
            raise self._unwritten(problem) from problem
        finally:
            self._give_up()

    def _opened(self) -> Rows:
        assert self._rows is not None
        return self._rows

    def _give_up(self) -> None:
        """Leave nothing of it, or what is in place already."""
        try:
            if self._rows is not None:
                self._rows.drop()
            self._file.close()
        except OSError:  # the error that matters is on its way
            pass
        self._part.unlink(missing_ok=True)

    def _unwritten(self, error: OSError) -> OkazjaError:
        return OkazjaError(
            f"can't write {str(self.path)!r}: {error.strerror or error}. What was there before is as it was: make "
            f"room, or name a place where there is some"
        )


def _line_text(value: Any) -> str:
    return str(value).translate(ESCAPES)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
