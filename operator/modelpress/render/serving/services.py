"""Services: the model's own, which follows the revision that answers, and one for each revision."""

from __future__ import annotations

from typing import Any

from modelpress.api.resources import CompressedModel, Endpoint, ModelRevision
from modelpress.api.servingpod import GRPC_PORT, HTTP_PORT

from ..installation import Installation
from ..metadata import metadata
from .deployment import serving_selector
from .routes import Entrance


def service(model: CompressedModel, revision_name: str | None) -> dict[str, Any]:
    """Return the Service named as `model`, which leads to the ready pods of the revision `revision_name`.

    None: to those of all revisions that have serving pods, which is how two of them share the requests.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(model.metadata.name, model),
        "spec": _spec(model, revision_name),
    }


def revision_service(model: CompressedModel, revision: ModelRevision) -> dict[str, Any]:
    """Return the Service named as `revision`, which leads to its ready pods and never to others."""
    name = revision.metadata.name
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, model, revision=name, artifact=revision.spec.artifact),
        "spec": _spec(model, name),
    }


def endpoint(model: CompressedModel, installation: Installation, at: Entrance | None = None) -> Endpoint:
    """Return where clients ask for `model`: inside the cluster, and `at` a Gateway if it has one."""
    host = host_of(model.metadata.name, model, installation)
    return Endpoint(
        http=f"http://{host}:{HTTP_PORT}",
        grpc=f"{host}:{GRPC_PORT}",
        hostname=at.hostname if at is not None else None,
        grpc_hostname=at.grpc_hostname if at is not None else None,
    )


def host_of(service_name: str, model: CompressedModel, installation: Installation) -> str:
    """Return the name by which pods find a Service beside `model`."""
    return f"{service_name}.{model.metadata.namespace}.svc.{installation.cluster_domain}"


def _spec(model: CompressedModel, revision_name: str | None) -> dict[str, Any]:
    ports = (("http", HTTP_PORT, "http"), ("grpc", GRPC_PORT, "kubernetes.io/h2c"))
    return {
        "selector": serving_selector(model.metadata.name, revision_name),
        "ports": [
            {"name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": protocol}
            for name, port, protocol in ports
        ],
    }
