"""What figures depend on: the machine, its interpreter, the versions of what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import okazja
from benchmarks.peers import PEERS

__all__ = ["Machine", "installed", "missing"]

VALUES = ("numpy", "pandas", "pyarrow")  # packages whose values travel


@dataclass(frozen=True)
class Machine:
    """As it is now. load: of the last minute, from before the measurement."""

    cpu: str
    cores: int
    memory: str
    kernel: str
    python: str
    date: str
    load: float
    versions: dict[str, str]

    @classmethod
    def now(cls, peers: Sequence[str]) -> Machine:
        """With the versions of these peers and of the packages whose values travel."""
        versions = {"okazja": okazja.__version__}
        for peer in peers:
            package, found = PEERS[peer].package, PEERS[peer].version
            if package is not None and found is not None:
                versions[package] = found
        return cls(
            cpu=processor(),
            cores=okazja.cpu_count(),
            memory=f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
            kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            date=datetime.now(UTC).date().isoformat(),
            load=round(os.getloadavg()[0], 2),
            versions=versions | installed(VALUES),
        )

    def lines(self) -> list[tuple[str, str]]:
        """Names and values, to be shown."""
        known = asdict(self)
        known["versions"] = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return [(name, str(value)) for name, value in known.items()]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def processor() -> str:
    """The model, as the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def installed(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def missing(peers: Sequence[str]) -> list[str]:
    """The packages of peers and values that are not installed."""
    wanted = [package for peer in peers if (package := PEERS[peer].package) is not None]
    found = installed([*wanted, *VALUES])
    return [package for package in dict.fromkeys([*wanted, *VALUES]) if package not in found]
