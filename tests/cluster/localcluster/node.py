"""Bringing the cluster up and down: what is missing is started, what runs is left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from localcluster import addons, essentials, leftovers, processes, scratch_images, second_node
from localcluster.cache import locked
from localcluster.certificates import issue_all, write_kubeconfigs
from localcluster.components import all_components
from localcluster.configuration import write_all
from localcluster.kubectl import kubectl
from localcluster.nodes import FIRST
from localcluster.paths import CLONE, KUBECONFIG, LOGS, RUN, STATE
from localcluster.programs import build_all, install_packages, program, require_root_and_tools, tools
from localcluster.progress import StepFailed, say, step
from localcluster.shell import output
from localcluster.starting import await_node, prepare_host, start

LONGEST_CLONE_PATH = 60  # the kubelet's plugin sockets lie under it, and a socket's path may have 107 bytes
_PROGRAMS = ["hyperkube", "pause", "rclone", "coredns", "metrics-server", "helm"]


def up(more: Sequence[str] = (), nodes: int | None = None) -> None:
    """Have a Ready node with DNS, metrics, a StorageClass, and the add-ons named. Returns at once if it is there.

    `nodes`: 2 brings a second node, 1 takes it away; None leaves it as it was asked for last.
    """
    require_root_and_tools()
    if len(str(CLONE)) > LONGEST_CLONE_PATH:
        raise StepFailed(f"the path {CLONE} is too long for Unix sockets: clone into one of {LONGEST_CLONE_PATH} bytes")
    install_packages()
    build_all(_PROGRAMS)
    addons.build(more)
    with locked("cluster"):
        clear_the_way()
        _start_all()
        essentials.apply()
        if nodes == 2 or (nodes is None and second_node.is_wanted()):
            second_node.ensure()
        elif second_node.is_wanted():
            second_node.remove()
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
    """Print each component and its pid, then the nodes; tell whether all run."""
    all_run = True
    wanted = (*leftovers.OF_SECOND_NODE, *leftovers.COMPONENTS) if second_node.is_wanted() else leftovers.COMPONENTS
    for name in reversed(wanted):
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
    prepare_host(FIRST)
    started = False
    for component in all_components(tools()):
        if processes.running_pid(component.name) is None:
            started = True
            start(component)
        if component.name == "containerd" and started:
            scratch_images.ensure("pause")
    if started:
        with step("node ready"):
            await_node(FIRST)


def _link_commands() -> None:
    """Have kubectl and helm in `.cluster/bin`."""
    (STATE / "bin").mkdir(parents=True, exist_ok=True)
    for command in (tools() / "kubectl", program("helm")):
        link = STATE / "bin" / command.name
        link.unlink(missing_ok=True)
        link.symlink_to(command)
