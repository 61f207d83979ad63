"""Routes of the Gateway API: how requests that come in at a Gateway find a model's pods, and which revision's.

HTTP and gRPC have one each, both named as the model. Fields that the API server would fill in are written out: their
lists have one owner, so what it adds there would look like somebody else's change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelpress.api.gateway import ServingGateway
from modelpress.api.resources import CompressedModel
from modelpress.api.servingpod import GRPC_PORT, HTTP_PORT

from ..installation import Installation
from ..metadata import metadata

GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where requests for one model come in: a Gateway, and the hostname of each protocol."""

    name: str
    namespace: str
    hostname: str
    grpc_hostname: str

    def __str__(self) -> str:
        return f"Gateway {self.namespace}/{self.name}"


def entrance(model: CompressedModel, installation: Installation) -> Entrance | None:
    """Return where requests for `model` come in from outside: as it says, else the installation; None: nowhere."""
    own = (model.spec.serving.gateway if model.spec.serving else None) or ServingGateway()
    fallback, here = installation.gateway, model.metadata.namespace
    name, namespace = (own.name, own.namespace) if own.name is not None else (fallback.name, fallback.namespace)
    if name is None:
        return None
    hostname = own.hostname or ".".join(filter(None, (model.metadata.name, here, fallback.domain)))
    return Entrance(name, namespace or here, hostname, own.grpc_hostname or f"grpc.{hostname}")


def http_route(model: CompressedModel, at: Entrance, weights: Mapping[str, int]) -> dict[str, Any]:
    """Return the route of HTTP requests to Services by `weights`, their names with a share each, relative to all."""
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": _backends(weights, HTTP_PORT),
    }
    return _route("HTTPRoute", model, at, at.hostname, rule)


def grpc_route(model: CompressedModel, at: Entrance, weights: Mapping[str, int]) -> dict[str, Any]:
    """Return the route of gRPC requests to Services by `weights`, their names with a share each, relative to all."""
    return _route("GRPCRoute", model, at, at.grpc_hostname, {"backendRefs": _backends(weights, GRPC_PORT)})


def _route(kind: str, model: CompressedModel, at: Entrance, hostname: str, rule: dict[str, Any]) -> dict[str, Any]:
    parent = {"group": GROUP, "kind": "Gateway", "namespace": at.namespace, "name": at.name}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": metadata(model.metadata.name, model),
        "spec": {"parentRefs": [parent], "hostnames": [hostname], "rules": [rule]},
    }


def _backends(weights: Mapping[str, int], port: int) -> list[dict[str, Any]]:
    return [
        {"group": "", "kind": "Service", "name": name, "port": port, "weight": weight}
        for name, weight in weights.items()
    ]
