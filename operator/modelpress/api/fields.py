"""Field types that several parts of the spec share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import ApiType

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]

Entrypoint = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_/]*:[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
"""`file:function` of a source: `model:build` is the function build of model.py."""
Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")]
"""An amount as Kubernetes writes it: `500m`, `2`, `20Gi`."""


class ResourceRequirements(ApiType):
    """Requests and limits, as in a container."""

    requests: dict[str, Annotated[int, Field(ge=0)] | Quantity] | None = None
    """Least that is reserved, by resource: `cpu: "1"`, `memory: 2Gi`, `nvidia.com/gpu: 1`."""
    limits: dict[str, Annotated[int, Field(ge=0)] | Quantity] | None = None
    """Most that may be used, by resource."""
