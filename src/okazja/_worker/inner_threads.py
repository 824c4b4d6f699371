"""Threads of numeric libraries inside workers: as many as a worker has CPUs, or as the user says.

A library reads its environment variables when it is loaded, so these suffice for what a worker loads. What is
loaded already (by a fork, or with the main module) has to be told through ``threadpoolctl``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["inner_threads", "limit_threads", "thread_variables", "variables_of"]

# Those of OpenMP and of libraries that go by OMP_NUM_THREADS where theirs is not set.
BY_LIBRARY = {
    "openmp": "OMP_NUM_THREADS",
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "veclib": "VECLIB_MAXIMUM_THREADS",
    "numexpr": "NUMEXPR_NUM_THREADS",
}
POOLS_OF_THEIR_OWN = ("NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
_NAMES = (*BY_LIBRARY.values(), *POOLS_OF_THEIR_OWN)
OMP = BY_LIBRARY["openmp"]

# Which variables okazja has set, and to what: "2:OMP_NUM_THREADS,...". Executors of a worker set them anew,
# which they must not do with the user's.
MARK = "OKAZJA_INNER_THREADS"

_LIBRARIES = re.compile(rb"/lib(?:scipy_)?(?:openblas|mkl|blis|flexiblas|gomp|omp|iomp)")


def variables_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of ``environ`` that matter here."""
    return {name: environ[name] for name in (*_NAMES, MARK) if name in environ}


def limit_threads(variables: dict[str, str], wanted: int | str | None, threads: int | None) -> None:
    """Limit what this process has loaded and what it will load.

    ``variables`` are the parent's, from `variables_of`: a fork server has those of the time when it was started.
    """
    for name in (*_NAMES, MARK):
        os.environ.pop(name, None)
    os.environ.update(variables)
    os.environ.update(thread_variables(variables, threads))
    _limit_loaded(variables, wanted, threads)


def inner_threads(wanted: int | str | None, cpus: int) -> int | None:
    """How many threads a library may use in a worker that has ``cpus`` CPUs; None: as many as it likes."""
    return cpus if wanted == "auto" else wanted  # type: ignore[return-value]  # checked by Executor


def thread_variables(environ: Mapping[str, str], threads: int | None) -> dict[str, str]:
    """The environment variables to set for ``threads`` threads, in a worker that has ``environ`` otherwise.

    Those that the user has set stay; OMP_NUM_THREADS counts for all libraries that go by it.
    """
    if threads is None:
        return {}
    users = _set_by_user(environ)
    names = [] if OMP in users else [name for name in BY_LIBRARY.values() if name not in users]
    names += [name for name in POOLS_OF_THEIR_OWN if name not in users]
    return {**dict.fromkeys(names, str(threads)), MARK: f"{threads}:{','.join(names)}"}


def _set_by_user(environ: Mapping[str, str]) -> set[str]:
    """Which of the variables somebody other than okazja has set."""
    value, _, ours = environ.get(MARK, "").partition(":")
    own = {name for name in ours.split(",") if environ.get(name) == value}
    return {name for name in _NAMES if name in environ} - own


def _limit_loaded(environ: Mapping[str, str], wanted: int | str | None, threads: int | None) -> None:
    """Limit the libraries that this process has loaded already; those with variables of the user's stay.

    ``environ`` is what the process had before `thread_variables` were set. ``"auto"`` only ever lowers.
    """
    if threads is None or not _LIBRARIES.search(_maps()):
        return
    users = _set_by_user(environ)
    if OMP in users:
        return
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().lib_controllers:
        if BY_LIBRARY.get(library.internal_api) not in users:
            _limit(library, min(threads, library.num_threads) if wanted == "auto" else threads)


def _limit(library: Any, threads: int) -> None:
    if library.num_threads != threads:
        library.set_num_threads(threads)


def _maps() -> bytes:
    try:
        with open("/proc/self/maps", "rb") as file:
            return file.read()
    except OSError:
        return b""
