"""One CompressedModel in a cluster, through the caller's own kubeconfig and with the caller's own rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kubernetes.aio import config as kubernetes_config

from modelpress.api.names import MODEL_LABEL
from modelpress.control.kinds import MODEL, REVISION, path_of
from modelpress.control.metrics import Metrics
from modelpress.control.plan import Reference
from modelpress.control.sender import MERGE_PATCH, Sender, load_configuration
from modelpress.control.settings import Settings, own_namespace

FIELD_MANAGER = "modelpress-cli"


class Cluster:
    """Reads one model and its revisions, and patches its spec. Raises ApiError and UnavailableError."""

    def __init__(self, sender: Sender, namespace: str, name: str) -> None:
        self._sender, self._namespace, self._name = sender, namespace, name
        self._path = path_of(Reference(MODEL.api_version, MODEL.kind, namespace, name))

    async def model(self) -> dict[str, Any]:
        """Return the CompressedModel."""
        return (await self._sender.send("GET", self._path, kind=MODEL.kind)).body

    async def revisions(self) -> list[dict[str, Any]]:
        """Return its ModelRevisions, the newest first."""
        selector = {"labelSelector": f"{MODEL_LABEL}={self._name}"}
        answer = await self._sender.send(
            "GET", REVISION.collection(self._namespace), kind=REVISION.kind, params=selector
        )
        found: list[dict[str, Any]] = answer.body.get("items") or []
        return sorted(found, key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)

    async def patch(self, rollout: Mapping[str, Any]) -> None:
        """Set these fields of `spec.rollout`; None removes one."""
        body = {"spec": {"rollout": rollout}}
        params = {"fieldManager": FIELD_MANAGER}
        await self._sender.send(
            "PATCH", self._path, kind=MODEL.kind, body=body, params=params, content_type=MERGE_PATCH
        )


@asynccontextmanager
async def connect(kubeconfig: str, namespace: str, name: str) -> AsyncIterator[Cluster]:
    """Connect as `kubeconfig` says (else $KUBECONFIG, else ~/.kube/config), to its namespace unless one is given."""
    settings = Settings(kubeconfig=kubeconfig)
    async with Sender(await load_configuration(kubeconfig), settings, Metrics()) as sender:
        yield Cluster(sender, namespace or _namespace(kubeconfig), name)


def _namespace(kubeconfig: str) -> str:
    """Return the namespace of the present context; where there is no kubeconfig, the pod's own."""
    try:
        _, present = kubernetes_config.list_kube_config_contexts(kubeconfig or None)  # type: ignore[no-untyped-call]
    except kubernetes_config.ConfigException:
        return own_namespace()
    return str(present["context"].get("namespace") or "default")
