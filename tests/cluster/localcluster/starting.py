"""Starting one component and waiting until it is ready; what each node needs of the machine before its own start."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
from pathlib import Path

from localcluster import processes
from localcluster.components import Component
from localcluster.configuration import CGROUP_DRIVER, CGROUP_V2
from localcluster.kubectl import kubectl
from localcluster.nodes import Node
from localcluster.paths import LOGS
from localcluster.progress import StepFailed, step
from localcluster.shell import output, wait_until

_READY_SECONDS = 180.0
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def start(component: Component) -> None:
    """Start a component and wait until it is ready. Raises StepFailed with its last words if it ends instead."""
    log = LOGS / f"{component.name}.log"
    with step(f"starting {component.name}", log):
        for port in component.ports:
            wait_until(
                functools.partial(is_free, port), 30, f"port {port} is in use by another program (see `ss -ltnp`)"
            )
        pid = processes.start(component.name, component.argv)

        def ready_or_dead() -> bool:
            processes.reap([pid])
            if processes.running_pid(component.name) is None:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise StepFailed(f"{component.name} ended at once: {' '.join(last)}", log)
            return component.ready()

        wait_until(ready_or_dead, _READY_SECONDS, f"{component.name} does not get ready", log)


def await_node(node: Node) -> None:
    """Wait until a node is Ready."""
    wait_until(lambda: _is_ready(node), _READY_SECONDS, f"{node.name} does not become Ready", LOGS / f"{node.user}.log")


def prepare_host(node: Node) -> None:
    """Give a node its address, a control group if it has one of its own, and let packets be routed to pods."""
    if f"{node.address}/32" not in output(["ip", "-4", "address", "show", "dev", "lo"]):
        output(["ip", "address", "add", f"{node.address}/32", "dev", "lo"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    if node.control_group:
        _make_control_group(node.control_group)


def _make_control_group(name: str) -> None:
    """Make a control group at the top of every hierarchy, with the controllers that a kubelet asks for."""
    if not CGROUP_V2:
        for hierarchy in _CONTROL_GROUPS.iterdir():
            (hierarchy / name).mkdir(exist_ok=True)
        return
    for controller in ("cpu", "cpuset", "memory", "hugetlb", "pids"):
        with contextlib.suppress(OSError):  # this kernel lacks it, and so the kubelet does not ask for it
            (_CONTROL_GROUPS / "cgroup.subtree_control").write_text(f"+{controller}")
    (_CONTROL_GROUPS / (f"{name}.slice" if CGROUP_DRIVER == "systemd" else name)).mkdir(exist_ok=True)


def is_free(port: int) -> bool:
    """Say whether nobody listens at a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_ready(node: Node) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    done = subprocess.run(kubectl("get", "node", node.name, "--output", path), capture_output=True, check=False)
    return done.stdout == b"True"
