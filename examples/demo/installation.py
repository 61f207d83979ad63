"""Install the chart, as the README says, with the images of the local cluster or with published ones."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import kubectl

ROOT = Path(__file__).resolve().parents[2]
LOCAL_KUBECONFIG = ROOT / ".cluster" / "kubeconfig"
NAMESPACE = "modelpress-system"


def use(kubeconfig: Path) -> None:
    """Have kubectl and helm talk to the cluster of `kubeconfig`, and find them for the local cluster."""
    os.environ["KUBECONFIG"] = str(kubeconfig.resolve())
    if kubeconfig.resolve() == LOCAL_KUBECONFIG:
        sys.path.insert(0, str(ROOT / "tests" / "cluster"))
        from localcluster.programs import program, tools

        folders = [str(tools()), str(program("helm").parent)]
        os.environ["PATH"] = os.pathsep.join([*folders, os.environ["PATH"]])


def values(kubeconfig: Path) -> dict[str, object]:
    """Return the chart's values for the demo."""
    found: dict[str, object] = {
        "artifacts": {
            "uri": "s3://artifacts",
            "secretName": "artifacts-write",
            "readSecretName": "artifacts-read",
        }
    }
    if kubeconfig.resolve() == LOCAL_KUBECONFIG:
        images = json.loads((ROOT / ".cluster" / "images.json").read_text())
        found |= {"images": images, "imagePullPolicy": "Never", "triton": {"backend": "python"}}
    return found


def install(kubeconfig: Path, *arguments: str, chart: Path = ROOT / "charts" / "modelpress") -> str:
    """`helm upgrade --install` the chart and wait for the operator; return what helm printed."""
    _undo_what_was_cut_short()
    return kubectl.run(
        "helm",
        "upgrade",
        "--install",
        "modelpress",
        str(chart),
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--wait",
        "--timeout=300s",
        "--values=-",
        *arguments,
        stdin=json.dumps(values(kubeconfig)),
    )


def _undo_what_was_cut_short() -> None:
    """Roll back an upgrade, or uninstall an installation, whose helm was killed: every later one would be refused."""
    where = ("--namespace", NAMESPACE)
    found = json.loads(kubectl.run("helm", "list", *where, "--pending", "--filter=^modelpress$", "--output=json"))
    if not found:
        return
    if found[0]["status"] == "pending-install":
        kubectl.run("helm", "uninstall", "modelpress", *where, "--wait")
    else:
        kubectl.run("helm", "rollback", "modelpress", *where, "--wait")
