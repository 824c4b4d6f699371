"""``python -m okazja`` and the command ``okazja``."""

from __future__ import annotations

import sys
from pathlib import Path

from okazja.cli.interrupt import (
    catch_signals,
    ending,
    ignore_signals,
    release_signals,
    was_asked_to_end,
)

__all__ = ["main"]

NEEDED = frozenset({"click", "rich"})  # what the extra `cli` brings


def main() -> int:
    """Run the command line on ``sys.argv``; the exit status."""
    catch_signals()
    try:
        status = _run()
    except KeyboardInterrupt:  # while the command line was being loaded
        ignore_signals()
        status, said = ending()
        print(f"okazja: {said}", file=sys.stderr)  # noqa: T201  (there is nothing else to say it with)
        return status
    if not was_asked_to_end():
        release_signals()
    return status


def _run() -> int:
    try:
        from okazja.cli.app import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in NEEDED:
            raise
        print(  # noqa: T201  (as above)
            f"okazja: the command line needs {package}, which is not installed: pip install 'okazja[cli]'",
            file=sys.stderr,
        )
        return 2
    from okazja import __version__

    return run(sys.argv[1:], __version__)


if __name__ == "__main__":
    # `python -m` puts the current folder first, where a user's random.py would hide the real one from all
    # that is imported from here on. Targets find the folder again, see okazja.cli.target.
    if not sys.flags.safe_path and Path(sys.path[0]) == Path.cwd():
        del sys.path[0]
    sys.exit(main())
