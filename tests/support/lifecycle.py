"""The local cluster's own commands and processes, as tests of its life use them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from localcluster import leftovers, processes
from localcluster.kubectl import kubectl as command_line
from localcluster.nodes import ALL
from localcluster.paths import CLONE, RUN

_COMMAND = [sys.executable, str(CLONE / "tests/cluster/cluster.py")]


def make(*command: str) -> str:
    """Have `cluster.py` do what `command` says; return what it said."""
    done = subprocess.run([*_COMMAND, *command], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as the administrator and return what it printed."""
    done = subprocess.run(
        command_line(*arguments), input=stdin, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill(name: str) -> None:
    """Kill a component, and return when it is dead."""
    pid = processes.running_pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while processes.running_pid(name):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_nothing_left() -> None:
    """Fail if the cluster has anything on this machine but its state folder."""
    owned = leftovers.Owned(RUN, CLONE)
    assert not owned.runs()
    assert leftovers.mounts_of(owned) == []
    assert leftovers.network_namespaces() == []
    assert leftovers.pod_interfaces() == []
    assert leftovers.rules() == []
    for node in ALL:
        assert not processes.with_cgroup(node.pods_group)
        assert not processes.with_argument(str(node.socket()))
        assert not control_groups(node.pods_group)
        assert node.address not in _addresses()
    assert not RUN.exists()


def control_groups(name: str) -> list[Path]:
    """Return the control groups of this name, in every hierarchy."""
    return [*Path("/sys/fs/cgroup").glob(f"*{name}*"), *Path("/sys/fs/cgroup").glob(f"{name.lstrip('/')}*")]


def _addresses() -> str:
    return subprocess.run(["ip", "-4", "address", "show"], capture_output=True, text=True, check=True).stdout
