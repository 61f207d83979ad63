"""Where the agent and the proxy find things. The defaults are a serving pod's; tests move ports and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelpress.api.servingpod import (
    AGENT_PORT,
    ENVOY_ADMIN_PORT,
    GRPC_PORT,
    HTTP_PORT,
    METRICS_PORT,
    MODELS_FOLDER,
    MODELS_KEY,
    REPOSITORY_FOLDER,
    RUN_FOLDER,
    TRITON_GRPC_PORT,
    TRITON_HTTP_PORT,
    TRITON_METRICS_PORT,
)
from modelpress.api.tasks import TERMINATION_MESSAGE_PATH
from modelpress.triton.command import DRAINED_FILE, KEY_FILE, STOPPING_FILE
from modelpress.triton.config import Backend

DRAIN_DELAY_SECONDS = 5.0
"""From the pod's end being announced until no new connections come: endpoints travel to every node's kube-proxy."""
DRAIN_LIMIT_SECONDS = 20.0
"""Longest wait for connections to leave after that. Idle ones may stay; they are cut when it is over."""


@dataclass(frozen=True)
class Settings:
    """Folders, ports and delays of one serving pod."""

    models: Path = Path(MODELS_FOLDER)
    """Folder of models.json."""
    run: Path = Path(RUN_FOLDER)
    """Folder that the pod's containers share."""
    repository: Path = Path(REPOSITORY_FOLDER)
    """Triton's model repository."""
    backend: Backend = Backend.ONNXRUNTIME
    """Which backend runs ONNX in Triton's image."""
    termination_message: Path = Path(TERMINATION_MESSAGE_PATH)
    """Where a failure is written."""
    listen: str = "0.0.0.0"
    """Address of the open ports."""
    port_offset: int = 0
    """Added to every port, so that several pods' processes fit on one machine."""
    drain_delay: float = DRAIN_DELAY_SECONDS
    """Seconds between `stopping` and the drain."""
    drain_limit: float = DRAIN_LIMIT_SECONDS
    """Seconds that the drain may take after the delay."""

    @property
    def models_file(self) -> Path:
        """What the pod should hold."""
        return self.models / MODELS_KEY

    @property
    def key_file(self) -> Path:
        """Key of Triton's restricted APIs."""
        return self.run / KEY_FILE

    @property
    def stopping_file(self) -> Path:
        """Exists once the pod is to end."""
        return self.run / STOPPING_FILE

    @property
    def drained_file(self) -> Path:
        """Exists once no request is lost if the pod ends."""
        return self.run / DRAINED_FILE

    @property
    def envoy_file(self) -> Path:
        """Envoy's configuration."""
        return self.run / "envoy.json"

    @property
    def ports(self) -> Ports:
        """All ports, moved by the offset."""
        return Ports(
            *(
                port + self.port_offset
                for port in (
                    HTTP_PORT,
                    GRPC_PORT,
                    METRICS_PORT,
                    AGENT_PORT,
                    TRITON_HTTP_PORT,
                    TRITON_GRPC_PORT,
                    TRITON_METRICS_PORT,
                    ENVOY_ADMIN_PORT,
                )
            )
        )


@dataclass(frozen=True)
class Ports:
    """Ports of one serving pod."""

    http: int
    grpc: int
    metrics: int
    agent: int
    triton_http: int
    triton_grpc: int
    triton_metrics: int
    envoy_admin: int
