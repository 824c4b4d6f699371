"""What several workers print at once arrives line by line, whichever kind of file it goes to."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.scripts import environment, run

from okazja import Executor

Open = Callable[..., Executor]

PATIENCE = 60.0  # seconds for what should take none

METHODS = ["None", "'fork'", "'spawn'", "'forkserver'"]

PRINTING = """
    import sys
    from okazja import Executor
    from okazja.testing.gate import Gate, wait_at

    WORKERS, LINES, LENGTH = 3, {lines}, {length}

    def chatter(address, letter):
        wait_at(address)
        for number in range(LINES):
            print(letter, number, letter * LENGTH, "end", file={stream})

    if __name__ == "__main__":
        gate = Gate()
        with Executor("processes", WORKERS, mp_context={method}) as executor:
            calls = [executor.submit(chatter, gate.address, letter) for letter in "abc"]
            gate.arrivals(WORKERS)
            gate.open()
            for call in calls:
                call.result(60)
"""


def expected(lines: int, length: int) -> Counter[str]:
    return Counter(f"{letter} {number} {letter * length} end" for letter in "abc" for number in range(lines))


def whole(text: str, lines: int, length: int) -> None:
    """All lines are there, each in one piece."""
    found = Counter(text.replace("\r\n", "\n").splitlines())
    assert found == expected(lines, length)


def script(folder: Path, lines: int, length: int, stream: str = "sys.stdout", method: str = "None") -> str:
    return PRINTING.format(lines=lines, length=length, stream=stream, method=method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stream", ["sys.stdout", "sys.stderr"])
def test_lines_of_several_workers_on_a_pipe(tmp_path: Path, stream: str, method: str) -> None:
    done = run(tmp_path, script(tmp_path, 1000, 50, stream, method), timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    whole(done.stdout if stream == "sys.stdout" else done.stderr, 1000, 50)


@pytest.mark.parametrize(("lines", "length"), [(1000, 50), (100, 20_000), (50, 65_000)])
def test_lines_of_several_workers_in_a_file(tmp_path: Path, lines: int, length: int) -> None:
    program = tmp_path / "script.py"
    program.write_text(_dedented(script(tmp_path, lines, length)))
    with (tmp_path / "out").open("wb") as file:
        subprocess.run(
            [sys.executable, program], stdout=file, env=environment(), check=True, timeout=PATIENCE
        )
    whole((tmp_path / "out").read_text(), lines, length)


def test_lines_of_several_workers_on_a_terminal(tmp_path: Path) -> None:
    program = tmp_path / "script.py"
    program.write_text(_dedented(script(tmp_path, 200, 500)))
    leader, follower = pty.openpty()
    read = bytearray()

    def listen() -> None:
        with contextlib.suppress(OSError):  # the last one has closed it
            while data := os.read(leader, 1 << 16):
                read.extend(data)

    with subprocess.Popen([sys.executable, program], stdout=follower, env=environment()) as process:
        os.close(follower)
        listener = threading.Thread(target=listen)
        listener.start()
        assert process.wait(PATIENCE) == 0
        listener.join(PATIENCE)
    os.close(leader)
    whole(read.decode(), 200, 500)


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def speak(text: str) -> None:
    print(text)  # noqa: T201
    print("without a line end", end="", file=sys.stderr)  # noqa: T201


@pytest.mark.parametrize("method", [None, "fork", "spawn"])
def test_what_a_parent_puts_in_place_of_its_streams_is_not_a_workers(
    open_executor: Open, method: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as instead:
        executor = open_executor(1, mp_context=method)
        executor.submit(speak, "hello").result(PATIENCE)
        executor.shutdown()
    assert instead.getvalue() == ""
    assert capfd.readouterr() == ("hello\n", "without a line end")


def test_bytes_and_descriptors_are_those_of_a_file(open_executor: Open) -> None:
    def look() -> list[object]:
        for stream in (sys.stdout, sys.stderr):
            stream.buffer.write(b"")
        return [sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.name, sys.stderr.errors]

    assert open_executor(1).submit(look).result(PATIENCE) == [1, 2, "<stdout>", "backslashreplace"]


def test_a_worker_that_is_killed_has_printed_its_lines(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import os, signal
        from okazja import Executor

        def last_words(_):
            print("the", "last", "words")
            os.kill(os.getpid(), signal.SIGKILL)

        with Executor("processes", 1) as executor:
            print(type(executor.submit(last_words, 0).exception(20)).__name__)
        """,
    )
    assert done.stdout.splitlines() == ["the last words", "WorkerDied"]
