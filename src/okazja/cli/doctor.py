"""``okazja doctor``: this machine and this interpreter, as okazja sees them."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
import re
import sys
import sysconfig
from pathlib import Path

import click
import psutil

from okazja._worker.cpus import cpu_count

__all__ = ["doctor", "machine"]

REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*?;.*extra\s*==\s*['\"]([\w-]+)['\"]")
DEVELOPMENT = frozenset({"test", "lint", "bench", "dev"})  # extras of no use to users
GIB = 1 << 30
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@click.command(short_help="Show what okazja finds on this machine.")
def doctor() -> int:
    """Show the interpreter, its GIL, the CPUs and memory that may be used, and what is installed."""
    for name, value in [*machine(), *_packages()]:
        click.echo(f"{name:<14} {value}")
    return 0


def machine() -> list[tuple[str, str]]:
    """Facts about the interpreter and the machine, as name and text."""
    return [
        ("Python", f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"),
        ("GIL", _gil()),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("CPUs", _cpus()),
        ("memory", _memory()),
        ("start method", _start_method()),
    ]


def _gil() -> str:
    built_without = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    enabled: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    if not enabled:
        return "off: threads run Python code in parallel"
    if built_without:
        return "on, though this interpreter can do without: a module or PYTHON_GIL=1 switched it on"
    return "on: one thread at a time runs Python code"


def _cpus() -> str:
    parts = [f"{os.cpu_count()} in the machine"]
    if hasattr(os, "sched_getaffinity"):
        parts.append(f"{len(os.sched_getaffinity(0))} by affinity")
    return f"{cpu_count()} to use ({', '.join(parts)}; a container's quota counts too)"


def _memory() -> str:
    memory = psutil.virtual_memory()
    text = f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f} GiB"
    limit = _memory_limit()
    if limit is not None and limit < memory.total:
        text += f"; this container may use {limit / GIB:.1f} GiB"
    return text


def _memory_limit() -> int | None:
    for path in CGROUP_LIMITS:
        try:
            return int(Path(path).read_text("ascii"))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None


def _start_method() -> str:
    theirs = multiprocessing.get_all_start_methods()[0]  # the first one is the default
    return f"okazja's zygote (multiprocessing's: {theirs})" if sys.platform == "linux" else theirs


def _packages() -> list[tuple[str, str]]:
    facts = [("okazja", _version("okazja") or "run from its sources, not installed")]
    for package, extras in sorted(_optional().items()):
        version = _version(package)
        names = " or ".join(f"'okazja[{extra}]'" for extra in extras)
        facts.append((package, version or f"not installed: pip install {names}"))
    return facts


def _optional() -> dict[str, list[str]]:
    """The packages that okazja's extras bring, each with those extras."""
    try:
        requirements = importlib.metadata.requires("okazja") or []
    except importlib.metadata.PackageNotFoundError:
        return {"click": ["cli"], "rich": ["cli"], "numpy": ["demo"]}
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        match = REQUIREMENT.match(requirement)
        if match and match[1] != "okazja" and match[2] not in DEVELOPMENT:
            found.setdefault(match[1], []).append(match[2])
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
