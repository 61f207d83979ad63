"""`spec.serving.gateway`: the Gateway that leads to a model from outside the cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from .base import ApiType, rules

Hostname = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class ServingGateway(ApiType):
    """A Gateway of the Gateway API, and the hostnames under which it leads to the model.

    HTTP and gRPC have a route each, and a hostname each: a listener takes one kind of route for one hostname.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.namespace) || has(self.name)",
                "serving.gateway.namespace is that of serving.gateway.name: set both, or neither",
            ),
        )
    )

    name: ObjectName | None = None
    """Name of the Gateway, which must admit routes of the model's namespace. Default: the installation's
    (`gateway.name` in the chart's values)."""
    namespace: NamespaceName | None = None
    """Namespace of the Gateway. Default: the model's own."""
    hostname: Hostname | None = None
    """Hostname of HTTP requests. Default: `<model>.<namespace>` and, if set, `gateway.domain` of the chart's values:
    `digits.team-a.example.org`."""
    grpc_hostname: Hostname | None = None
    """Hostname of gRPC requests, another one. Default: `grpc.` before that of HTTP."""
