"""How many processors this container may use: its limit, not the node's count."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available(root: Path = CGROUP) -> int:
    """Return the number of processors, at least 1: the container's CPU limit rounded up, or those it may run on."""
    runnable = len(os.sched_getaffinity(0))
    quota, period = _limit(root)
    return max(1, min(runnable, math.ceil(quota / period))) if quota > 0 and period > 0 else runnable


def _limit(root: Path) -> tuple[int, int]:
    """Return (quota, period) in microseconds of cgroup v2 or v1; zeros without a limit."""
    unified = root / "cpu.max"
    if unified.is_file():
        quota, _, period = unified.read_text().strip().partition(" ")
        return (int(quota), int(period)) if quota.isdigit() else (0, 0)
    folder = root / "cpu"
    if (folder / "cpu.cfs_quota_us").is_file():
        quota_v1 = int((folder / "cpu.cfs_quota_us").read_text())
        return (quota_v1, int((folder / "cpu.cfs_period_us").read_text())) if quota_v1 > 0 else (0, 0)
    return 0, 0
