"""The pod that serves: agent and Envoy as native sidecars, Triton as the main container.

Order of life: agent (writes the key of Triton's restricted APIs and answers `/live`) → proxy → triton; then the agent
fetches, loads, warms up, compares the reference answers, and the pod is ready. Order of death: Triton's preStop hook
tells the agent, the agent drains Envoy and says so, Triton ends, then Envoy, then the agent.
"""

from __future__ import annotations

import math
from typing import Any

from modelpress.api.defaults import EffectiveServing
from modelpress.api.fields import ResourceRequirements
from modelpress.api.names import ROLE_SERVE, labels
from modelpress.api.resources import CompressedModel, ModelArtifact
from modelpress.api.servingpod import (
    AGENT_PORT,
    GRPC_PORT,
    HTTP_PORT,
    METRICS_PORT,
    MODELS_FOLDER,
    RUN_FOLDER,
    STORAGE_FOLDER,
)
from modelpress.api.tasks import AgentTask

from ..containers import (
    container,
    empty_volume,
    mount,
    pull_secrets,
    scratch_volume,
    store_environment,
    store_mounts,
    store_volumes,
)
from ..installation import Installation, serving_settings, store_settings
from ..secrets import secret_mounts, secret_volumes, volume_names
from ..security import pod_security_context, without_identity
from .deployment import serving_selector
from .triton import triton_container

WANTED_VOLUME = "wanted"
"""Volume of the ConfigMap that says what the pod should hold."""
GRACE_SECONDS = 30
"""What a pod may take to end beside draining: endpoint removal before it, Triton's own exit after it."""


def pod_template(
    model: CompressedModel, artifact: ModelArtifact, revision_name: str, installation: Installation
) -> dict[str, Any]:
    """Return the pod template of the revision `revision_name`, to be kept in it and never rendered again."""
    settings = serving_settings(model, installation)
    task = AgentTask(
        backend=installation.triton_backend,
        drain_seconds=installation.drain_seconds,
        threads=_whole_cpus(settings.resources),
    )
    secrets = [store_settings(model, installation).read_secret_name]
    name = model.metadata.name
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": math.ceil(installation.drain_seconds) + GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security_context(),
        "initContainers": [_agent(task, installation, secrets), _proxy(task, installation)],
        "containers": [triton_container(installation, settings.resources)],
        "volumes": [
            {"name": WANTED_VOLUME, "configMap": {"name": revision_name}},
            empty_volume("models"),
            empty_volume("run", "16Mi", memory=True),
            empty_volume("shm", memory=True),
            *(empty_volume(scratch_volume(container_name)) for container_name in ("agent", "proxy", "triton")),
            *secret_volumes(volume_names(secrets)),
            *store_volumes(installation),
        ],
        **_scheduling(settings, serving_selector(name, revision_name)),
        "imagePullSecrets": pull_secrets(installation, settings.image_pull_secrets),
        # by name also if it is the default: the API server keeps an old one in a deprecated twin of this field
        "serviceAccountName": settings.service_account_name or "default",
    }
    return {
        "metadata": {
            "labels": labels(name, ROLE_SERVE, revision=revision_name, artifact=artifact.metadata.name),
            "annotations": without_identity("proxy", "triton"),
        },
        "spec": {field: value for field, value in spec.items() if value not in (None, [], {})},
    }


def _agent(task: AgentTask, installation: Installation, secrets: list[str | None]) -> dict[str, Any]:
    found = container(
        "agent",
        installation.images.operator,
        installation,
        command=("modelpress", "agent", "run"),
        resources=installation.helper_resources,
        task=task,
        environment=store_environment(installation),
        mounts=[
            mount(WANTED_VOLUME, MODELS_FOLDER, read_only=True),
            mount("models", STORAGE_FOLDER),
            mount("run", RUN_FOLDER),
            *secret_mounts(volume_names(secrets), secrets),
            *store_mounts(installation),
        ],
    )
    return {
        **found,
        "restartPolicy": "Always",
        "ports": [{"name": "agent", "containerPort": AGENT_PORT}],
        # the next containers wait for this one, and readiness waits for them: so starting means being alive, no more
        "startupProbe": {"httpGet": {"path": "/live", "port": "agent"}, "periodSeconds": 1, "failureThreshold": 300},
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": "agent"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "agent"},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }


def _proxy(task: AgentTask, installation: Installation) -> dict[str, Any]:
    found = container(
        "proxy",
        installation.images.operator,
        installation,
        command=("modelpress", "agent", "proxy"),
        resources=installation.helper_resources,
        task=task,
        mounts=[mount("run", RUN_FOLDER)],
    )
    ports = (("http", HTTP_PORT), ("grpc", GRPC_PORT), ("metrics", METRICS_PORT))
    return {
        **found,
        "restartPolicy": "Always",
        "ports": [{"name": name, "containerPort": port} for name, port in ports],
        "startupProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 300},
    }


def _scheduling(settings: EffectiveServing, selector: dict[str, str]) -> dict[str, Any]:
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector},
    }
    return {
        "nodeSelector": settings.node_selector,
        "tolerations": list(settings.tolerations),
        "affinity": settings.affinity,
        "topologySpreadConstraints": [spread],
    }


def _whole_cpus(resources: ResourceRequirements) -> int | None:
    """Return the CPU limit, rounded up, or None if there is none."""
    limit = (resources.limits or {}).get("cpu")
    if limit is None:
        return None
    text = str(limit)
    return math.ceil(int(text[:-1]) / 1000 if text.endswith("m") else float(text))
