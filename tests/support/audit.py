"""Who wrote what in the local cluster, by the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

OPERATOR = "system:serviceaccount:modelpress-system:modelpress"
HPA_CONTROLLER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


@dataclass(frozen=True)
class Write:
    """One write that the API server carried out."""

    at: float
    """Seconds since the epoch."""
    user: str
    verb: str
    resource: str
    """With its subresource, if there is one: deployments/scale."""
    name: str


def writes(audit_log: Path, namespace: str, since: float) -> list[Write]:
    """Return the writes to objects of `namespace` since `since` (seconds since the epoch), in the order of the log."""
    found = (_write(entry) for entry in _entries(audit_log) if _is_carried_out(entry, namespace))
    return [write for write in found if write.at >= since]


def _is_carried_out(entry: dict[str, Any], namespace: str) -> bool:
    code = entry.get("responseStatus", {}).get("code", 0)
    return entry.get("objectRef", {}).get("namespace") == namespace and 200 <= code < 300


def _write(entry: dict[str, Any]) -> Write:
    reference = entry["objectRef"]
    at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    return Write(at, entry["user"]["username"], entry["verb"], resource, reference.get("name", ""))


def _entries(audit_log: Path) -> Iterator[dict[str, Any]]:
    with audit_log.open() as lines:
        for line in lines:
            if line.endswith("\n"):  # the last one may still be on its way
                yield json.loads(line)
