"""What every pod of ours may do, which is little. Meets the Pod Security Standard `restricted`."""

from __future__ import annotations

from typing import Any

USER = 65532
"""User and group of every container."""


def pod_security_context() -> dict[str, Any]:
    """Return the security context of a pod: nobody's user, the runtime's default system calls."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> dict[str, Any]:
    """Return the security context of a container: no capabilities, no way to more, nothing to write on but volumes."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def without_identity(*containers: str) -> dict[str, str]:
    """Return annotations that keep cloud identities of the service account out of `containers` (EKS, Azure).

    Where the cloud gives identities over the network instead (GKE), they cannot be kept from one container of a pod.
    """
    return {
        "eks.amazonaws.com/skip-containers": ",".join(containers),
        "azure.workload.identity/skip-containers": ";".join(containers),
    }
