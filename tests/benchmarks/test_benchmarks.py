from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.machine import Machine
from benchmarks.peers import PEERS
from benchmarks.rows import ROWS, Point, Row
from benchmarks.table import Cell, Table

from benchmarks import page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

SOME = Point("some", 10, lambda peer, size: 0.0)
MANY = Point("many", 1000, lambda peer, size: 0.0, without=frozenset({"Pool"}))
ROW = Row(
    "growth",
    "what grows",
    "µs",
    "less",
    (SOME, MANY),
    ("okazja", "Pool", "Dask"),
    "flat",
    lambda median: median("okazja", "many") <= median("okazja", "some"),
    smaller={"Dask": 10},
)


def table(scale: float = 1) -> Table:
    return Table.of(ROW, ["okazja", "Pool", "Dask"], set(), scale)


def fill(table: Table, peer: str, point: str, *figures: float | None) -> Cell:
    cell = table.cell(peer, point)
    assert cell is not None
    cell.figures.extend(figures)
    return cell


def test_the_names_that_rows_use_are_those_of_peers() -> None:
    assert {peer for row in ROWS for peer in row.peers} <= set(PEERS)
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_cells_leave_out_what_takes_too_long_and_shrink_what_takes_long() -> None:
    sizes = {(cell.peer, cell.point.name): cell.size for cell in table().cells}
    assert sizes == {
        ("okazja", "some"): 10,
        ("Pool", "some"): 10,
        ("Dask", "some"): 1,
        ("okazja", "many"): 1000,
        ("Dask", "many"): 100,
    }


def test_a_ratio_is_taken_round_by_round() -> None:
    measured = table()
    fill(measured, "okazja", "some", 1.0, 10.0, 2.0)
    theirs = fill(measured, "Pool", "some", 3.0, 30.0, None)
    assert measured.ratio(theirs) == 3


@pytest.mark.parametrize(
    ("many", "scale", "verdict"),
    [(1.0, 1, "reached"), (9.0, 1, "MISSED"), (1.0, 2, "not judged at another size")],
)
def test_the_verdict_follows_the_medians(many: float, scale: float, verdict: str) -> None:
    measured = table(scale)
    fill(measured, "okazja", "some", 1.0)
    fill(measured, "okazja", "many", many)
    assert measured.verdict() == verdict


def test_without_a_figure_there_is_no_verdict() -> None:
    assert table().verdict() == "not judged without okazja many"


def test_the_page_keeps_what_is_outside_of_its_markers() -> None:
    measured = table()
    fill(measured, "okazja", "some", 1.0)
    figures = "\n".join(page.generated(Machine.now(["okazja"]), [measured], "chart.svg"))
    once = page.put_between(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", figures)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert "| **okazja** | 1 | – |" in once
    assert page.put_between(once, figures) == once


def test_a_page_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lost a marker"):
        page.put_between("nothing", "figures")


def test_the_page_of_the_documentation_has_its_markers() -> None:
    for name in ("performance.md", "performance-beyond-pools.md"):
        assert "figures" in page.put_between((ROOT / "docs" / name).read_text("utf-8"), "figures")


def test_the_chart_is_an_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws the chart")
    from benchmarks.chart import draw

    measured = table()
    fill(measured, "okazja", "some", 1.0)
    fill(measured, "okazja", "many", 100.0)
    draw([measured], tmp_path / "chart.svg")
    assert "<svg" in (tmp_path / "chart.svg").read_text("utf-8")


def test_one_row_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "map-tiny",
            "--peer",
            "Pool",
            "--rounds",
            "1",
            "--scale",
            "0.01",
            "--json",
            str(file),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    [row] = json.loads(file.read_text("utf-8"))["rows"]
    assert {cell["peer"]: cell["failures"] for cell in row["cells"]} == {"okazja": [], "Pool": []}
    assert all(cell["median"] > 0 for cell in row["cells"])


def test_a_table_is_read_back_as_it_was_written() -> None:
    written = table()
    fill(written, "okazja", "some", 1.0, 2.0, 3.0)
    fill(written, "Pool", "some", None, 4.0).failures.append("no figure after 9 s")
    read = Table.from_json(json.loads(json.dumps(written.as_json())), {ROW.name: ROW})
    assert read.as_json() == written.as_json()
    assert list(read.lines()) == list(written.lines())
