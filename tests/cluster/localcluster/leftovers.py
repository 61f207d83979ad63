"""What a cluster leaves on the machine, and taking all of it away: processes, mounts, network, rules, folders.

Used by `cluster-down` on our own cluster and at every start on what a killed one left, another clone's too; and for one
node of ours, where the cluster goes on without it. Only what carries a mark of ours is touched: our run folders, our
pod network's name, chains of Kubernetes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcluster import processes
from localcluster.nodes import ALL, SECOND, Node
from localcluster.paths import CLONE, RUN, RUN_PARENT, RUN_PREFIX
from localcluster.shell import output

COMPONENTS = (
    "kube-proxy",
    "kubelet",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "containerd",
    "etcd",
)
OF_SECOND_NODE = tuple(reversed(SECOND.components))
_ALL_COMPONENTS = (*OF_SECOND_NODE, *COMPONENTS)
_CNI_RESULTS = Path("/var/lib/cni/results")
_NETWORK_NAMESPACES = Path("/run/netns")
_ADDRESS = re.compile(r" inet ([0-9.]+)/")
# kube-apiserver waits a minute for watches to end; etcd has all it ever accepted, so nothing is lost by not waiting.
_PATIENCE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Owned:
    """One cluster that was started on this machine: its run folder and the clone it belongs to."""

    run: Path
    clone: Path

    @property
    def state(self) -> Path:
        """The clone's state folder, which may be gone."""
        return self.clone / ".cluster"

    def runs(self) -> bool:
        """Tell whether any of its components runs."""
        return any(processes.running_pid(name, self.run) for name in _ALL_COMPONENTS)


def claim() -> None:
    """Write down that the run folder is this clone's, for others to find."""
    RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
    (RUN / "owner.json").write_text(json.dumps({"clone": str(CLONE)}))


def all_owned() -> list[Owned]:
    """Return every cluster of modelpress, running or dead, that left a run folder."""
    found = []
    for run in sorted(RUN_PARENT.glob(f"{RUN_PREFIX}*")):
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
            found.append(Owned(run, Path(json.loads((run / "owner.json").read_text())["clone"])))
    return found


def remove(owned: Owned) -> None:
    """Take away all that a cluster has on this machine but its state folder; harmless when there is nothing."""
    for node in ALL:
        processes.stop(node.user, owned.run, patience=_PATIENCE_SECONDS)
    _end_containers(owned.run, ALL)
    for name in _ALL_COMPONENTS:
        processes.stop(name, owned.run, patience=_PATIENCE_SECONDS)
    _unmount(mounts_of(owned))
    _remove_network(owned.run, ALL, network_namespaces())
    _remove_rules()
    _remove_control_groups(ALL)
    shutil.rmtree(owned.run, ignore_errors=True)


def remove_node(node: Node) -> None:
    """Take away all that one node of our own cluster has on this machine, and leave the others as they are."""
    shim, kubelet = node.components
    processes.stop(kubelet, patience=_PATIENCE_SECONDS)
    _end_containers(RUN, (node,))
    processes.stop(shim, patience=_PATIENCE_SECONDS)
    folders = (node.runtime(), node.kubelet_root(), node.logs())
    _unmount(mounts_under(*folders))
    _remove_network(RUN, (node,), network_namespaces((node,), unborn=False))
    _remove_control_groups((node,))
    for folder in (*folders, RUN / "ipam" / node.network_name()):
        shutil.rmtree(folder, ignore_errors=True)
    node.socket().unlink(missing_ok=True)


def _end_containers(run: Path, nodes: Sequence[Node]) -> None:
    """Kill what runs in pods first and then the shims, or the shims' children would be left to init."""
    for node in nodes:
        processes.end(processes.with_cgroup(node.pods_group), patience=3.0)
        shims = processes.with_argument(str(node.socket(run)))
        processes.end([pid for pid in shims if pid != os.getpid()], patience=3.0)


def mounts_of(owned: Owned) -> list[str]:
    """Return the mount points under the cluster's folders, the innermost first."""
    return mounts_under(owned.run, owned.state)


