"""What a serving pod should hold: key `models.json` of its ConfigMap, read by the agent, again whenever it changes.

And what it does hold, as the agent tells at `/status`.
"""

from __future__ import annotations

from pydantic import Field

from .base import ApiType, Digest
from .results import Failure

MODELS_KEY = "models.json"
MODELS_FOLDER = "/etc/modelpress/models"
RUN_FOLDER = "/run/modelpress"
"""Shared by the containers of a serving pod, in memory: the key of Triton's restricted APIs, `stopping`, `drained`."""
STORAGE_FOLDER = "/models"
"""What the agent has fetched, and Triton's model repository: written by the agent, read-only for Triton."""
REPOSITORY_FOLDER = f"{STORAGE_FOLDER}/repository"
"""Triton's model repository."""
REPOSITORY_POLL_SECONDS = 1
"""How often Triton looks into it for what the agent has put there."""
HIGHEST_VERSION = 100
"""Triton's number of a version that others are to be loaded beside: each of those gets the next lower number."""

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
    """Triton's number for it. Requests that name no version are answered by the highest one that is loaded."""
    revision: str | None = None
    """ModelRevision that it is of; none: the one whose name the pod's labels tell."""
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
    candidates: tuple[ServedModel, ...] = Field(default_factory=tuple)
    """Versions that are loaded and proved beside the model of the same name. Their numbers are lower than those of what
    answers, so that requests reach them only once they are moved to `models`."""


class HeldModel(ApiType):
    """One version of a model, as far as the pod has brought it."""

    name: str
    """Name by which clients ask for it."""
    version: int
    """Triton's number for it."""
    revision: str | None = None
    """As it was asked for."""
    manifest_digest: Digest
    """What manifest.json hashes to."""
    fetched: bool = False
    """Its files are in the pod, and are what the manifest says."""
    verified: bool = False
    """Triton holds it, and gave the judge's reference answers."""
    serves: bool = False
    """It answers requests, and no other version of its name is loaded that could."""
    failure: Failure | None = None
    """Why it is not verified."""


class PodAnswer(ApiType):
    """What the agent says at `/status`."""

    ready: bool
    """Whether the pod takes requests."""
    stopping: bool = False
    """Whether it is about to end."""
    proxy: bool = False
    """Whether Triton answers through the proxy."""
    models: tuple[HeldModel, ...] = ()
    """What is to answer."""
    candidates: tuple[HeldModel, ...] = ()
    """What is loaded beside it."""
