"""In a notebook: one output that is updated, in the cell that began the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.progress.screen import SOURCE

pytest.importorskip("ipykernel")

CELLS = [
    "import okazja\nfrom okazja import Executor",
    "def odd_only(n):\n    if n % 2 == 0:\n        raise ValueError(n)\n    return n",
    "executor = Executor('threads', max_workers=1)",
    "outcomes = list(executor.stream(odd_only, range(10), progress=True))",
    "total = sum(okazja.map(abs, range(20), backend='processes', progress=True))",
    "outcomes = executor.stream(odd_only, iter(range(10)), progress=True)",
    "rest = list(outcomes)",
    "executor.shutdown()",
]

KERNEL = """
import json, sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")
told, cell_of = [], {{}}
try:
    for number, cell in enumerate({cells!r}):
        request = client.execute(cell)
        cell_of[request] = number
        idle = False
        while not idle:
            message = client.get_iopub_msg(timeout=60)
            kind, content, parent = message["msg_type"], message["content"], message["parent_header"].get("msg_id")
            if kind in ("display_data", "update_display_data", "stream", "error"):
                told.append([cell_of.get(parent), kind, content])
            idle = kind == "status" and content["execution_state"] == "idle" and parent == request
finally:
    client.stop_channels()
    manager.shutdown_kernel()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, dict[str, Any]]]:
    """What the cells showed: number of the cell, kind of the message, its content."""
    folder: Path = tmp_path_factory.mktemp("notebook")
    finished = subprocess.run(
        [sys.executable, "-c", KERNEL.format(cells=CELLS)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE, "IPYTHONDIR": str(folder)},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return [tuple(message) for message in json.loads(finished.stdout)]


def test_nothing_else_is_shown(told: list[tuple[int, str, dict[str, Any]]]) -> None:
    assert {kind for _, kind, _ in told} == {"display_data", "update_display_data"}, told


@pytest.mark.parametrize(
    ("cell", "share", "text"),
    [
        (3, 'value="10" max="10"', "odd_only: 10 of 10 items (100 %)"),
        (4, 'value="20" max="20"', "abs: 20 of 20 items (100 %)"),
    ],
)
def test_a_bar_is_updated_in_its_place(
    told: list[tuple[int, str, dict[str, Any]]], cell: int, share: str, text: str
) -> None:
    shown = [(kind, content) for number, kind, content in told if number == cell]
    assert [kind for kind, _ in shown] == ["display_data"] + ["update_display_data"] * (len(shown) - 1)
    assert len({content["transient"]["display_id"] for _, content in shown}) == 1
    assert len(shown) >= 2
    last = shown[-1][1]["data"]
    assert f"<progress {share}>" in last["text/html"]
    assert last["text/plain"].startswith(text)
    assert cell == 4 or "5 failed" in last["text/html"]


def test_it_goes_on_in_the_cell_where_it_began(told: list[tuple[int, str, dict[str, Any]]]) -> None:
    first, *updates = [content for number, kind, content in told if number == 5]
    assert len(updates) >= 1
    assert not [content for number, kind, content in told if number == 6]
    assert {content["transient"]["display_id"] for content in updates} == {first["transient"]["display_id"]}
    assert "<progress" not in updates[-1]["data"]["text/html"]
    assert "10 items" in updates[-1]["data"]["text/plain"]
