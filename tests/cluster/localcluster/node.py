"""Bringing the node up and down: what is missing is started, what runs is left alone."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcluster import addons, essentials, leftovers, processes, scratch_images
from localcluster.cache import locked
from localcluster.certificates import NODE_ADDRESS, NODE_NAME, issue_all, write_kubeconfigs
from localcluster.components import Component, all_components
from localcluster.configuration import write_all
from localcluster.kubectl import kubectl
from localcluster.paths import CLONE, KUBECONFIG, LOGS, RUN, STATE
from localcluster.programs import build_all, install_packages, program, require_root_and_tools, tools
from localcluster.progress import StepFailed, say, step
from localcluster.shell import output, wait_until

_LONGEST_CLONE_PATH = 60  # the kubelet's plugin sockets lie under it, and a socket's path may have 107 bytes
_READY_SECONDS = 180.0
_PROGRAMS = ["hyperkube", "pause", "rclone", "coredns", "metrics-server", "helm"]


def up(more: Sequence[str] = ()) -> None:
    """Have a Ready node with DNS, metrics, a StorageClass, and the add-ons named. Returns at once if it is there."""
    require_root_and_tools()
    if len(str(CLONE)) > _LONGEST_CLONE_PATH:
        raise StepFailed(
            f"the path {CLONE} is too long for Unix sockets: clone into one of {_LONGEST_CLONE_PATH} bytes"
        )
    install_packages()
    build_all(_PROGRAMS)
    addons.build(more)
    with locked("cluster"):
        clear_the_way()
        _start_all()
        essentials.apply()
        addons.ensure(more)


def down() -> None:
    """Stop everything and take away what lies outside `.cluster`; what the cluster holds stays there."""
    with locked("cluster"), step("cluster down"):
        leftovers.remove(leftovers.Owned(RUN, CLONE))


def delete() -> None:
    """Take the cluster down and delete what it holds."""
    down()
    shutil.rmtree(STATE, ignore_errors=True)
    say(f"  ✓ {STATE} deleted; images and programs stay in the cache")


def status() -> bool:
    """Print each component and its pid, then the node; tell whether all run."""
    all_run = True
    for name in reversed(leftovers.COMPONENTS):
        pid = processes.running_pid(name)
        all_run &= pid is not None
        print(f"{name:<24} {f'running, pid {pid}' if pid else 'not running'}")
    if processes.running_pid("kube-apiserver"):
        print(output(kubectl("get", "nodes", "--output=wide")), end="")
        print(output(kubectl("get", "pods", "--all-namespaces")), end="")
    print(f"KUBECONFIG={KUBECONFIG}" if all_run else "start it with: make cluster")
    return all_run


def clear_the_way() -> None:
    """Clean up after dead clusters, and refuse (or, if told to, end) one of another clone that runs."""
    for owned in leftovers.all_owned():
        if owned.run == RUN:
            continue
        if not owned.runs() or not owned.clone.exists():
            with step(f"removing what a killed cluster of {owned.clone} left"):
                leftovers.remove(owned)
        elif os.environ.get("MODELPRESS_TAKE_OVER") == "1":
            with step(f"taking over from the cluster of {owned.clone}"):
                leftovers.remove(owned)
        else:
            raise StepFailed(
                f"the cluster of {owned.clone} runs on this machine: end it with `make -C {owned.clone} cluster-down`, "
                "or set MODELPRESS_TAKE_OVER=1 to have it ended"
            )


def _start_all() -> None:
    leftovers.claim()
    LOGS.mkdir(parents=True, exist_ok=True)
    issue_all()
    _link_commands()
    write_kubeconfigs()
    write_all()
    _prepare_host()
    started = False
    for component in all_components(tools()):
        if processes.running_pid(component.name) is None:
            started = True
            _start(component)
        if component.name == "containerd" and started:
            scratch_images.ensure("pause")
    if started:
        with step("node ready"):
            wait_until(_node_ready, _READY_SECONDS, "the node does not become Ready", LOGS / "kubelet.log")


def _start(component: Component) -> None:
    log = LOGS / f"{component.name}.log"
    with step(f"starting {component.name}", log):
        for port in component.ports:
            wait_until(
                functools.partial(_is_free, port), 30, f"port {port} is in use by another program (see `ss -ltnp`)"
            )
        pid = processes.start(component.name, component.argv)

        def ready_or_dead() -> bool:
            processes.reap([pid])
            if processes.running_pid(component.name) is None:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise StepFailed(f"{component.name} ended at once: {' '.join(last)}", log)
            return component.ready()

        wait_until(ready_or_dead, _READY_SECONDS, f"{component.name} does not get ready", log)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _link_commands() -> None:
    """Have kubectl and helm in `.cluster/bin`."""
    (STATE / "bin").mkdir(parents=True, exist_ok=True)
    for command in (tools() / "kubectl", program("helm")):
        link = STATE / "bin" / command.name
        link.unlink(missing_ok=True)
        link.symlink_to(command)


def _prepare_host() -> None:
    """Give the node its address and let packets be routed to pods."""
    if f"{NODE_ADDRESS}/32" not in output(["ip", "-4", "address", "show", "dev", "lo"]):
        output(["ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _node_ready() -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    done = subprocess.run(kubectl("get", "node", NODE_NAME, "--output", path), capture_output=True, check=False)
    return done.stdout == b"True"
