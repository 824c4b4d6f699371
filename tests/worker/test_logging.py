"""What is logged in a worker reaches the parent's handlers: once, in order, and before the reply."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.scripts import run

from okazja import Executor, WorkerDied

Open = Callable[..., Executor]

PATIENCE = 30.0  # seconds for what should take none
METHODS = [None, "fork", "spawn", "forkserver"]

log = logging.getLogger("tests.of.workers")


class Kept(logging.Handler):
    """Keeps records, with the thread that handled them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


def say(text: str, *args: Any) -> int:
    log.info(text, *args)
    return os.getpid()


@pytest.mark.parametrize("method", METHODS)
def test_a_record_is_the_parents_to_handle(open_executor: Open, kept: Kept, method: str | None) -> None:
    executor = open_executor(1, mp_context=method)
    pid = executor.submit(say, "%s and %d", "text", 7).result(PATIENCE)
    (record,) = kept.records  # it was handled before the result was there
    assert record.getMessage() == "text and 7"
    assert record.args == ("text", 7)
    assert (record.name, record.levelname, record.funcName) == (log.name, "INFO", "say")
    assert record.process == pid
    assert record.processName is not None
    assert record.processName.startswith("processes-")
    assert Path(record.pathname) == Path(__file__)


@pytest.mark.parametrize("method", METHODS)
def test_levels_are_those_of_the_parent_when_the_worker_starts(
    open_executor: Open, kept: Kept, method: str | None
) -> None:
    def log_all() -> list[bool]:
        for level in (logging.DEBUG, logging.INFO, logging.ERROR):
            log.log(level, "level %d", level)
            log.getChild("quiet").log(level, "quiet %d", level)
        return [log.isEnabledFor(logging.DEBUG), logging.getLogger("other.name").isEnabledFor(logging.INFO)]

    quiet = log.getChild("quiet")
    quiet.setLevel(logging.ERROR)
    try:
        executor = open_executor(1, mp_context=method)
        assert executor.submit(log_all).result(PATIENCE) == [False, False]
    finally:
        quiet.setLevel(logging.NOTSET)
    assert kept.messages() == ["level 20", "level 40", "quiet 40"]


def test_logging_disable_holds_in_workers(open_executor: Open, kept: Kept) -> None:
    logging.disable(logging.INFO)
    try:
        open_executor(1).submit(say, "unheard").result(PATIENCE)
    finally:
        logging.disable(logging.NOTSET)
    assert kept.records == []


class CannotTravel:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        return "in person"


def test_exceptions_and_what_can_not_travel_become_text(open_executor: Open, kept: Kept) -> None:
    def talk() -> None:
        log.info("with %s", CannotTravel())
        log.info(CannotTravel())
        log.info("%(a)s", {"a": 1})
        log.info("extra", extra={"number": 7, "path": Path("there"), "lock": threading.Lock()})
        try:
            raise LookupError("not there")
        except LookupError:
            log.exception("failed", stack_info=True)

    open_executor(1).submit(talk).result(PATIENCE)
    assert kept.messages() == ["with in person", "in person", "1", "extra", "failed"]
    extra: Any = kept.records[3]
    assert (extra.number, extra.path) == (7, Path("there"))
    assert "lock" in extra.lock
    failed = logging.Formatter().format(kept.records[4])
    assert "Traceback" in failed
    assert "LookupError: not there" in failed
    assert "Stack (most recent call last)" in failed


def test_a_level_with_a_name_of_the_parents_own(open_executor: Open, kept: Kept) -> None:
    logging.addLevelName(25, "NOTICE")

    def note() -> None:
        log.log(25, "something")

    open_executor(1).submit(note).result(PATIENCE)
    assert kept.records[0].levelname == "NOTICE"


def count_up(part: tuple[str, int]) -> None:
    name, count = part
    for number in range(count):
        log.info("%s %d", name, number)


@pytest.mark.parametrize("method", METHODS)
def test_each_of_many_records_arrives_once_and_in_order(
    open_executor: Open, kept: Kept, method: str | None
) -> None:
    executor = open_executor(2, mp_context=method)
    list(executor.map(count_up, [("a", 500), ("b", 500), ("c", 500), ("d", 500)]))
    numbers = defaultdict(list)
    for message in kept.messages():
        name, number = message.split()
        numbers[name].append(int(number))
    assert numbers == {name: list(range(500)) for name in "abcd"}


