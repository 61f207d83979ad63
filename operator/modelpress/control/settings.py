"""What the operator is told when it starts: where it watches, how it elects, how patient it is.

Checked once, frozen after. What it makes of a model (images, defaults) is elsewhere: render/installation.py.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field
from pathlib import Path

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class BadSettingsError(ValueError):
    """The settings contradict each other.

    The message says which, and what would do.
    """


def own_namespace() -> str:
    """Return the namespace this process runs in; `default` outside a cluster."""
    file = SERVICE_ACCOUNT / "namespace"
    return file.read_text().strip() if file.exists() else "default"


def own_identity() -> str:
    """Return who holds the Lease: the pod's name, so that a restarted container leads on at once; elsewhere a name
    used once."""
    host = socket.gethostname()
    return host if SERVICE_ACCOUNT.exists() else f"{host}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds."""

    namespace: str = field(default_factory=own_namespace)
    watch_namespaces: tuple[str, ...] = ()
    kubeconfig: str = field(default_factory=lambda: os.environ.get("KUBECONFIG", ""))
    installation: Path = Path("/etc/modelpress/installation.yaml")
    lease_name: str = "modelpress"
    identity: str = field(default_factory=own_identity)
    lease_duration: float = 30.0
    renew_deadline: float = 20.0
    retry_period: float = 4.0
    request_timeout: float = 8.0
    requests_per_second: float = 50.0
    workers: int = 8
    resync: float = 600.0
    watch_timeout: float = 30.0
    watch_silence: float = 75.0
    progress_interval: float = 30.0
    counts_interval: float = 5.0
    prometheus: str = ""
    http_host: str = "0.0.0.0"
    http_port: int = 8080
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Refuse times that would let two operators write at once, or a health probe cry wolf.

        Raises BadSettingsError.
        """
        if self.renew_deadline + self.request_timeout >= self.lease_duration:
            raise BadSettingsError("lease_duration must be longer than renew_deadline and request_timeout together")
        if self.request_timeout >= self.renew_deadline or self.retry_period >= self.renew_deadline:
            raise BadSettingsError("renew_deadline must be longer than request_timeout and than retry_period")
        if self.watch_timeout >= self.watch_silence:
            raise BadSettingsError(
                "watch_silence must be longer than watch_timeout: a live watch gives a sign once in that time"
            )

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """Where to watch: each namespace, or (None,) for the whole cluster."""
        return self.watch_namespaces or (None,)
