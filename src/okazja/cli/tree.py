"""``okazja tree``: the processes and threads that run now."""

from __future__ import annotations

import click

from okazja.watch.tree import tree as read_tree

__all__ = ["tree"]


@click.command(short_help="Show running processes and threads as a tree.")
@click.argument("pid", type=click.IntRange(min=1), required=False)
def tree(pid: int | None) -> int:
    """Show the process PID, its threads, and all processes below it.

    Workers of okazja are named, with the function that they run and since when. Without PID, the tree starts
    at the process that started this command (usually your shell).
    """
    if pid is None:
        import psutil

        pid = psutil.Process().ppid() or psutil.Process().pid
    click.echo(str(read_tree(pid)))
    return 0
