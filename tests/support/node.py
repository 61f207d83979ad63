"""What only the machine itself can do to pods of the local cluster: end their processes, as a crash does."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcluster import processes

TRITON = "tritonserver"


def kill(pod: Mapping[str, Any], program: str | None = None) -> None:
    """End all processes of a pod at once, or those alone whose name begins with `program`. Fails if there are none."""
    uid = str(pod["metadata"]["uid"])
    pids = processes.with_cgroup(f"pod{uid}") or processes.with_cgroup(f"pod{uid.replace('-', '_')}")
    chosen = [pid for pid in pids if program is None or _name(pid).startswith(program)]
    assert chosen, f"the pod has no process {program or ''} on this machine"
    for pid in chosen:
        processes.send(pid, signal.SIGKILL)


def _name(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return Path(command).name