def mounts_under(*folders: Path) -> list[str]:
    """Return the mount points under folders, the innermost first."""
    roots = tuple(f"{folder}/" for folder in folders)
    points = [line.split()[1].replace("\\040", " ") for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(roots)), reverse=True)


def network_namespaces(nodes: Sequence[Node] = ALL, *, unborn: bool = True) -> list[Path]:
    """Return the network namespaces of nodes' pods: those with an address of theirs or, if `unborn`, with none yet."""
    found = []
    for netns in _NETWORK_NAMESPACES.glob("cni-*"):
        show = ["nsenter", f"--net={netns}", "ip", "-4", "-oneline", "address", "show", "scope", "global"]
        done = subprocess.run(show, capture_output=True, check=False)
        if is_of(nodes, done.stdout.decode()) if done.stdout else unborn:
            found.append(netns)
    return found


def pod_interfaces(nodes: Sequence[Node] = ALL) -> list[str]:
    """Return the host's ends of the links of nodes' pods."""
    lines = output(["ip", "-4", "-oneline", "address", "show"]).splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith("veth") and is_of(nodes, line)]


def is_of(nodes: Sequence[Node], shown: str) -> bool:
    """Tell whether `ip -oneline address` showed an address of the pods of one of these nodes."""
    return any(node.has(address) for address in _ADDRESS.findall(shown) for node in nodes)


def _unmount(points: Sequence[str]) -> None:
    for point in points:
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def _remove_network(run: Path, nodes: Sequence[Node], namespaces: Sequence[Path]) -> None:
    for netns in namespaces:
        subprocess.run(["umount", "--lazy", str(netns)], capture_output=True, check=False)
        netns.unlink(missing_ok=True)
    for interface in pod_interfaces(nodes):
        subprocess.run(["ip", "link", "del", interface], capture_output=True, check=False)
    for node in nodes:
        for record in _CNI_RESULTS.glob(f"{node.network_name(run)}-*"):
            container = record.name.removesuffix("-eth0").rpartition("-")[2]
            (_CNI_RESULTS / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
            record.unlink(missing_ok=True)
        subprocess.run(["ip", "address", "del", f"{node.address}/32", "dev", "lo"], capture_output=True, check=False)


def rules() -> list[str]:
    """Return the lines of `iptables-save` that Kubernetes made, IPv6 included."""
    return [line for family in ("iptables", "ip6tables") for line in _saved(family) if "KUBE-" in line]


def _saved(family: str) -> list[str]:
    if shutil.which(f"{family}-save") is None:
        return []
    done = subprocess.run([f"{family}-save"], capture_output=True, check=False)
    return done.stdout.decode().splitlines()


def _remove_rules() -> None:
    for family in ("iptables", "ip6tables"):
        removal = removal_of_rules(_saved(family))
        if removal:
            output([f"{family}-restore", "--noflush"], stdin=removal.encode())


def removal_of_rules(saved: list[str]) -> str:
    """Return the input of `iptables-restore --noflush` that removes every chain of Kubernetes and what points at it."""
    lines: list[str] = []
    for table, content in _by_table(saved).items():
        chains = [line[1:].split()[0] for line in content if line.startswith(":KUBE-")]
        pointing = [line for line in content if re.match(r"-A (?!KUBE-)", line) and re.search(r"-j KUBE-", line)]
        if chains:
            lines += [f"*{table}", *(f"-D{line[2:]}" for line in pointing), *(f"-F {chain}" for chain in chains)]
            lines += [*(f"-X {chain}" for chain in chains), "COMMIT"]
    return "\n".join(lines) + "\n" if lines else ""


def _by_table(saved: list[str]) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    table = ""
    for line in saved:
        if line.startswith("*"):
            table = line[1:]
        else:
            tables.setdefault(table, []).append(line)
    return tables


def _remove_control_groups(nodes: Sequence[Node]) -> None:
    tree = Path("/sys/fs/cgroup")
    for node in nodes:
        for top in (*tree.glob(f"*{node.pods_group}*"), *tree.glob(f"{node.pods_group.lstrip('/')}*")):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
