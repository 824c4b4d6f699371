"""In a notebook: one output that is updated, in the cell that began the work, before that cell has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.progress.screen import SOURCE

pytest.importorskip("ipykernel")

# Work that is done before anybody looks has one picture only: each cell lets the first be shown before the end.
SEEN = """
from threading import Event

shown, went_on = Event(), Event()
publisher = get_ipython().display_pub
publish = publisher.publish

def tell(*args, **kwargs):
    publish(*args, **kwargs)
    shown.set()

def linger(*args, **kwargs):
    if kwargs.get("update"):
        went_on.wait(1.5)  # longer than any other kind of view is waited for
    tell(*args, **kwargs)

class Seen:
    def __len__(self):
        return 20

    def __iter__(self):
        shown.clear()
        yield 0
        assert shown.wait(60)
        yield from range(1, 20)

def when_seen(outcomes):
    assert shown.wait(60)
    shown.clear()
    return outcomes

publisher.publish = tell
"""

CELLS = [
    f"import okazja\nfrom okazja import Executor\n{SEEN}",
    "def odd_only(n):\n    if n % 2 == 0:\n        raise ValueError(n)\n    return n",
    "executor = Executor('threads', max_workers=1)",
    "outcomes = list(when_seen(executor.stream(odd_only, range(10), progress=True)))",
    "total = sum(okazja.map(abs, Seen(), backend='processes', progress=True))",
    "shown.clear()\noutcomes = when_seen(executor.stream(odd_only, iter(range(10)), progress=True))",
    "rest = list(outcomes)",
    # A kernel that is slow to show, in a cell that does not wait for that by itself.
    (
        "shown.clear()\npublisher.publish = linger\n"
        "outcomes = list(when_seen(executor.stream(abs, range(10), progress=True)))"
    ),
    "went_on.set()\nexecutor.shutdown()",
]
FROM_BEGINNING_TO_END = 5
SLOW = 7

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
                told.append([cell_of.get(parent), number, kind, content])
            idle = kind == "status" and content["execution_state"] == "idle" and parent == request
finally:
    client.stop_channels()
    manager.shutdown_kernel()
print(json.dumps(told))
"""


class Message(NamedTuple):
    """What the kernel told."""

    cell: int  # that it belongs to
    during: int  # the cell that ran when it came
    kind: str
    content: dict[str, Any]

    @property
    def display(self) -> str:
        identity: str = self.content["transient"]["display_id"]
        return identity


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    """What the cells showed."""
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
    return [Message(*message) for message in json.loads(finished.stdout)]


def test_nothing_else_is_shown(told: list[Message]) -> None:
    assert {message.kind for message in told} == {"display_data", "update_display_data"}, told


@pytest.mark.parametrize(
    ("cell", "share", "text"),
    [
        (3, 'value="10" max="10"', "odd_only: 10 of 10 items (100 %)"),
        (4, 'value="20" max="20"', "abs: 20 of 20 items (100 %)"),
        (SLOW, 'value="10" max="10"', "abs: 10 of 10 items (100 %)"),
    ],
)
def test_a_bar_is_updated_in_its_place(told: list[Message], cell: int, share: str, text: str) -> None:
    first, *updates = [message for message in told if message.cell == cell]
    assert first.kind == "display_data"
    assert {message.kind for message in updates} == {"update_display_data"}
    assert {message.display for message in updates} == {first.display}
    last = updates[-1].content["data"]
    assert f"<progress {share}>" in last["text/html"]
    assert last["text/plain"].startswith(text)
    assert cell != 3 or "5 failed" in last["text/html"]


def test_the_last_update_comes_before_the_cell_has_ended(told: list[Message]) -> None:
    """What comes later is lost to whoever looks at the cell's outputs only while it runs."""
    late = [message for message in told if message.during != message.cell]
    assert {message.cell for message in late} == {FROM_BEGINNING_TO_END}


def test_it_goes_on_in_the_cell_where_it_began(told: list[Message]) -> None:
    first, *updates = [message for message in told if message.cell == FROM_BEGINNING_TO_END]
    assert not [message for message in told if message.cell == FROM_BEGINNING_TO_END + 1]
    assert {message.display for message in updates} == {first.display}
    last = updates[-1]
    assert last.during == FROM_BEGINNING_TO_END + 1
    assert "<progress" not in last.content["data"]["text/html"]
    assert "10 items" in last.content["data"]["text/plain"]
