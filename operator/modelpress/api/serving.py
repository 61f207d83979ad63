"""`spec.serving`: how the result is served."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .autoscaling import Autoscaling
from .base import ApiType, Duration, rules
from .fields import ResourceRequirements, SecretName
from .gateway import ServingGateway


class Batching(ApiType):
    """Triton's dynamic batcher. Part of the revision."""

    max_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Most samples in one execution. Default: 32. Ignored by a model without a batch axis."""
    max_queue_delay: Duration | None = None
    """Longest time a request waits for others to join it. Default: 2ms."""


class Serving(ApiType):
    """How the result is served. Everything but `replicas`, `autoscaling` and `gateway` is part of the revision: a
    change rolls out as a new one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.replicas) || !has(self.autoscaling)",
                "set serving.replicas or serving.autoscaling, not both: an autoscaler counts the pods itself",
            ),
            (
                "!has(self.autoscaling) || !has(self.autoscaling.target) || !has(self.autoscaling.target.cpu)"
                " || !has(self.resources)"
                " || (has(self.resources.requests) && 'cpu' in self.resources.requests)"
                " || (has(self.resources.limits) && 'cpu' in self.resources.limits)",
                "autoscaling.target.cpu is a share of what is requested: set serving.resources.requests.cpu",
            ),
            (
                "!has(self.autoscaling) || !has(self.autoscaling.target) || !has(self.autoscaling.target.queueTime)"
                " || duration(self.autoscaling.target.queueTime) > (has(self.batching)"
                " && has(self.batching.maxQueueDelay) ? duration(self.batching.maxQueueDelay) : duration('2ms'))",
                "autoscaling.target.queueTime must be longer than batching.maxQueueDelay (2ms unless set): requests"
                " wait that long for a batch, however many pods there are",
            ),
        )
    )

    batching: Batching | None = None
    """Triton's dynamic batcher. Default: on, up to 32 samples, 2ms."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of serving pods; also through `kubectl scale`. Not together with `autoscaling`. Default: 1 to
    begin with, and then as many as an autoscaler or anybody else left."""
    autoscaling: Autoscaling | None = None
    """Let the number of serving pods follow the load. Not together with `replicas`. Default: off."""
    gateway: ServingGateway | None = None
    """Lead to the model from a Gateway. Default: the installation's Gateway, if it names one (`gateway.name` in the
    chart's values); else the Service inside the cluster is the only way."""
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
