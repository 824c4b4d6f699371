"""The command as it was typed, and others to be typed next, which a shell takes as they are."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Invocation"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """The arguments of ``okazja``. Shown with the program before them, quoted for a shell."""

    arguments: tuple[str, ...]

    def having(self, *flags: str) -> Invocation:
        """With these flags, where they are not there already."""
        return self._adding([flag for flag in flags if flag not in self.arguments[: self._options_end()]])

    def giving(self, option: str, value: str) -> Invocation:
        """With this value for an option, in place of the one that it may have."""
        return self.without(option)._adding([option, value])

    def without(self, option: str) -> Invocation:
        """Without an option and its value."""
        end = self._options_end()
        kept, skip = [], False
        for position, argument in enumerate(self.arguments):
            is_it = position < end and argument == option
            if not (skip or is_it or (position < end and argument.startswith(f"{option}="))):
                kept.append(argument)
            skip = is_it
        return replace(self, arguments=tuple(kept))

    def __str__(self) -> str:
        return shlex.join([*_program(), *self.arguments])

    def _adding(self, more: list[str]) -> Invocation:
        end = self._options_end()
        return replace(self, arguments=(*self.arguments[:end], *more, *self.arguments[end:]))

    def _options_end(self) -> int:
        """Where options end: after ``--`` nothing is one."""
        return self.arguments.index("--") if "--" in self.arguments else len(self.arguments)


def _program() -> list[str]:
    """How to start this program again, from a shell that finds programs as this process does."""
    program = Path(sys.argv[0] if sys.argv else "okazja")
    if program.name != "okazja":
        return [sys.executable, "-m", "okazja"]
    found = shutil.which("okazja")
    return ["okazja" if found and program.exists() and Path(found).samefile(program) else str(program)]
