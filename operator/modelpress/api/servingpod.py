"""What a serving pod should hold: key `models.json` of the revision's ConfigMap.

Read by the agent, again whenever it changes.
"""

from __future__ import annotations

from pydantic import Field

from .base import ApiType, Digest

MODELS_KEY = "models.json"
MODELS_FOLDER = "/etc/modelpress/models"
RUN_FOLDER = "/run/modelpress"
"""Shared by the containers of a serving pod, in memory: the key of Triton's restricted APIs, `stopping`, `drained`."""
REPOSITORY_FOLDER = "/models"
"""Triton's model repository: written by the agent, read-only for Triton."""

HTTP_PORT, GRPC_PORT, METRICS_PORT, AGENT_PORT = 8000, 8001, 8002, 8003
"""Open ports of the pod: the first three are Envoy's, the last the agent's (readiness)."""
TRITON_HTTP_PORT, TRITON_GRPC_PORT, TRITON_METRICS_PORT = 8100, 8101, 8102
"""Triton's own ports, on loopback only."""
ENVOY_ADMIN_PORT = 8109
"""Envoy's admin interface, on loopback only."""

KEY_FILE, STOPPING_FILE, DRAINED_FILE = f"{RUN_FOLDER}/key", f"{RUN_FOLDER}/stopping", f"{RUN_FOLDER}/drained"
"""One line each: the agent writes the key before Triton starts, Triton's preStop hook touches the second and waits for
the third."""
RESTRICTED_KEY_NAME = "modelpress-key"
"""HTTP header that carries the key; in gRPC metadata it is `triton-grpc-protocol-modelpress-key`."""
RESTRICTED_APIS = ("model-repository", "shared-memory", "trace", "logging")
"""Triton's APIs that want the key: on an open port they are code execution."""


class ServedModel(ApiType):
    """One model in the pod."""

    name: str
    """Name by which clients ask Triton for it: the CompressedModel's."""
    version: int = 1
    """Version folder in the model repository."""
    uri: str
    """Folder of the artifact in the store."""
    manifest_digest: Digest
    """What manifest.json there must hash to."""
    secret_name: str | None = None
    """Secret to read the store with, mounted in the agent alone."""
    max_batch_size: int = 0
    """Most samples in one execution; 0: not batched."""
    max_queue_delay_microseconds: int = 0
    """Longest wait for others to join a batch."""


class ServingPod(ApiType):
    """All models of the pod."""

    models: tuple[ServedModel, ...] = Field(default_factory=tuple)
    """At least one."""
