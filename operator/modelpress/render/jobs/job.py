"""What every Job has in common: one attempt, a deadline, a pod without an identity, disks of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelpress.api.defaults import EffectiveJobSettings, with_defaults
from modelpress.api.fields import ResourceRequirements
from modelpress.api.resources import CompressedModel
from modelpress.api.serving import Serving
from modelpress.api.tasks import Task

from ..containers import (
    container,
    empty_volume,
    pull_secrets,
    scratch_volume,
    store_environment,
    store_mounts,
    store_volumes,
    threads,
)
from ..installation import Installation
from ..metadata import Owner, metadata
from ..secrets import secret_mounts, secret_volumes, volume_names
from ..security import pod_security_context

DEADLINE_MARGIN_SECONDS = 1800
"""What downloading, judging and uploading may take beside the timeout of the compression itself."""


def job(
    name: str,
    model: CompressedModel,
    installation: Installation,
    settings: EffectiveJobSettings,
    *,
    role: str,
    owner: Owner,
    artifact: str | None,
    revision: str | None = None,
    deadline_seconds: float,
    containers: Sequence[dict[str, Any]],
    volumes: Iterable[str],
    secrets: Iterable[str | None],
    annotations: dict[str, str],
) -> dict[str, Any]:
    """Return a Job whose pod runs `containers` one after the other, the last as the pod's main one.

    `volumes` are named disks of `settings.scratch.size` each; every container has a scratch one of its own beside them.
    """
    meta = metadata(name, model, owner=owner, role=role, revision=revision, artifact=artifact)
    size = settings.scratch.size
    disks = [*volumes, *(scratch_volume(str(one["name"])) for one in containers)]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security_context(),
        "initContainers": list(containers[:-1]),
        "containers": [containers[-1]],
        "volumes": [
            *(empty_volume(disk, size) for disk in disks),
            *secret_volumes(volume_names(secrets)),
            *store_volumes(installation),
        ],
        "imagePullSecrets": pull_secrets(
            installation, with_defaults(model.spec.serving or Serving()).image_pull_secrets
        ),
        "nodeSelector": settings.node_selector,
        "tolerations": list(settings.tolerations),
        "serviceAccountName": settings.service_account_name,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": round(deadline_seconds),
            "template": {
                "metadata": {"labels": dict(meta["labels"]), **({"annotations": annotations} if annotations else {})},
                "spec": {field: value for field, value in pod.items() if value not in (None, [], {})},
            },
        },
    }


def mover(
    name: str,
    task: Task,
    installation: Installation,
    *,
    secrets: Sequence[str | None],
    all_secrets: Iterable[str | None],
    mounts: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return a container of ours that talks to stores with `secrets` and runs nobody's code."""
    return container(
        name,
        installation.images.operator,
        installation,
        command=("modelpress", "task", name),
        resources=installation.helper_resources,
        task=task,
        environment=store_environment(installation),
        mounts=[*mounts, *secret_mounts(volume_names(all_secrets), secrets), *store_mounts(installation)],
    )


def worker(
    name: str, task: Task, installation: Installation, resources: ResourceRequirements, mounts: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Return a container that computes: no Secret, no identity, nothing but `mounts`."""
    caches = {
        "XDG_CACHE_HOME": "/tmp/cache",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp/inductor",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return container(
        name,
        installation.images.compressor,
        installation,
        command=("modelpress", "task", name),
        resources=resources,
        task=task,
        environment=[*({"name": key, "value": value} for key, value in caches.items()), *threads(resources)],
        mounts=mounts,
    )
