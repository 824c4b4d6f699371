"""The commands put together, and the one place where the command line ends."""

from __future__ import annotations

import os
import sys
import threading

import click

from okazja.cli.compare import compare
from okazja.cli.demo import demo
from okazja.cli.doctor import doctor
from okazja.cli.export import export
from okazja.cli.interrupt import ending, ignore_signals
from okazja.cli.invocation import Invocation
from okazja.cli.run import run as run_command
from okazja.cli.status import status as status_command
from okazja.cli.terminal import say
from okazja.cli.tree import tree
from okazja.errors import BadInput, OkazjaError

__all__ = ["commands", "run"]

DONE, FAILED, WRONG_USAGE = 0, 1, 2


def commands(version: str) -> click.Group:
    """The command ``okazja`` with all its commands."""

    @click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    @click.version_option(version, prog_name="okazja")
    def okazja() -> None:
        """Run a Python function over many inputs, on all cores.

        \b
        See it work:            okazja demo
        Your own function:      okazja run path/file.py:function --over 1..1000
        A job of a night:       okazja run path/file.py:function --items FILE --journal night.db
        How far is it?          okazja status night.db
        Which way is fastest?   okazja compare path/file.py:function --over 1..1000

        TARGET is path/file.py:function, module:function or the name of a ready job (sieve).

        Exit status: 0 all items done, 1 some items failed, 2 wrong usage, 130 interrupted,
        143 terminated.
        """  # noqa: D301  (\b keeps click from wrapping the lines)

    for command in (demo, run_command, status_command, export, compare, tree, doctor):
        okazja.add_command(command)
    return okazja


def run(arguments: list[str], version: str) -> int:
    """Run one command; the exit status."""
    try:
        typed = Invocation(tuple(arguments))
        status = commands(version).main(arguments, prog_name="okazja", standalone_mode=False, obj=typed)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except click.ClickException as error:
        error.show()
        return WRONG_USAGE
    except BadInput as error:
        say(_told(str(error), error))
        return WRONG_USAGE
    except (click.Abort, KeyboardInterrupt) as error:
        ignore_signals()
        ended, said = ending()
        say(_told(f"{said}; the workers were stopped", error.__cause__ or error))
        return _leave_at_once(ended)
    except BrokenPipeError:  # the reader of our output had enough, as in `okazja run ... | head`
        _let_go_of_output()
        return FAILED
    except (OkazjaError, OSError) as error:
        say(_told(str(error), error))
        try:
            sys.stdout.flush()
        except OSError:  # it is what failed: the disk is full
            _let_go_of_output()
        return FAILED


def _told(text: str, error: BaseException) -> str:
    """The text, and what a command has noted on the error: how to go on."""
    return "\n".join([f"okazja: {text}", *getattr(error, "__notes__", ())])


def _let_go_of_output() -> None:
    """What could not be written would fail once more at the end of the interpreter, with a status of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_at_once(status: int) -> int:
    """End now if a thread still runs a task: threads can't be killed, and Python would wait for it."""
    if threading.enumerate() != [threading.main_thread()]:
        sys.stdout.flush()
        os._exit(status)
    return status
