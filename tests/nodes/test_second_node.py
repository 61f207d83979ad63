"""The second node of the local cluster: one that pods can live on, that comes back, and that goes without a trace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.lifecycle import assert_nothing_left, control_groups, kill, kubectl, make
from tests.support.workplace import wait_for

from localcluster import leftovers, processes
from localcluster.kubectl import kubectl as command_line
from localcluster.nodes import FIRST, SECOND, SERVING_ONLY

pytestmark = pytest.mark.nodes
NAMESPACE = "nodes"
TOLERATED = {"key": SERVING_ONLY["key"], "operator": "Exists"}
PORT = 8080
REACHED = "reached the store"
LISTEN = f"""
import http.server, socket
socket.create_connection(("store-read.store.svc", 8333), timeout=10).close()
print("{REACHED}", flush=True)
http.server.ThreadingHTTPServer(("", {PORT}), http.server.BaseHTTPRequestHandler).serve_forever()
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)"


def run_pod(name: str, node: str, image: str, *program: str, tolerations: tuple[dict[str, str], ...] = ()) -> None:
    """Make a pod that is to run a Python program on a node."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["/opt/modelpress/bin/python", "-c", *program],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": list(tolerations),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        },
    }
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))


def status(name: str) -> dict[str, Any]:
    """Return a pod's status."""
    found: dict[str, Any] = json.loads(kubectl("get", "pod", name, f"--namespace={NAMESPACE}", "--output=json"))
    return dict(found["status"])


def await_phase(name: str, phase: str) -> dict[str, Any]:
    """Return a pod's status once it is in a phase."""
    wait_for(lambda: status(name)["phase"] == phase, f"{name} to be {phase}", 120, lambda: str(status(name)))
    return status(name)


def await_words(name: str) -> str:
    """Return what a pod printed once it has reached the store and its kubelet, which may just have begun, tells so."""
    line = command_line("logs", name, f"--namespace={NAMESPACE}")

    def look() -> str | None:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        return done.stdout if REACHED in done.stdout else None

    return wait_for(look, f"{name} to reach the store", 60, lambda: str(status(name)))


def pids() -> dict[str, int | None]:
    return {name: processes.running_pid(name) for name in (*leftovers.OF_SECOND_NODE, *leftovers.COMPONENTS)}


@pytest.fixture(scope="module")
def listener(cluster: Path, images: dict[str, str], store: Path) -> Iterator[str]:
    """A pod on the second node that has reached the store, and listens; gives its name."""
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    kubectl("create", "namespace", NAMESPACE)
    run_pod("listener", SECOND.name, images["operator"], LISTEN, tolerations=(TOLERATED,))
    await_phase("listener", "Running")
    yield "listener"
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_pod_there_reaches_services_by_name_and_is_read_through_its_own_kubelet(listener: str) -> None:
    assert SECOND.has(status(listener)["podIP"])
    assert await_words(listener).splitlines() == [REACHED]
    where = f"--namespace={NAMESPACE}"
    assert kubectl("exec", where, listener, "--", "/opt/modelpress/bin/python", "-c", "print(6 * 7)").strip() == "42"


def test_a_pod_of_the_first_node_reaches_one_there(listener: str, images: dict[str, str]) -> None:
    run_pod("caller", FIRST.name, images["operator"], CONNECT, status(listener)["podIP"], str(PORT))
    found = await_phase("caller", "Succeeded")
    assert FIRST.has(found["podIP"])


def test_a_pod_that_does_not_ask_for_it_does_not_come_to_it(listener: str, images: dict[str, str]) -> None:
    run_pod("stranger", SECOND.name, images["operator"], "pass")

    def refused() -> bool:
        conditions = json.dumps(status("stranger").get("conditions", []))
        return "Unschedulable" in conditions and "1 node(s) had untolerated taint" in conditions

    wait_for(refused, "the scheduler to refuse it", 60, lambda: str(status("stranger")))


def test_both_nodes_are_measured(listener: str) -> None:
    def measured() -> bool:
        done = subprocess.run(command_line("top", "nodes"), capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        return all(any(line.split()[0] == node.name for line in lines) for node in (FIRST, SECOND))

    wait_for(measured, "metrics of both nodes", 90)


@pytest.mark.parametrize("asked", [(), ("--nodes", "2")])
def test_two_running_nodes_are_left_alone(listener: str, asked: tuple[str, ...]) -> None:
    before = pids()
    assert "starting" not in make("up", *asked)
    assert before == pids()
    assert all(before.values())


@pytest.mark.parametrize("name", (*SECOND.components, *FIRST.components))
def test_a_killed_process_of_either_node_comes_back_and_pods_of_the_second_go_on(listener: str, name: str) -> None:
    kill(name)
    assert f"starting {name}" in make("up")
    found = await_phase(listener, "Running")
    assert found["containerStatuses"][0]["restartCount"] == 0
    assert await_words(listener).splitlines() == [REACHED]


def leaving() -> list[str]:
    """Return the pods that are being removed, as those of tests before may be, with where they are."""
    pods = json.loads(kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
    return [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in pods
        if "deletionTimestamp" in pod["metadata"]
    ]


def test_it_goes_without_a_trace_and_the_first_node_does_not_notice(listener: str) -> None:
    wait_for(lambda: not leaving(), "pods of earlier tests to be gone", 120, lambda: str(leaving()))
    pods_of_first = set(processes.with_cgroup(FIRST.pods_group)) - set(processes.with_cgroup(SECOND.pods_group))
    try:
        make("up", "--nodes", "1")
        assert SECOND.name not in kubectl("get", "nodes", "--output=name")
        assert not any(processes.running_pid(name) for name in SECOND.components)
        assert not processes.with_argument(str(SECOND.socket()))
        assert not control_groups(SECOND.pods_group)
        assert leftovers.mounts_under(SECOND.runtime(), SECOND.kubelet_root()) == []
        assert leftovers.network_namespaces((SECOND,), unborn=False) == []
        assert leftovers.pod_interfaces((SECOND,)) == []
        assert kubectl("get", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={SECOND.name}") == ""
        assert pods_of_first <= set(processes.with_cgroup(FIRST.pods_group))
        assert "starting" not in make("up"), "it does not come back by itself"
    finally:
        make("up", "--nodes", "2")
    assert all(pids().values())


def test_a_cluster_of_two_nodes_killed_whole_is_cleaned_up_and_comes_back_with_both(cluster: Path) -> None:
    for name in (*leftovers.OF_SECOND_NODE, *leftovers.COMPONENTS):
        kill(name)
    make("down")
    assert_nothing_left()
    make("up")
    assert all(pids().values())
    kubectl("wait", "--for=condition=Ready", f"node/{SECOND.name}", "--timeout=60s")
    kubectl("rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=120s")
