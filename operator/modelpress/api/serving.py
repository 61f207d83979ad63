"""`spec.serving`: how the result is served."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from .base import ApiType, Duration
from .fields import ResourceRequirements, SecretName


class Batching(ApiType):
    """Triton's dynamic batcher. Part of the revision."""

    max_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Most samples in one execution. Default: 32. Ignored by a model without a batch axis."""
    max_queue_delay: Duration | None = None
    """Longest time a request waits for others to join it. Default: 2ms."""


class Serving(ApiType):
    """How the result is served. Everything but `replicas` is part of the revision: a change rolls out as a new one."""

    batching: Batching | None = None
    """Triton's dynamic batcher. Default: on, up to 32 samples, 2ms."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of serving pods; also through `kubectl scale`. Default: 1."""
    resources: ResourceRequirements | None = None
    """Resources of Triton's container. Default: requests of 250m CPU and 512Mi memory."""
    node_selector: dict[str, str] | None = None
    """Labels that the node must carry. Default: none."""
    tolerations: Annotated[tuple[dict[str, Any], ...], Field(max_length=32)] | None = None
    """Tolerations of serving pods. Default: none."""
    affinity: dict[str, Any] | None = None
    """Affinity of serving pods, as in a pod. Default: none."""
    service_account_name: SecretName | None = None
    """Service account of serving pods; its token is not mounted. Default: the namespace's default."""
    image_pull_secrets: Annotated[tuple[SecretName, ...], Field(max_length=8)] | None = None
    """Names of Secrets to pull images with, for serving and compression pods. Default: none."""
