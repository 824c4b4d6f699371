"""The ready jobs by name.

To add one: a module beside this one with a ``JOB``, and its name in `_MODULES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from okazja.errors import BadInput
from okazja.jobs._job import Job

__all__ = ["find_job", "job_names"]

_MODULES: Mapping[str, str] = MappingProxyType({"sieve": "okazja.jobs.sieve"})


def job_names() -> tuple[str, ...]:
    """The names of all ready jobs, without importing any."""
    return tuple(_MODULES)


def find_job(name: str) -> Job:
    """The ready job of this name.

    Raises `okazja.errors.BadInput` if there is none.
    """
    try:
        module = _MODULES[name]
    except KeyError:
        raise BadInput(f"no ready job is named {name!r}: choose one of {', '.join(_MODULES)}") from None
    job = import_module(module).JOB
    assert isinstance(job, Job)
    return job
