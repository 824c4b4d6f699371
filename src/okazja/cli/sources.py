"""Items that are read: from a file, by its ending, or a line each from standard input; lazily, never all at once."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from okazja.errors import BadInput

__all__ = ["FileItems", "StandardInput", "items_of_file"]

COUNTED = 1 << 28  # bytes; counting the items of a larger file in advance takes longer than a moment
STDIN = 0  # its descriptor
BOM = b"\xef\xbb\xbf"


class StandardInput:
    """A line an item, as the lines come; endless, or until the end of the input. Iterated once."""

    def __iter__(self) -> Iterator[str]:
        # A file of our own: a thread that still waits in sys.stdin would disturb the end of the interpreter.
        with open(STDIN, "rb", closefd=False) as file:
            yield from _lines(file, "standard input")


class FileItems:
    """The items of a file, read anew by each iteration. Its length is counted by reading it, where that is quick.

    path: of the file. read: gives the items of the open file.
    """

    def __init__(self, path: Path, read: Callable[[BinaryIO, str], Iterable[Any]]) -> None:
        self.path = path
        self._read = read

    def __iter__(self) -> Iterator[Any]:
        with self.path.open("rb") as file:
            yield from self._read(file, str(self.path))

    def __len__(self) -> int:
        """Raises TypeError where nobody can tell without reading much, or what can be read once only."""
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > COUNTED:
            raise TypeError(f"the number of items in {self.path} is not known in advance")
        with self.path.open("rb") as file:
            return _rows_counted(file) if self._read is _rows else _lines_counted(file, self._read is _lines)


def items_of_file(path: Path) -> FileItems:
    """The items of a .txt, .jsonl or .csv file. Raises BadInput where there is none, or it can't be read."""
    reads = {".txt": _lines, ".jsonl": _values, ".csv": _rows}
    if path.suffix not in reads:
        raise BadInput(
            f"can't take items from {str(path)!r}: its name must end in .txt (an item a line), .jsonl (a JSON value a "
            f"line) or .csv (a row an item); for lines of another file write: --items - < {path}"
        )
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise BadInput(f"can't read items from {str(path)!r}: {error.strerror}") from error
    return FileItems(path, reads[path.suffix])


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines without their ends, empty ones too."""
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(BOM)
        line = line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise _bad(name, number, f"is no UTF-8 text ({error.reason} at byte {error.start})") from error


def _values(file: BinaryIO, name: str) -> Iterator[Any]:
    for number, line in enumerate(_lines(file, name), 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _bad(name, number, f"is no JSON ({error})") from error


def _rows(file: BinaryIO, name: str) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(_with_ends(file, name), strict=True)
    try:
        columns = reader.fieldnames or []
        if len(set(columns)) < len(columns):
            raise _bad(name, reader.line_num, f"names a column twice: {', '.join(columns)}")
        for row in reader:
            if None in row or None in row.values():
                raise _bad(name, reader.line_num, f"has not {len(columns)} columns, as the first line has")
            yield row
    except csv.Error as error:
        raise _bad(name, reader.reader.line_num, f"is no CSV ({error})") from error


def _with_ends(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines with their ends, which may be inside of quotes."""
    return (f"{line}\n" for line in _lines(file, name))


def _bad(name: str, number: int, what: str) -> BadInput:
    return BadInput(f"{name}, line {number}: it {what}. Mend the line, then run again")


def _lines_counted(file: BinaryIO, blank: bool) -> int:
    return sum(1 for line in file if blank or not line.isspace())


def _rows_counted(file: BinaryIO) -> int:
    try:
        return max(sum(1 for row in csv.reader(_with_ends(file, "")) if row) - 1, 0)
    except (BadInput, csv.Error) as error:  # said when the line is reached
        raise TypeError(f"the rows can't be counted: {error}") from error
