"""Containers of ours: image, task, security and scratch, the same way everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from modelpress.api.fields import ResourceRequirements
from modelpress.api.tasks import SCRATCH_FOLDER, TASK_VARIABLE, TERMINATION_MESSAGE_PATH, Task

from .installation import Installation
from .security import container_security_context

CA_FOLDER = "/etc/modelpress/ca"
CA_FILE = f"{CA_FOLDER}/ca.crt"
CA_VOLUME = "certificate-authorities"


def container(
    name: str,
    image: str,
    installation: Installation,
    *,
    command: Sequence[str],
    resources: ResourceRequirements,
    task: Task | None = None,
    environment: Iterable[dict[str, Any]] = (),
    mounts: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return a container of ours, with a scratch folder that no other container of the pod sees."""
    return {
        "name": name,
        "image": image,
        **({"imagePullPolicy": installation.image_pull_policy} if installation.image_pull_policy else {}),
        "command": list(command),
        "env": [
            *([{"name": TASK_VARIABLE, "value": task_json(task)}] if task else []),
            *({"name": variable, "value": SCRATCH_FOLDER} for variable in ("HOME", "TMPDIR")),
            *environment,
        ],
        "resources": resources.to_wire(),
        "securityContext": container_security_context(),
        "terminationMessagePath": TERMINATION_MESSAGE_PATH,
        "volumeMounts": [{"name": scratch_volume(name), "mountPath": SCRATCH_FOLDER}, *mounts],
    }


def task_json(task: Task) -> str:
    """Return the value of MODELPRESS_TASK.

    Dollar signs are written as JSON escapes: Kubernetes would take `$(NAME)` and `$$` in a value for its own.
    """
    return json.dumps(task.to_wire(), separators=(",", ":"), sort_keys=True).replace("$", "\\u0024")


def threads(resources: ResourceRequirements) -> list[dict[str, Any]]:
    """Return the environment that gives libraries a thread for each CPU of the container, if those are limited."""
    if "cpu" not in (resources.limits or {}):
        return []
    return [{"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}}]


def scratch_volume(container_name: str) -> str:
    """Return the name of the volume under SCRATCH_FOLDER of a container.

    One each: what a tenant's code leaves in its home folder, Python in the judge's container would import.
    """
    return f"tmp-{container_name}"


def empty_volume(name: str, size: str | None = None, *, memory: bool = False) -> dict[str, Any]:
    """Return a volume that begins empty and goes with the pod; `size` is the most it may hold."""
    settings = {**({"medium": "Memory"} if memory else {}), **({"sizeLimit": size} if size else {})}
    return {"name": name, "emptyDir": settings}


def mount(volume: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    """Return where a container sees a volume."""
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def store_environment(installation: Installation) -> list[dict[str, Any]]:
    """Return the environment of a container that talks to stores: HTTP proxy and trusted certificates.

    Loopback is never asked for through the proxy: the agent talks to Triton there, and gRPC obeys these variables too.
    """
    found: dict[str, str] = {}
    if installation.proxy:
        direct = ",".join(filter(None, (installation.proxy.no_proxy, "localhost,127.0.0.1")))
        for name, value in (installation.proxy.model_dump(exclude_none=True) | {"no_proxy": direct}).items():
            found |= {name.upper(): value, name: value}
    if installation.certificate_authorities:
        found |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), CA_FILE)
    return [{"name": name, "value": value} for name, value in found.items()]


def store_mounts(installation: Installation) -> list[dict[str, Any]]:
    """Return the mounts of a container that talks to stores, its Secrets aside."""
    return [mount(CA_VOLUME, CA_FOLDER, read_only=True)] if installation.certificate_authorities else []


def store_volumes(installation: Installation) -> list[dict[str, Any]]:
    """Return the volumes of a pod that talks to stores, its Secrets aside."""
    authorities = installation.certificate_authorities
    if not authorities:
        return []
    items = [{"key": authorities.key, "path": "ca.crt"}]
    return [{"name": CA_VOLUME, "configMap": {"name": authorities.config_map, "items": items, "optional": True}}]


def pull_secrets(installation: Installation, own: Iterable[str]) -> list[dict[str, str]]:
    """Return `imagePullSecrets` of a pod: the model's, then the installation's."""
    return [{"name": name} for name in dict.fromkeys((*own, *installation.image_pull_secrets))]
