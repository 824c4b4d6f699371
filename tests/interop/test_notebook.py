"""Cells of a notebook define functions and use them on processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import okazja

pytest.importorskip("IPython")

CELLS = [
    "from okazja import Executor\nimport os",
    "def square(n):\n    return n * n + OFFSET",
    "OFFSET = 1",
    "executor = Executor('processes', max_workers=2)",
    "assert list(executor.map(square, range(30))) == [n * n + 1 for n in range(30)]",
    # A cell that is edited and run again changes what the workers run.
    "def square(n):\n    return n * n * n + OFFSET",
    "assert list(executor.map(square, range(30))) == [n ** 3 + 1 for n in range(30)]",
    "OFFSET = 2",
    "assert executor.submit(square, 2).result() == 10",
    "class Model:\n    def __init__(self, k):\n        self.k = k\n    def fit(self, x):\n        return self.k * x",
    "assert list(executor.map(Model(3).fit, range(5))) == [0, 3, 6, 9, 12]",
    # Errors show the line of the cell.
    "def broken(n):\n    raise LookupError(f'item {n}')",
    (
        "import traceback\n"
        "try:\n    executor.submit(broken, 4).result()\n"
        "except LookupError as error:\n    shown = ''.join(traceback.format_exception(error))"
    ),
    "assert 'item 4' in shown and 'in broken' in shown, shown",
    "assert os.getpid() not in set(executor.map(lambda _: os.getpid(), range(10)))",
    # A notebook's cells may await.
    "assert await executor.submit(square, 3) == 29",
    # Coroutines run although the kernel's loop is running in this thread.
    "import okazja, asyncio\nasync def nap(n):\n    await asyncio.sleep(0)\n    return n + OFFSET",
    "assert okazja.run(nap(3)) == 5",
    "assert await nap(3) == 5",
    "try:\n    okazja.run(nap('no number'))\nexcept TypeError:\n    print('as expected')\nelse:\n    assert False",
    "with executor.group() as group:\n    futures = [group.submit(square, n) for n in range(3)]",
    "async with executor.group() as group:\n    futures.append(group.submit(square, 3))",
    "assert [future.result() for future in futures] == [2, 3, 10, 29]",
    "executor.shutdown()",
]

SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for number, cell in enumerate({cells!r}):
    result = shell.run_cell(cell, store_history=True)
    if not result.success:
        sys.exit(f"cell {{number}} failed: {{result.error_before_exec or result.error_in_exec!r}}")
print("all cells ran")
"""

KERNEL = """
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")
try:
    for number, cell in enumerate({cells!r}):
        reply = client.execute_interactive(cell, timeout=60)["content"]
        assert reply["status"] == "ok", (number, cell, reply)
finally:
    client.stop_channels()
    manager.shutdown_kernel()
print("all cells ran")
"""


def run(program: str, folder: Path) -> None:
    source = str(Path(okazja.__file__).parents[1])
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": source, "IPYTHONDIR": str(folder)},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.splitlines()[-1] == "all cells ran"


def test_cells_in_a_shell(tmp_path: Path) -> None:
    run(SHELL.format(cells=CELLS), tmp_path)


def test_cells_in_a_kernel(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    run(KERNEL.format(cells=CELLS), tmp_path)
