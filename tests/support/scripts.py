"""What Jobs, pods and a Gateway do in the cluster in memory: scripts that a test may replace at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.models import NOON, a_publication, a_resolution, an_answer, stamp

from modelpress.api.results import Failure

ROLE, REVISION = "modelpress.io/role", "modelpress.io/revision"


@dataclass(frozen=True)
class Ends:
    """How a Job ends: with this exit code and message in the container of that name (the last one if empty)."""

    exit_code: int = 0
    message: str = ""
    container: str = ""
    pod: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    deadline: bool = False


@dataclass(frozen=True)
class Hangs:
    """A Job whose pod does not end. `pod`: what its status says."""

    pod: dict[str, Any] = field(default_factory=dict)


Script = Callable[[dict[str, Any]], Ends | Hangs]


def obliging(job: dict[str, Any]) -> Ends | Hangs:
    """Have every Job succeed."""
    role = job["metadata"]["labels"][ROLE]
    if role == "ask":
        return Ends(message=an_answer(job))
    return Ends(message=a_resolution() if role == "resolve" else a_publication())


def healthy(deployment: dict[str, Any], index: int) -> dict[str, Any]:
    """Have every serving pod become ready."""
    running = {"state": {"running": {"startedAt": stamp(NOON)}}, "restartCount": 0}
    return {
        "conditions": [{"type": "Ready", "status": "True"}],
        "initContainerStatuses": [{"name": "agent", **running}],
        "containerStatuses": [{"name": "triton", **running}],
    }


@dataclass(frozen=True)
class Requests:
    """What a pod gets to do: requests a second that succeed, their duration in milliseconds, and such that fail.

    `queued`: how much of the duration they wait in the queue.
    """

    good: float = 20.0
    milliseconds: float = 10.0
    bad: float = 0.0
    queued: float = 0.0


def accepting(_route: dict[str, Any]) -> dict[str, Any] | None:
    """Have the Gateway accept every route at once; None would mean that it says nothing."""
    return {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}


def steady(_pod: dict[str, Any]) -> Requests | None:
    """Have every pod answer twenty requests a second, and tell its counters; None would mean that it does not tell."""
    return Requests()


def loads(_pod: dict[str, Any], _revision: str) -> Failure | bool:
    """Have every pod prove what it is to load beside what it serves; False: it does not tell, a failure: it refuses."""
    return True