def test_threads_of_a_task_may_log(open_executor: Open, kept: Kept) -> None:
    def with_threads(name: str) -> None:
        parts = [(f"{name}{number}", 100) for number in range(4)]
        threads = [threading.Thread(target=count_up, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        count_up((f"{name}-main", 100))
        for thread in threads:
            thread.join()

    results = open_executor(2).map(with_threads, "wxyz")
    for finished, name in enumerate("wxyz", 1):
        next(results)
        heard = [message for message in kept.messages() if message.startswith(name)]
        assert len(heard) == 500, finished
        assert len(set(heard)) == 500


def test_long_records_and_hand_backs_do_not_disturb_each_other(open_executor: Open, kept: Kept) -> None:
    def shout(number: int) -> int:
        for _ in range(20):
            log.info("%s", str(number % 10) * 100_000)
        return number

    executor = open_executor(2)
    assert list(executor.map(abs, range(2000))) == list(range(2000))  # chunks have grown
    assert list(executor.map(shout, range(20))) == list(range(20))
    messages = kept.messages()
    assert len(messages) == 400
    assert all(len(message) == 100_000 and len(set(message)) == 1 for message in messages)


def log_in_a_thread_later(ends: tuple[int, int]) -> None:
    def later() -> None:
        os.read(ends[0], 1)
        log.info("after the call")
        os.write(ends[1], b"x")

    threading.Thread(target=later, daemon=True).start()


def test_a_thread_that_outlives_its_call_is_heard_at_once(open_executor: Open, kept: Kept) -> None:
    begin_read, begin_write = os.pipe()
    done_read, done_write = os.pipe()
    heard = threading.Event()
    kept.emit = lambda record: heard.set()  # type: ignore[method-assign]
    executor = open_executor(1, mp_context="fork")  # it inherits the pipes
    executor.submit(log_in_a_thread_later, (begin_read, done_write)).result(PATIENCE)
    os.write(begin_write, b"x")
    assert heard.wait(PATIENCE)
    assert os.read(done_read, 1) == b"x"
    for end in (begin_read, begin_write, done_read, done_write):
        os.close(end)


@pytest.mark.parametrize("method", METHODS)
def test_the_last_words_of_a_killed_worker_arrive(
    open_executor: Open, kept: Kept, method: str | None
) -> None:
    def last_words() -> None:
        log.info("goodbye")
        os.kill(os.getpid(), signal.SIGKILL)

    executor = open_executor(1, mp_context=method)
    assert isinstance(executor.submit(last_words).exception(PATIENCE), WorkerDied)
    assert kept.messages() == ["goodbye"]


def configure(path: str) -> None:
    logging.basicConfig(filename=path, level=logging.INFO, format="%(message)s")


def add_handler(path: str) -> None:
    log.addHandler(logging.FileHandler(path))


@pytest.mark.parametrize("initializer", [configure, add_handler])
@pytest.mark.parametrize("method", METHODS)
def test_handlers_that_the_initializer_adds_handle_records_alone(
    open_executor: Open, kept: Kept, tmp_path: Path, method: str | None, initializer: Callable[[str], None]
) -> None:
    path = tmp_path / "worker.log"
    executor = open_executor(1, mp_context=method, initializer=initializer, initargs=(str(path),))
    executor.submit(say, "here").result(PATIENCE)
    assert path.read_text() == "here\n"
    assert kept.records == []


def add_null_handler_and_say(text: str) -> None:
    log.addHandler(logging.NullHandler())
    log.info(text)


def test_a_handler_that_does_nothing_keeps_nothing_back(open_executor: Open, kept: Kept) -> None:
    open_executor(1).submit(add_null_handler_and_say, "heard").result(PATIENCE)
    assert kept.messages() == ["heard"]


def warn_through_the_module() -> None:
    logging.warning("of the root logger")  # noqa: LOG015


def test_the_functions_of_the_module_reach_the_parent(
    open_executor: Open, caplog: pytest.LogCaptureFixture
) -> None:
    executor = open_executor(1)
    for _ in range(2):
        executor.submit(warn_through_the_module).result(PATIENCE)
    assert caplog.messages == ["of the root logger"] * 2


def test_a_child_that_a_task_forks_logs_for_itself(open_executor: Open, kept: Kept) -> None:
    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            log.info("in the child")
            os._exit(0)
        log.info("in the worker")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert open_executor(1).submit(fork).result(PATIENCE) == 0
    assert kept.messages() == ["in the worker"]


def log_from_inside(text: str) -> str:
    with Executor("processes", 1) as executor:
        executor.submit(say, text).result(PATIENCE)
    return text


def test_records_of_nested_executors_come_all_the_way(open_executor: Open, kept: Kept) -> None:
    assert open_executor(1).submit(log_from_inside, "deep").result(PATIENCE) == "deep"
    assert kept.messages() == ["deep"]


class Refuses(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise LookupError("no place for it")


def test_a_handler_that_raises_harms_no_result(
    open_executor: Open, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    log.addHandler(refuses := Refuses())
    try:
        assert open_executor(1).submit(say, "listen").result(PATIENCE) > 0
    finally:
        log.removeHandler(refuses)
    assert any("was not handled" in message for message in caplog.messages)


def test_a_handler_may_submit(open_executor: Open, kept: Kept) -> None:
    executor = open_executor(2)
    followed: list[Any] = []
    kept.emit = lambda record: followed.append(executor.submit(abs, -5))  # type: ignore[method-assign]
    executor.submit(say, "go on").result(PATIENCE)
    assert [future.result(PATIENCE) for future in followed] == [5]


def test_without_handlers_a_warning_reaches_stderr(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import logging
        from okazja import Executor

        def warn(_):
            logging.getLogger("some.name").warning("beware")
            logging.getLogger("some.name").info("no matter")

        def fail():
            raise LookupError("no configuration")

        if __name__ == "__main__":
            for method in (None, "fork", "spawn"):
                with Executor("processes", 1, mp_context=method) as executor:
                    executor.submit(warn, 0).result(20)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "beware\n" * 3)


def test_a_main_module_that_configures_logging_is_not_doubled(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import logging
        from okazja import Executor

        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")

        def inform(_):
            logging.info("once")

        if __name__ == "__main__":
            for method in (None, "fork", "spawn", "forkserver"):
                with Executor("processes", 1, mp_context=method) as executor:
                    executor.submit(inform, 0).result(20)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "INFO once\n" * 4)


def test_an_initializer_may_log(open_executor: Open, kept: Kept) -> None:
    executor = open_executor(1, initializer=say, initargs=("started",))
    assert executor.submit(abs, -1).result(PATIENCE) == 1
    assert kept.messages() == ["started"]
    assert kept.records[0].process != os.getpid()
