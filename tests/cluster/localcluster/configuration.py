"""The configuration files of containerd, the pod network, the kubelet and the audit log."""

from __future__ import annotations

import json
from pathlib import Path

from localcluster.certificates import PKI
from localcluster.files import put
from localcluster.nodes import CONFIG, FIRST, Node
from localcluster.paths import RUN

PAUSE_IMAGE = "localhost/modelpress/pause:local"
SERVICE_NETWORK = "10.96.0.0/16"
DNS_ADDRESS = "10.96.0.10"
CGROUP_V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
# On cgroup v2 systemd owns the tree where it runs; version 1 and machines without systemd use plain cgroupfs.
CGROUP_DRIVER = "systemd" if CGROUP_V2 and Path("/run/systemd/system").exists() else "cgroupfs"


def write_all() -> None:
    """Write the cluster's configuration files, and its first node's, into `.cluster/config`."""
    write_for(FIRST)
    # The cluster is closed: a name outside it is answered at once with "no such name", never looked up.
    put(CONFIG / "resolv.conf", f"nameserver {DNS_ADDRESS}\n")
    put(CONFIG / "audit-policy.yaml", json.dumps(_audit_policy(), indent=1))


def write_for(node: Node) -> None:
    """Write the configuration files of one node."""
    node.config("cni").mkdir(parents=True, exist_ok=True)
    put(node.config("containerd.toml"), _containerd(node))
    put(node.config("cni") / "10-pods.conflist", json.dumps(pod_network(node), indent=1))
    put(node.config("kubelet.yaml"), json.dumps(kubelet(node), indent=1))


def _containerd(node: Node) -> str:
    # `restrict_oom_score_adj` lets sandboxes start where CAP_SYS_RESOURCE is missing, as inside another container.
    return f"""version = 2
root = "{node.images}"
state = "{node.runtime()}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{node.socket()}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = {"true" if CGROUP_DRIVER == "systemd" else "false"}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{node.config("cni")}"
"""


def pod_network(node: Node) -> dict[str, object]:
    """Return the part of the pod network that a node's pods have."""
    # Point to point, not a bridge: every packet is routed through the host, so a Service's address works between any
    # two pods without the bridge-netfilter module, and nothing is left when the last pod is gone.
    return {
        "cniVersion": "0.4.0",
        "name": node.network_name(),
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(RUN / "ipam"),
                    "ranges": [[{"subnet": node.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
        ],
    }


def kubelet(node: Node) -> dict[str, object]:
    """Return the configuration of a node's kubelet."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "port": node.kubelet_port,
        "healthzPort": node.health_port,
        "registerWithTaints": list(node.taints),
        "cgroupRoot": f"/{node.control_group}",
        "cgroupDriver": CGROUP_DRIVER,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{node.socket()}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(CONFIG / "resolv.conf"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(PKI / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(PKI / f"{node.user}.crt"),
        "tlsPrivateKeyFile": str(PKI / f"{node.user}.key"),
        # Images come from this machine alone and cannot be pulled again: none is ever collected.
        "imageGCHighThresholdPercent": 100,
        "imageMaximumGCAge": "0s",
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "nodeStatusUpdateFrequency": "10s",
        "shutdownGracePeriod": "0s",
        "maxPods": 150,
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "podLogsDir": str(node.logs()),
    }


def _audit_policy() -> dict[str, object]:
    # Who wrote what, without bodies: tests read it to count an idle operator's writes.
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "None"},
        ],
    }
