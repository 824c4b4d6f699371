"""Results as a Parquet file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from okazja.cli import parquet
from okazja.cli.app import run
from okazja.cli.output import FileOutput
from okazja.errors import OkazjaError

Make = Callable[[str], str]
SOURCE = """
def square(n):
    if n == 3:
        raise ValueError("three")
    return n * n
"""
needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs the extra okazja[parquet]")


def written(path: Path, rows: list[tuple[Any, Any, str]]) -> Any:
    """The table that is read back."""
    import pyarrow.parquet

    with FileOutput(path, ("item", "value", "error")) as output:
        for row in rows:
            output.write(*row)
    return pyarrow.parquet.read_table(path)


@needs_pyarrow
def test_a_run_writes_columns_with_types(target: Make, tmp_path: Path) -> None:
    import pyarrow.parquet

    job = target(SOURCE)
    arguments = ["run", f"{job}:square", "--over", "1..5", "--workers", "1", "--journal", "j.db"]
    assert run([*arguments, "--out", "x.parquet"], "1") == 1
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert table.to_pydict() == {
        "item": [1, 2, 3, 4, 5],
        "value": [1, 4, None, 16, 25],
        "error": [None, None, "ValueError: three", None, None],
    }
    assert [str(kind) for kind in table.schema.types] == ["int64", "int64", "string"]
    first = (tmp_path / "x.parquet").read_bytes()
    assert run([*arguments, "--out", "x.parquet", "--resume"], "1") == 1
    assert (tmp_path / "x.parquet").read_bytes() == first


@needs_pyarrow
@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1, "a", None], ["1", '"a"', None]),
        ([{"a": 1}, [2]], ['{"a": 1}', "[2]"]),
        ([[1], [2, 3]], ["[1]", "[2, 3]"]),
        ([1 << 70, 1], [str(1 << 70), "1"]),
        ([None, None], [None, None]),
        ([], []),
    ],
)
def test_nested_and_mixed_values_are_json_text(tmp_path: Path, values: list[Any], kept: list[Any]) -> None:
    table = written(tmp_path / "x.parquet", [(n, value, "") for n, value in enumerate(values)])
    assert table.column("value").to_pylist() == kept
    assert table.schema.field("value").metadata[b"okazja"] == b"json"


@needs_pyarrow
@pytest.mark.parametrize("values", [["a", "b"], [1.5, 2], [b"\0", b""], [True, False]])
def test_values_of_one_kind_keep_it(tmp_path: Path, values: list[Any]) -> None:
    table = written(tmp_path / "x.parquet", [(n, value, "") for n, value in enumerate(values)])
    assert table.column("value").to_pylist() == values


@needs_pyarrow
def test_rows_are_written_in_groups_and_a_later_misfit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet

    monkeypatch.setattr(parquet, "GROUP", 10)
    path = tmp_path / "x.parquet"
    assert written(path, [(n, n, "") for n in range(25)]).num_rows == 25
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 3
    before = path.read_bytes()
    with pytest.raises(
        OkazjaError, match=r"row 17, counted from 0: the value 'x' does not fit into a column of int64"
    ):
        written(path, [(n, "x" if n == 17 else n, "") for n in range(25)])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.parquet"]


def test_without_pyarrow_it_says_what_to_install(
    target: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(["run", f"{target(SOURCE)}:square", "--over", "1..5", "--out", "x.parquet"], "1") == 2
    assert "pip install 'okazja[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "x.parquet").exists()
