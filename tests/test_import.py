"""``import okazja`` costs next to nothing: what is slow to load waits until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {
    "asyncio",
    "click",
    "cloudpickle",
    "concurrent.futures.process",
    "multiprocessing",
    "numpy",
    "psutil",
    "rich",
}


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh interpreter has after ``program``, those it began with left out."""
    # -S: what a site's .pth files import is no doing of okazja.
    script = f"import sys; before = set(sys.modules)\n{program}\nprint(*sorted(set(sys.modules) - before))"
    path = f"import sys; sys.path[:] = {sys.path!r}\n"
    command = [sys.executable, "-S", "-c", path + script]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("program", ["import okazja", "import okazja; dir(okazja); okazja.__version__"])
def test_importing_loads_nothing_slow(program: str) -> None:
    assert loaded_by(program) & SLOW == set()


def test_calls_load_only_what_they_need() -> None:
    loaded = loaded_by("import okazja; okazja.Executor('serial').submit(len, 'abc').result()")
    assert loaded & {"asyncio", "click", "numpy", "psutil", "rich"} == set()


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio"])
def test_executors_that_share_memory_load_no_pickler(backend: str) -> None:
    loaded = loaded_by(
        f"import okazja\nwith okazja.Executor({backend!r}) as executor:\n    list(executor.stream(len, ['abc']))"
    )
    assert loaded & {"cloudpickle", "ctypes"} == set()


def test_an_executor_of_processes_has_its_pickler_before_the_first_call() -> None:
    assert "cloudpickle" in loaded_by("import okazja\nwith okazja.Executor('processes'):\n    pass")


def test_every_public_name_is_there() -> None:
    program = "import okazja; assert all(hasattr(okazja, name) for name in okazja.__all__)"
    assert "okazja.executor" in loaded_by(program)


def test_a_name_that_is_not_there_is_named() -> None:
    import okazja

    with pytest.raises(AttributeError, match="'okazja' has no attribute 'Exekutor'"):
        okazja.Exekutor  # type: ignore[attr-defined]  # noqa: B018
