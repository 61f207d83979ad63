"""Volumes for claims of the class `local`: folders under `.cluster/volumes`, a fixed number, made beforehand.

They are the first node's: a pod with a claim stays there, whichever nodes the cluster has.
A volume whose claim is gone is emptied and offered again by the next `make cluster`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from localcluster.kubectl import apply, kubectl
from localcluster.nodes import FIRST
from localcluster.paths import STATE
from localcluster.shell import output

COUNT = 12
_CAPACITY = "50Gi"  # a label for matching claims: folders have no limit but the disk's
_NAMES = tuple(f"local-{number:02}" for number in range(1, COUNT + 1))


def ensure() -> None:
    """Have every volume; those that were released are offered anew."""
    found = json.loads(output(kubectl("get", "persistentvolumes", "--output=json")))["items"]
    phases = {volume["metadata"]["name"]: volume["status"].get("phase") for volume in found}
    for name in _NAMES:
        if phases.get(name) == "Released":
            output(kubectl("delete", "persistentvolume", name))
            shutil.rmtree(_folder(name), ignore_errors=True)
    missing = [name for name in _NAMES if phases.get(name) in (None, "Released")]
    for name in missing:
        _folder(name).mkdir(parents=True, exist_ok=True)
        _folder(name).chmod(0o777)
    if missing:
        apply("\n---\n".join(json.dumps(_volume(name)) for name in missing))


def _folder(name: str) -> Path:
    return STATE / "volumes" / name


def _volume(name: str) -> dict[str, object]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [FIRST.name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "local",
            "capacity": {"storage": _CAPACITY},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(_folder(name))},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
