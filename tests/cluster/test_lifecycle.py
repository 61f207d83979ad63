"""The local cluster is idempotent, survives the loss of any of its processes, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.lifecycle import assert_nothing_left, kill, kubectl, make

from localcluster import leftovers, processes

pytestmark = pytest.mark.cluster


def test_a_running_cluster_is_left_alone(cluster: Path) -> None:
    before = {name: processes.running_pid(name) for name in leftovers.COMPONENTS}
    assert "starting" not in make("up")
    assert before == {name: processes.running_pid(name) for name in leftovers.COMPONENTS}
    assert all(before.values())


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"])
def test_a_killed_component_comes_back(cluster: Path, name: str) -> None:
    kill(name)
    assert f"starting {name}" in make("up")
    assert processes.running_pid(name)


@pytest.mark.long
@pytest.mark.parametrize("name", ["etcd", "containerd", "kube-apiserver"])
def test_what_the_cluster_held_survives_a_kill(cluster: Path, name: str) -> None:
    kubectl("create", "configmap", f"held-through-{name}", "--from-literal=a=b")
    try:
        kill(name)
        make("up")
        assert kubectl("get", "configmap", f"held-through-{name}", "--output=jsonpath={.data.a}") == "b"
        kubectl("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=120s")
    finally:
        kubectl("delete", "configmap", f"held-through-{name}", "--ignore-not-found")


@pytest.mark.long
def test_down_leaves_nothing_and_up_brings_back_what_it_held(cluster: Path) -> None:
    uid = ("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")
    before = kubectl(*uid)
    make("down")
    assert_nothing_left()
    make("up")
    assert kubectl(*uid) == before
    kubectl("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=120s")


@pytest.mark.long
def test_a_cluster_killed_whole_is_cleaned_up(cluster: Path) -> None:
    for name in leftovers.COMPONENTS:
        kill(name)
    assert processes.with_cgroup("/kubepods"), "pods outlive their kubelet, or this test proves nothing"
    make("down")
    assert_nothing_left()
    make("up")
