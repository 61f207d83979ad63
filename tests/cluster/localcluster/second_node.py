"""A second node beside the first: joined by `make cluster NODES=2`, taken away by NODES=1, else left as it is.

It has a containerd, a kubelet, an address and a part of the pod network of its own. It gets the images of servers, out
of the first node's containerd, and takes the pods alone that tolerate `modelpress.io/serving-only`: nothing else of the
cluster changes when it comes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess

from localcluster import leftovers, processes
from localcluster.cache import locked
from localcluster.certificates import issue_missing, of_kubelet, write_kubeconfig
from localcluster.components import containerd, ctr, kubelet
from localcluster.configuration import PAUSE_IMAGE, write_for
from localcluster.kubectl import kubectl
from localcluster.nodes import CONFIG, FIRST, SECOND, Node
from localcluster.paths import LOGS, STATE
from localcluster.programs import tools
from localcluster.progress import StepFailed, step
from localcluster.shell import output, run
from localcluster.starting import await_node, prepare_host, start

SERVERS = ("operator", "triton")
"""Our images that a serving pod runs: the agent and the proxy are in the operator's."""
_LOG = LOGS / "second-node.log"
_DRAIN = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")


def is_wanted() -> bool:
    """Tell whether it was asked for, and not taken away since: then it comes back with the cluster."""
    return SECOND.config("kubelet.yaml").exists()


def ensure() -> None:
    """Have the second node Ready, with the images of servers."""
    write_for(SECOND)
    issue_missing(of_kubelet(SECOND))
    write_kubeconfig(CONFIG / f"{SECOND.user}.kubeconfig", SECOND.user)
    prepare_host(SECOND)
    started = False
    for component in (containerd(SECOND), kubelet(tools(), SECOND)):
        if processes.running_pid(component.name) is None:
            started = True
            start(component)
        if component.name == SECOND.components[0]:
            hand_images()
    if started:
        with step("second node ready"):
            await_node(SECOND)


def remove() -> None:
    """Drain the second node and take it out of the cluster and off the machine; its images stay in the cache."""
    with step("removing the second node", _LOG):
        with contextlib.suppress(StepFailed):  # it may be dead; what is left on it goes all the same
            run(kubectl("drain", SECOND.name, *_DRAIN), _LOG)
        leftovers.remove_node(SECOND)
        run(kubectl("delete", "node", SECOND.name, "--ignore-not-found"), _LOG)
        there = f"--field-selector=spec.nodeName={SECOND.name}"
        run(kubectl("delete", "pods", "--all-namespaces", there, "--force", "--grace-period=0"), _LOG)
        SECOND.config("kubelet.yaml").unlink(missing_ok=True)


def hand_images() -> None:
    """Give the second node what the first has of the images that servers run now, if it is there to take them."""
    if processes.running_pid(SECOND.components[0]) is None:
        return
    names = STATE / "images.json"
    found = json.loads(names.read_text()) if names.exists() else {}
    wanted = [PAUSE_IMAGE, *(found[part] for part in SERVERS if part in found)]
    with locked("containerd-import"):
        has, can_have = images_on(SECOND), images_on(FIRST)
        for image in wanted:
            if image not in has and image in can_have:
                with step(f"image {image.rpartition('/')[2]} to the second node", _LOG):
                    _copy(image)
        used = output(ctr("containers", "list", node=SECOND))
        for image in superseded(has, wanted, used):
            run(ctr("images", "remove", image, node=SECOND), _LOG)


def images_on(node: Node) -> set[str]:
    """Return the names of our images that a node has."""
    listed = output(ctr("images", "list", "--quiet", node=node)).split()
    return {name for name in listed if name.startswith("localhost/modelpress/")}


def superseded(has: set[str], wanted: list[str], used: str) -> list[str]:
    """Return which images of a node may go: those that others of their repository replace, and no container uses."""
    repositories = {image.rpartition(":")[0] for image in wanted}
    return sorted(
        image for image in has if image.rpartition(":")[0] in repositories and image not in wanted and image not in used
    )


def _copy(image: str) -> None:
    """Copy an image from containerd to containerd, through a pipe and no file."""
    with subprocess.Popen(ctr("images", "export", "-", image), stdout=subprocess.PIPE) as source:
        taken = subprocess.run(
            ctr("images", "import", "--snapshotter", "overlayfs", "-", node=SECOND),
            stdin=source.stdout,
            capture_output=True,
            check=False,
        )
    if taken.returncode or source.returncode or image not in images_on(SECOND):
        raise StepFailed(f"the second node did not take image {image}: {taken.stderr.decode().strip()}", _LOG)
