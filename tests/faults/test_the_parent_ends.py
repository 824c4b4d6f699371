"""However the parent ends, nothing that it started outlives it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from tests.faults.scripts import Program, eventually, is_gone, program, run

KILLED_WITHIN = 2.0  # seconds; it takes some milliseconds

OPEN = """
    import os, sys, time
    from pathlib import Path
    from okazja import Executor
    from tests.faults import tasks
    from tests.semantics import tasks as more

    context = {context!r}
    if __name__ == "__main__":
        executor = Executor("processes", 2, mp_context=context)
        list(executor.map(tasks.pid, range(100)))
"""

WORK = {
    "idle": "        pass\n",
    "sleeping": "        futures = [executor.submit(time.sleep, 600) for _ in range(4)]\n",
    "holding the GIL in C": """
        markers = [Path(f"marker{n}") for n in range(2)]
        futures = [executor.submit(more.hold_the_gil, str(marker)) for marker in markers]
        while not all(marker.exists() for marker in markers):
            time.sleep(0.01)
""",
    "in a map": """
        results = executor.map(tasks.square, iter(int, 1))
        next(results)
""",
    "ignoring all signals": """
        executor.submit(tasks.change_signal_handlers).result()
        executor.submit(tasks.block_all_signals).result()
""",
    "with executors of their own": """
        def nest(path):
            with Executor("processes", 1) as inner:
                inner.submit(tasks.pid).result()
                Path(path).touch()
                time.sleep(600)
        paths = [Path(f"nested{n}") for n in range(2)]
        futures = [executor.submit(nest, str(path)) for path in paths]
        while not all(path.exists() for path in paths):
            time.sleep(0.01)
""",
}
WAIT = """
        print("ready", flush=True)
        while True:
            time.sleep(600)
"""


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


@pytest.mark.parametrize("work", WORK)
def test_a_parent_killed_by_sigkill_takes_all_with_it(tmp_path: Path, work: str) -> None:
    before = shared_memory()
    with program(tmp_path, OPEN.format(context=None) + WORK[work] + WAIT) as parent:
        assert parent.line() == "ready"
        assert len(parent.family()) >= 3, "the zygote and two workers"
        parent.kill()
        assert not parent.survivors(KILLED_WITHIN)
    assert shared_memory() <= before


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("work", ["sleeping", "holding the GIL in C"])
def test_workers_of_other_start_methods_go_too(tmp_path: Path, work: str, context: str) -> None:
    with program(tmp_path, OPEN.format(context=context) + WORK[work] + WAIT) as parent:
        assert parent.line() == "ready"
        assert len(parent.family()) >= 2
        parent.kill()
        assert not parent.survivors(KILLED_WITHIN)


def has_family(parent: Program) -> bool:
    return bool(parent.family())


def test_a_parent_killed_while_workers_start_takes_all_with_it(tmp_path: Path) -> None:
    script = """
        from okazja import Executor
        print("ready", flush=True)
        while True:
            with Executor("processes", 2) as executor:
                list(executor.map(abs, range(2)))
    """
    for _ in range(8):
        with program(tmp_path, script) as parent:
            assert parent.line() == "ready"
            eventually(functools.partial(has_family, parent), 10)
            parent.kill()
            assert not parent.survivors(KILLED_WITHIN)


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_interpreter_exit_finishes_pending_work(tmp_path: Path, backend: str) -> None:
    script = f"""
        from pathlib import Path
        from okazja import Executor
        from tests.semantics.tasks import record

        executor = Executor({backend!r}, 2)
        futures = [executor.submit(record, "log", number) for number in range(500)]
        executor.map(record, ["log"] * 500, range(500, 1000))
        print("end")
    """
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(1000))


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio", "processes"])
def test_interpreter_exit_with_an_endless_map_does_not_hang(tmp_path: Path, backend: str) -> None:
    script = f"""
        import itertools
        from okazja import Executor

        executor = Executor({backend!r}, 2 if {backend!r} != "serial" else None)
        results = executor.map(abs, itertools.count())
        print(next(results), next(results))
    """
    done = run(tmp_path, script)
    assert (done.stdout, done.stderr, done.returncode) == ("0 1\n", "", 0)


def test_sys_exit_and_an_uncaught_error_end_a_script_with_an_open_executor(tmp_path: Path) -> None:
    script = """
        from okazja import Executor

        executor = Executor("processes", 2)
        executor.submit(abs, 1).result()
        raise SystemExit(3)
    """
    done = run(tmp_path, script)
    assert (done.stderr, done.returncode) == ("", 3)
    done = run(tmp_path, script.replace("SystemExit(3)", "LookupError('mine')"))
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1


def test_a_forgotten_executor_ends_its_workers(tmp_path: Path) -> None:
    script = (
        OPEN.format(context=None)
        + """
        futures = [executor.submit(tasks.square, n) for n in range(50)]
        del executor
        print(sum(future.result() for future in futures), flush=True)
        print("waiting", flush=True)
        time.sleep(600)
    """
    )
    with program(tmp_path, script) as parent:
        assert parent.line() == str(sum(n * n for n in range(50)))
        assert parent.line() == "waiting"
        # The zygote stays, for the next executor.
        assert eventually(lambda: len([p for p in parent.family() if not is_gone(p)]) <= 1, 5)


CTRL_C = (
    OPEN
    + """
        try:
            with executor:
                {statement}
        except KeyboardInterrupt:
            print("interrupted")
            raise SystemExit(130)
"""
)


@pytest.mark.parametrize(
    "statement",
    [
        "list(executor.map(tasks.announce_and_sleep, range(10)))",
        "list(executor.stream(tasks.announce_and_sleep, range(10)))",
        "executor.submit(tasks.announce_and_sleep).result()",
        "[executor.submit(tasks.announce_and_sleep) for _ in range(10)]; time.sleep(600)",
        "results = executor.map(tasks.square, iter(int, 1)); next(results); print('ready'); list(results)",
    ],
)
def test_ctrl_c_ends_a_script_at_once_and_in_silence(tmp_path: Path, statement: str) -> None:
    with program(tmp_path, CTRL_C.format(context=None, statement=statement)) as script:
        assert script.line() == "ready"
        script.interrupt()
        out, err = script.process.communicate(timeout=10)
        assert (out.replace("ready\n", ""), err, script.process.returncode) == ("interrupted\n", "", 130)
        assert not script.survivors(KILLED_WITHIN)


def test_ctrl_c_that_is_not_caught_shows_one_traceback_the_parents(tmp_path: Path) -> None:
    script = (
        OPEN.format(context=None)
        + """
        with executor:
            list(executor.map(tasks.announce_and_sleep, range(10)))
    """
    )
    with program(tmp_path, script) as running:
        assert running.line() == "ready"
        running.interrupt()
        _, err = running.process.communicate(timeout=10)
        assert err.count("Traceback") == 1
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert "_worker" not in err
        assert not running.survivors(KILLED_WITHIN)
