"""The local cluster is idempotent, survives the loss of any of its processes, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import leftovers, processes
from localcluster.kubectl import kubectl
from localcluster.paths import CLONE, RUN

pytestmark = pytest.mark.cluster
_COMMAND = [sys.executable, str(CLONE / "tests/cluster/cluster.py")]


def _make(command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*_COMMAND, command], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def _kubectl(*arguments: str) -> str:
    return subprocess.run(kubectl(*arguments), capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_running_cluster_is_left_alone(cluster: Path) -> None:
    before = {name: processes.running_pid(name) for name in leftovers.COMPONENTS}
    assert "starting" not in _make("up").stdout
    assert before == {name: processes.running_pid(name) for name in leftovers.COMPONENTS}
    assert all(before.values())


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"])
def test_a_killed_component_comes_back(cluster: Path, name: str) -> None:
    _kill(name)
    assert f"starting {name}" in _make("up").stdout
    assert processes.running_pid(name)


@pytest.mark.long
@pytest.mark.parametrize("name", ["etcd", "containerd", "kube-apiserver"])
def test_what_the_cluster_held_survives_a_kill(cluster: Path, name: str) -> None:
    _kubectl("create", "configmap", f"held-through-{name}", "--from-literal=a=b")
    try:
        _kill(name)
        _make("up")
        assert _kubectl("get", "configmap", f"held-through-{name}", "--output=jsonpath={.data.a}") == "b"
        _kubectl("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=120s")
    finally:
        _kubectl("delete", "configmap", f"held-through-{name}", "--ignore-not-found")


@pytest.mark.long
def test_down_leaves_nothing_and_up_brings_back_what_it_held(cluster: Path) -> None:
    uid = ("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
    before = _kubectl(*uid)
    _make("down")
    _assert_nothing_left()
    _make("up")
    assert _kubectl(*uid) == before
    _kubectl("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=120s")


@pytest.mark.long
def test_a_cluster_killed_whole_is_cleaned_up(cluster: Path) -> None:
    for name in leftovers.COMPONENTS:
        _kill(name)
    assert processes.with_cgroup("/kubepods"), "pods outlive their kubelet, or this test proves nothing"
    _make("down")
    _assert_nothing_left()
    _make("up")


def _kill(name: str) -> None:
    pid = processes.running_pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while processes.running_pid(name):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _assert_nothing_left() -> None:
    owned = leftovers.Owned(RUN, CLONE)
    assert not owned.runs()
    assert not processes.with_cgroup("/kubepods")
    assert not processes.with_argument(str(RUN / "containerd.sock"))
    assert leftovers.mounts_of(owned) == []
    assert leftovers.network_namespaces() == []
    assert leftovers.pod_interfaces() == []
    assert leftovers.rules() == []
    assert not RUN.exists()
