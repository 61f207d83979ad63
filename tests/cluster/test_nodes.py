"""Two nodes on one machine take nothing from each other: what each has for itself, as it is written down."""

from __future__ import annotations

import ipaddress
import itertools

from localcluster import configuration, leftovers, second_node
from localcluster.certificates import of_kubelet
from localcluster.components import containerd, kubelet
from localcluster.node import LONGEST_CLONE_PATH
from localcluster.nodes import ALL, FIRST, POD_NETWORK, SECOND, Node
from localcluster.paths import CACHE, CLONE, RUN, STATE

_LONGEST_SOCKET_PATH = 107
_LINKS = """\
1: lo    inet 10.245.0.2/32 scope global lo\\       valid_lft forever preferred_lft forever
7: veth1    inet 10.244.0.1/32 scope global veth1\\       valid_lft forever preferred_lft forever
9: veth2    inet 10.244.128.1/32 scope global veth2\\       valid_lft forever preferred_lft forever
"""


def everything_of(node: Node) -> set[object]:
    """Return what no other node may have: names, addresses, ports, places."""
    files = {node.config(name) for name in ("containerd.toml", "cni", "kubelet.yaml")}
    places = {node.images, node.socket(), node.runtime(), node.kubelet_root(), node.logs(), *files}
    names = {node.name, node.address, node.user, node.network_name(), node.pods_group, *node.components}
    return {*places, *names, node.kubelet_port, node.health_port}


def test_nodes_have_nothing_in_common() -> None:
    for one, other in itertools.combinations(ALL, 2):
        assert everything_of(one).isdisjoint(everything_of(other))
        assert not ipaddress.ip_network(one.pods).overlaps(ipaddress.ip_network(other.pods))
    assert all(ipaddress.ip_network(node.pods).subnet_of(ipaddress.ip_network(POD_NETWORK)) for node in ALL)


def test_a_cluster_that_was_made_before_there_was_a_second_node_is_found_where_it_was() -> None:
    assert FIRST.socket() == RUN / "containerd.sock"
    assert FIRST.runtime() == RUN / "containerd"
    assert FIRST.images == CACHE / "containerd"
    assert FIRST.kubelet_root() == STATE / "kubelet"
    assert FIRST.logs() == STATE / "pod-logs"
    assert FIRST.config("kubelet.yaml") == STATE / "config" / "kubelet.yaml"
    assert FIRST.components == ("containerd", "kubelet")
    assert FIRST.network_name() == RUN.name


def test_only_the_second_node_takes_no_pod_that_did_not_ask_for_it() -> None:
    assert configuration.kubelet(FIRST)["registerWithTaints"] == []
    assert configuration.kubelet(SECOND)["registerWithTaints"] == [
        {"key": "modelpress.io/serving-only", "effect": "NoSchedule"}
    ]


def test_a_kubelet_keeps_to_the_control_groups_the_logs_and_the_identity_of_its_own_node() -> None:
    first, second = (configuration.kubelet(node) for node in ALL)
    own = {"cgroupRoot", "podLogsDir", "port", "healthzPort", "containerRuntimeEndpoint", "tlsCertFile"}
    assert all(first[key] != second[key] for key in own)
    assert of_kubelet(SECOND).subject == "/O=system:nodes/CN=system:node:modelpress-local-2"
    assert {"IP:10.245.0.2", "DNS:modelpress-local-2"} <= set(of_kubelet(SECOND).names)
    argv = kubelet(STATE, SECOND).argv
    assert {f"--root-dir={STATE}/kubelet-2", "--node-ip=10.245.0.2"} <= set(argv)
    assert containerd(SECOND).argv[-1] == STATE / "config" / "containerd-2.toml"


def test_sockets_of_each_node_fit_into_the_longest_clone_path() -> None:
    spare = LONGEST_CLONE_PATH - len(str(CLONE))
    for node in ALL:
        for socket in ("device-plugins/kubelet.sock", "pod-resources/kubelet.sock"):
            assert len(str(node.kubelet_root() / socket)) + spare <= _LONGEST_SOCKET_PATH


def test_links_of_one_nodes_pods_are_told_from_anothers() -> None:
    links = _LINKS.splitlines()
    assert [leftovers.is_of((SECOND,), line) for line in links] == [False, False, True]
    assert [leftovers.is_of(ALL, line) for line in links] == [False, True, True]


def test_a_node_keeps_images_that_are_wanted_or_used_and_those_of_others() -> None:
    names = [f"localhost/modelpress/{name}" for name in ("operator:old", "operator:used", "triton:new", "rclone:a")]
    wanted = ["localhost/modelpress/operator:new", "localhost/modelpress/triton:new"]
    used = f"abc    {names[1]}    io.containerd.runc.v2"
    assert second_node.superseded(set(names), wanted, used) == [names[0]]
