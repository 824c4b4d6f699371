"""The CPUs that a process may use: by affinity, and by the quotas of its cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import okazja
from okazja._worker import cpus
from okazja._worker.cpus import (
    CpuController,
    cpu_controllers,
    cpu_count,
    default_workers,
    limit_share,
    quota_v1,
    quota_v2,
    share_of_cpus,
)
from okazja.errors import BadInput

SYSTEMD = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
OLD = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
)


@pytest.fixture
def share() -> Iterator[None]:
    yield
    limit_share(None)


def seen(cgroup: str, mountinfo: str) -> list[tuple[int, str]]:
    return [(found.version, str(found.folder)) for found in cpu_controllers(cgroup, mountinfo)]


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "expected"),
    [
        ("0::/user.slice/job.scope\n", SYSTEMD, [(2, "/sys/fs/cgroup/user.slice/job.scope")]),
        ("0::/\n", SYSTEMD, [(2, "/sys/fs/cgroup")]),
        ("4:memory:/m\n3:cpu,cpuacct:/a/b\n2:cpuset:/c\n", OLD, [(1, "/sys/fs/cgroup/cpu,cpuacct/a/b")]),
        ("0::/../../other\n", SYSTEMD, [(2, "/sys/fs/cgroup")]),
        ("0::/docker/abc\n", SYSTEMD.replace(" / ", " /docker/abc "), [(2, "/sys/fs/cgroup")]),
        ("0::/docker/abc/x\n", SYSTEMD.replace(" / ", " /docker/abc "), [(2, "/sys/fs/cgroup/x")]),
        ("0::/elsewhere\n", SYSTEMD.replace(" / ", " /docker/abc "), [(2, "/sys/fs/cgroup")]),
        ("0::/a\n", SYSTEMD.replace("/sys/fs/cgroup", r"/my\040groups"), [(2, "/my groups/a")]),
        ("0::/with:colon\n", SYSTEMD, [(2, "/sys/fs/cgroup/with:colon")]),
        ("1:cpu:/a\n0::/b\n", OLD + SYSTEMD, [(1, "/sys/fs/cgroup/cpu,cpuacct/a"), (2, "/sys/fs/cgroup/b")]),
        ("", SYSTEMD, []),
        ("0::/a\n", "", []),
        ("nonsense\n", "more nonsense - \n", []),
    ],
)
def test_finds_the_cpu_controller(cgroup: str, mountinfo: str, expected: list[tuple[int, str]]) -> None:
    assert seen(cgroup, mountinfo) == expected


@given(st.text(), st.text())
def test_strange_texts_are_no_error(cgroup: str, mountinfo: str) -> None:
    cpu_controllers(cgroup, mountinfo)
    assert quota_v2(cgroup) is None or cgroup.strip()[:1].isdigit() or cgroup.strip()[:1] == "+"


def test_a_quota_further_up_counts() -> None:
    found = CpuController(2, PurePosixPath("/sys/fs/cgroup"), PurePosixPath("/sys/fs/cgroup/a/b"))
    assert [str(folder) for folder in found.folders()] == [
        "/sys/fs/cgroup/a/b",
        "/sys/fs/cgroup/a",
        "/sys/fs/cgroup",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("200000", 2.0),
        ("", None),
        ("oops", None),
        ("1 0", None),
    ],
)
def test_quota_of_version_2(text: str, expected: float | None) -> None:
    assert quota_v2(text) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("-1\n", "100000\n", None), ("250000\n", "100000\n", 2.5), ("", "", None), ("100000", "0", None)],
)
def test_quota_of_version_1(quota: str, period: str, expected: float | None) -> None:
    assert quota_v1(quota, period) == expected


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight CPUs, and the cgroups of a folder: ``job/task`` below its ``groups``."""
    monkeypatch.setattr(cpus, "_PROC", tmp_path)
    monkeypatch.setattr(cpus, "_scheduled_cpus", lambda: 8)
    groups = tmp_path / "groups"
    (groups / "job" / "task").mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/job/task\n")
    (tmp_path / "mountinfo").write_text(SYSTEMD.replace("/sys/fs/cgroup", str(groups)))
    return groups


@pytest.mark.parametrize(
    ("of_task", "of_job", "expected"),
    [
        ("max 100000", "max 100000", 8),
        ("150000 100000", "max 100000", 2),
        ("max 100000", "300000 100000", 3),
        ("400000 100000", "100000 100000", 1),
        ("10000 100000", "max 100000", 1),
        ("9900000 100000", "max 100000", 8),
    ],
)
def test_the_smallest_quota_rounded_up_limits_the_count(
    machine: Path, of_task: str, of_job: str, expected: int
) -> None:
    (machine / "job" / "task" / "cpu.max").write_text(of_task)
    (machine / "job" / "cpu.max").write_text(of_job)
    assert cpu_count() == expected


def test_quota_files_of_version_1_are_read(machine: Path) -> None:
    (machine.parent / "cgroup").write_text("3:cpu,cpuacct:/job\n")
    (machine.parent / "mountinfo").write_text(OLD.replace("/sys/fs/cgroup/cpu,cpuacct", str(machine)))
    (machine / "job" / "cpu.cfs_quota_us").write_text("450000\n")
    (machine / "job" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_count() == 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_affinity_is_honoured_for_real() -> None:
    code = """
import os, okazja
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
assert okazja.cpu_count() == 1, okazja.cpu_count()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_public_name() -> None:
    assert okazja.cpu_count is cpu_count
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)


@pytest.mark.usefixtures("share")
def test_default_workers_by_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, expected in ((1, [1, 5, 1]), (8, [1, 12, 8]), (64, [1, 32, 64])):
        monkeypatch.setattr(cpus, "cpu_count", lambda count=count: count)
        assert [default_workers(backend) for backend in ("serial", "threads", "processes")] == expected


@pytest.mark.usefixtures("share", "machine")
def test_a_worker_plans_with_its_share() -> None:
    assert share_of_cpus(3) == 2
    limit_share(share_of_cpus(3))
    assert cpu_count() == 8
    assert default_workers("processes") == 2
    assert default_workers("threads") == 6
    assert share_of_cpus(2) == 1
    assert share_of_cpus(100) == 1
    limit_share(None)
    assert default_workers("processes") == 8


@pytest.mark.parametrize("wrong", [0, -1])
def test_shares_below_one_are_refused(wrong: int) -> None:
    with pytest.raises(BadInput, match=str(wrong)):
        limit_share(wrong)
    with pytest.raises(BadInput, match=str(wrong)):
        share_of_cpus(wrong)
