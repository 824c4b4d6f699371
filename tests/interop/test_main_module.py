"""Functions and classes of ``__main__`` work on processes however the program was started, without a main guard."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import okazja

# No `if __name__ == "__main__"`; would a worker run the script again, "started" would be printed twice.
PROGRAM = """
import enum, functools, os
from dataclasses import dataclass
from typing import NamedTuple
from okazja import Executor

print("started")
OFFSET = 10

class Colour(enum.Enum):
    RED = 1
    GREEN = 2

@dataclass
class Point:
    x: int
    y: int = 0

    def moved(self):
        return Point(self.x + 1, helper(self.y))

class Row(NamedTuple):
    n: int

class OwnError(Exception):
    def __init__(self, n, reason):
        super().__init__(n, reason)
        self.n = n

def helper(n):
    return n + OFFSET

def square(n):
    return helper(n * n)

@functools.lru_cache
def cached(n):
    return 2 * n

def fail(n):
    raise OwnError(n, "no luck with")

def swap(colour):
    assert isinstance(colour, Colour)
    return Colour.GREEN if colour is Colour.RED else Colour.RED

def pid(_):
    return os.getpid()

with Executor("processes", max_workers=2) as executor:
    assert list(executor.map(square, range(50))) == [square(n) for n in range(50)]
    assert list(executor.map(lambda n: square(n) + 1, range(50))) == [square(n) + 1 for n in range(50)]
    assert executor.submit(square, 3).result() == 19
    OFFSET = 20
    assert executor.submit(square, 3).result() == 29
    assert executor.submit(Point(1, 2).moved).result() == Point(2, 22)
    assert list(executor.map(Point, [1, 2], [3, 4])) == [Point(1, 3), Point(2, 4)]
    assert list(executor.map(Row, range(3))) == [Row(n) for n in range(3)]
    assert executor.submit(swap, Colour.RED).result() is Colour.GREEN
    assert os.getpid() not in set(executor.map(pid, range(20)))
    assert list(executor.map(functools.partial(pow, 2), range(5))) == [1, 2, 4, 8, 16]
    try:
        executor.submit(fail, 5).result()
    except OwnError as error:
        assert error.n == 5 and error.args == (5, "no luck with")
    else:
        raise AssertionError("the error did not come")
    %s
print("done")
"""

CACHED = "assert list(executor.map(cached, range(5))) == [0, 2, 4, 6, 8]"


def run(arguments: list[str], folder: Path, program: str | None = None) -> list[str]:
    source = str(Path(okazja.__file__).parents[1])
    finished = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=program,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


@pytest.mark.parametrize("way", ["script", "-c", "stdin", "-m module", "-m package", "zip", "runpy"])
def test_no_main_guard(tmp_path: Path, way: str) -> None:
    program = PROGRAM % "pass"
    assert run(*started(way, tmp_path, program)) == ["started", "done"]


@pytest.mark.parametrize("way", ["script", "-c"])
def test_a_cached_function_of_main(tmp_path: Path, way: str) -> None:
    assert run(*started(way, tmp_path, PROGRAM % CACHED)) == ["started", "done"]


def started(way: str, folder: Path, program: str) -> tuple[list[str], Path, str | None]:
    """The arguments of the interpreter, the folder to start in, and its standard input."""
    package = folder / "jobs"
    package.mkdir()
    (package / "__init__.py").touch()
    for script in (folder / "job.py", package / "__main__.py"):
        script.write_text(program, "utf-8")
    with zipfile.ZipFile(folder / "job.zip", "w") as archive:
        archive.writestr("__main__.py", program)
    arguments = {
        "script": ["job.py"],
        "-c": ["-c", program],
        "stdin": ["-"],
        "-m module": ["-m", "job"],
        "-m package": ["-m", "jobs"],
        "zip": ["job.zip"],
        "runpy": ["-c", "import runpy; runpy.run_path('job.py', run_name='__main__')"],
    }
    return arguments[way], folder, program if way == "stdin" else None


CHILD = """
import multiprocessing
from okazja import Executor

class Point:
    def __init__(self, x):
        self.x = x

def square(n):
    return n * n

def child():
    with Executor("processes", max_workers=2) as executor:
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        assert executor.submit(lambda point: point.x, Point(3)).result() == 3
        assert isinstance(executor.submit(Point, 3).result(), Point)
    print("done", flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=child)
    process.start()
    process.join()
    print(process.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing(tmp_path: Path, method: str) -> None:
    """There the main module is called ``__mp_main__``."""
    script = tmp_path / "job.py"
    script.write_text(CHILD.format(method=method), "utf-8")
    assert run([str(script)], tmp_path) == ["done", "0"]


AWKWARD = {
    "slots": """
class Thing:
    __slots__ = ("x", "__hidden")
    def __init__(self, x):
        self.x = self.__hidden = x
    def value(self):
        return self.__hidden
""",
    "slots of a dataclass": """
import dataclasses
@dataclasses.dataclass(slots=True)
class Thing:
    x: int
    def value(self):
        return self.x
""",
    "cached_property": """
import functools
class Thing:
    def __init__(self, x):
        self.x = x
    @functools.cached_property
    def cached(self):
        return self.x
    def value(self):
        return self.cached
""",
    "generic": """
from typing import Generic, TypeVar
T = TypeVar("T")
class Thing(Generic[T]):
    def __init__(self, x: T):
        self.x = x
    def value(self) -> T:
        return self.x
""",
    "abstract": """
import abc
class Base(abc.ABC):
    @abc.abstractmethod
    def value(self): ...
class Thing(Base):
    def __init__(self, x):
        super().__init__()
        self.x = x
    def value(self):
        return self.x
""",
    "metaclass": """
class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args)
        made.mark = True
        return made
class Thing(metaclass=Meta):
    def __init__(self, x):
        self.x = x
    def value(self):
        return self.x
""",
}

USE = """
from okazja import Executor
with Executor("processes", max_workers=2) as executor:
    made = executor.submit(Thing, 4).result()
    assert type(made) is Thing and made.value() == 4
    assert executor.submit(Thing(5).value).result() == 5
    assert [type(thing) for thing in executor.map(Thing, range(5))] == [Thing] * 5
"""


@pytest.mark.parametrize("kind", AWKWARD)
def test_awkward_classes_of_main(tmp_path: Path, kind: str) -> None:
    """Their instances go there and come back as instances of the class that is here."""
    assert not run(["-c", AWKWARD[kind] + USE], tmp_path)
