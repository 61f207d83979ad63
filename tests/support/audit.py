"""Who wrote what in the local cluster, by the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OPERATOR = "system:serviceaccount:modelpress-system:modelpress"
_RECEIVED = '"requestReceivedTimestamp":"'
HPA_CONTROLLER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"


@dataclass(frozen=True)
class Write:
    """One write, carried out or refused."""

    at: float
    """Seconds since the epoch."""
    user: str
    verb: str
    resource: str
    """With its subresource, if there is one: deployments/scale."""
    name: str


def writes(audit_log: Path, namespaces: Collection[str], since: float) -> list[Write]:
    """Return the writes to objects of `namespaces` since `since` (seconds since the epoch), in the order of the log.

    The namespace of what belongs to none is empty. Reads are not in the log.
    """
    found = [_write(entry) for entry in _entries(audit_log, since) if _namespace(entry) in namespaces]
    return [write for write in found if write.at >= since]


def _namespace(entry: dict[str, Any]) -> str:
    return str(entry.get("objectRef", {}).get("namespace", ""))


def _write(entry: dict[str, Any]) -> Write:
    reference = entry.get("objectRef", {})
    at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
    resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
    return Write(at, entry["user"]["username"], entry["verb"], resource, reference.get("name", ""))


def _entries(audit_log: Path, since: float) -> Iterator[dict[str, Any]]:
    """Read what was received since `since`; of older lines, which are many, nothing but their time is looked at."""
    first = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")[:19]
    with audit_log.open() as lines:
        for line in lines:
            received = line.find(_RECEIVED) + len(_RECEIVED)
            if line.endswith("\n") and line[received : received + 19] >= first:  # the last one may still be on its way
                yield json.loads(line)
