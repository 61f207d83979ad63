"""What tells the nodes of the cluster apart: everything that each must have for itself on the one machine they share.

Both lie in the machine's own network: a second address on the loopback interface and half of the pod network are all
that a second node needs there. Pods are routed by the host one by one (`ptp`), so a pod reaches another node's without
a bridge or a route between nodes, and the one kube-proxy serves both.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

from localcluster.paths import CACHE, RUN, STATE

POD_NETWORK = "10.244.0.0/16"
CONFIG = STATE / "config"
# The second node has the images of servers alone, so only pods that say they may be there come to it.
SERVING_ONLY = {"key": "modelpress.io/serving-only", "effect": "NoSchedule"}


@dataclasses.dataclass(frozen=True)
class Node:
    """One node. `suffix`: what its processes, files and folders have at the end of their names.

    `control_group`: under which the kubelet keeps those of pods; each removes what it does not know under its own.
    """

    name: str
    address: str
    pods: str
    suffix: str = ""
    control_group: str = ""
    kubelet_port: int = 10250
    health_port: int = 10248
    taints: tuple[dict[str, str], ...] = ()

    @property
    def components(self) -> tuple[str, str]:
        """The names of its own processes, in the order of starting."""
        return (f"containerd{self.suffix}", f"kubelet{self.suffix}")

    @property
    def user(self) -> str:
        """The name of its kubelet's certificate and kubeconfig."""
        return f"kubelet{self.suffix}"

    @property
    def pods_group(self) -> str:
        """What the paths of its pods' control groups begin with; inside a container, what they have in them."""
        return f"/{self.control_group or 'kubepods'}"

    @property
    def images(self) -> Path:
        """Where its containerd keeps images, shared by all clones, of whose clusters one runs at a time."""
        return CACHE / f"containerd{self.suffix}"

    def network_name(self, run: Path = RUN) -> str:
        """Return the name of its part of the pod network."""
        return f"{run.name}{self.suffix}"

    def socket(self, run: Path = RUN) -> Path:
        """Return its containerd's socket."""
        return run / f"containerd{self.suffix}.sock"

    def runtime(self, run: Path = RUN) -> Path:
        """Return what its containerd keeps of running containers."""
        return run / f"containerd{self.suffix}"

    def kubelet_root(self, state: Path = STATE) -> Path:
        """Return the kubelet's folder: pods' volumes and the sockets of plugins."""
        return state / f"kubelet{self.suffix}"

    def logs(self, state: Path = STATE) -> Path:
        """Return the folder of its pods' logs: a kubelet removes those of pods that it does not know."""
        return state / f"pod-logs{self.suffix}"

    def config(self, name: str) -> Path:
        """Return one of its configuration files or folders: `name` with the suffix before the ending."""
        stem, dot, ending = name.partition(".")
        return CONFIG / f"{stem}{self.suffix}{dot}{ending}"

    def has(self, address: str) -> bool:
        """Tell whether an address is one of its pods', or that of the host's end of their links."""
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.pods)


FIRST = Node("modelpress-local", "10.245.0.1", "10.244.0.0/17")
SECOND = Node(
    "modelpress-local-2",
    "10.245.0.2",
    "10.244.128.0/17",
    suffix="-2",
    control_group="modelpress2",  # without a dash, which means a level to systemd
    kubelet_port=10350,
    health_port=10348,
    taints=(SERVING_ONLY,),
)
ALL = (FIRST, SECOND)
