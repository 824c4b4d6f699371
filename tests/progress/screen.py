"""Programs on a pseudo-terminal, and what a person would see there in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
from collections.abc import Mapping
from pathlib import Path

import okazja

SOURCE = str(Path(okazja.__file__).parents[1])
TOKEN = re.compile(r"\x1b\[([?0-9;]*)([a-zA-Z])|\r|\n|.", re.DOTALL)


def environment(**changed: str) -> Mapping[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    return kept | {"TERM": "xterm-256color", "PYTHONPATH": SOURCE, **changed}


def on_terminal(
    program: str,
    *,
    width: int = 80,
    interrupt_at: str | None = None,
    stdout: int | None = None,
    **environ: str,
) -> tuple[int, str]:
    """The exit status, and what the terminal got. Ctrl-C is typed once ``interrupt_at`` was written."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env=environment(**environ),
    ) as process:
        os.close(theirs)
        got = b""
        try:
            while data := os.read(ours, 1 << 16):
                got += data
                if interrupt_at is not None and interrupt_at.encode() in got:
                    interrupt_at = None
                    process.send_signal(signal.SIGINT)
        except OSError:  # how Linux says that nobody has the other side any more
            pass
        os.close(ours)
    return process.returncode, got.decode()


def picture(got: str, width: int = 80) -> list[str]:
    """The lines of the terminal, from the first that was written; without colours and trailing spaces."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for token in TOKEN.finditer(got):
        text, (number, command) = token[0], (token[1], token[2])
        if command == "K":
            assert number == "2"
            lines[row] = []
        elif command == "A":
            row -= int(number or 1)
            assert row >= 0, "the cursor went above the first line"
        elif command is not None:
            assert command == "m", f"unexpected: {text!r}"
        elif text == "\r":
            column = 0
        elif text == "\n":
            row += 1
        else:
            if column == width:  # at the last column the cursor waits for what comes
                row, column = row + 1, 0
            lines += [[] for _ in range(row + 1 - len(lines))]
            line = lines[row]
            line.extend(" " * (column + 1 - len(line)))
            line[column] = text
            column += 1
        lines += [[] for _ in range(row + 1 - len(lines))]
    return ["".join(line).rstrip() for line in lines]
