"""Field types that several parts of the spec share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import ApiType

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class ResourceRequirements(ApiType):
    """Requests and limits, as in a container."""

    requests: dict[str, str | int] | None = None
    """Least that is reserved, by resource: `cpu: "1"`, `memory: 2Gi`, `nvidia.com/gpu: 1`."""
    limits: dict[str, str | int] | None = None
    """Most that may be used, by resource."""
