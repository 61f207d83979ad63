"""Where the agent and the proxy find things, and how they behave: the pod's task, and options that only tests move."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from modelpress.api.servingpod import (
    AGENT_PORT,
    DRAINED_FILE,
    ENVOY_ADMIN_PORT,
    GRPC_PORT,
    HTTP_PORT,
    KEY_FILE,
    METRICS_PORT,
    MODELS_FOLDER,
    MODELS_KEY,
    REPOSITORY_FOLDER,
    RUN_FOLDER,
    STOPPING_FILE,
    TRITON_GRPC_PORT,
    TRITON_HTTP_PORT,
    TRITON_METRICS_PORT,
)
from modelpress.api.tasks import TERMINATION_MESSAGE_PATH, AgentTask
from modelpress.store.locations import in_root

DRAIN_DELAY_SECONDS = 5.0
"""From the pod's end being announced until no new connections come: endpoints travel to every node's kube-proxy.

A pod stays for so long, even if no connection is left."""


@dataclass(frozen=True)
class Ports:
    """Ports of one serving pod."""

    http: int = HTTP_PORT
    grpc: int = GRPC_PORT
    metrics: int = METRICS_PORT
    agent: int = AGENT_PORT
    triton_http: int = TRITON_HTTP_PORT
    triton_grpc: int = TRITON_GRPC_PORT
    triton_metrics: int = TRITON_METRICS_PORT
    envoy_admin: int = ENVOY_ADMIN_PORT

    def moved(self, offset: int) -> Ports:
        """Return these ports, each plus `offset`."""
        return Ports(**{name: port + offset for name, port in vars(self).items()})


@dataclass(frozen=True)
class Settings:
    """One serving pod. Folders are looked for below the variable MODELPRESS_ROOT, if it is set."""

    task: AgentTask = field(default_factory=AgentTask)
    """What the operator told the pod."""
    listen: str = "0.0.0.0"
    """Address of the open ports."""
    port_offset: int = 0
    """Added to every port, so that several pods' processes fit on one machine."""
    drain_delay: float = DRAIN_DELAY_SECONDS
    """Seconds after `stopping` for which new connections may still come."""

    @property
    def ports(self) -> Ports:
        """All ports, moved by the offset."""
        return Ports().moved(self.port_offset)

    @property
    def models_file(self) -> Path:
        """What the pod should hold."""
        return in_root(MODELS_FOLDER) / MODELS_KEY

    @property
    def repository(self) -> Path:
        """Triton's model repository."""
        return in_root(REPOSITORY_FOLDER)

    @property
    def fetched(self) -> Path:
        """What was fetched from stores, on the repository's file system."""
        return self.repository.parent / "fetched"

    @property
    def run(self) -> Path:
        """Folder that the pod's containers share."""
        return in_root(RUN_FOLDER)

    @property
    def key_file(self) -> Path:
        """Key of Triton's restricted APIs."""
        return in_root(KEY_FILE)

    @property
    def stopping_file(self) -> Path:
        """Exists once the pod is to end."""
        return in_root(STOPPING_FILE)

    @property
    def drained_file(self) -> Path:
        """Exists once no request is lost if the pod ends."""
        return in_root(DRAINED_FILE)

    @property
    def envoy_file(self) -> Path:
        """Envoy's configuration."""
        return self.run / "envoy.json"

    @property
    def termination_message(self) -> Path:
        """Where a failure is written."""
        return in_root(TERMINATION_MESSAGE_PATH)
