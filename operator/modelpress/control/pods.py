"""What pods tell of themselves: how their containers ended, and what keeps them from running. Pure.

A termination message may come from a container that runs tenants' code. It is shown to people and decides about that
tenant's own model at most; so it is cut to a sentence's length and stripped of control characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.results import Failure
from modelpress.control import clock
from modelpress.control.plan import Manifest
from modelpress.control.standing import Trouble

SENTENCE_LIMIT = 1000
"""Characters of a message that are shown."""

IMAGE_TROUBLES = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
    }
)
QUIET = frozenset({"", "PodInitializing", "ContainerCreating", "CrashLoopBackOff"})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended. `failure` is what it said of that, if it said so in our form."""

    container: str
    exit_code: int
    reason: str
    message: str
    finished_at: str

    @property
    def failure(self) -> Failure | None:
        """What a container of ours says when it fails."""
        try:
            told = Failure.model_validate_json(self.message)
        except ValidationError:
            return None
        return Failure(reason=told.reason, message=full_sentence(sentence(told.message)))


def sentence(text: str) -> str:
    """Return `text` as one line that people can read, cut to a length they will."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= SENTENCE_LIMIT else line[: SENTENCE_LIMIT - 1] + "…"


def full_sentence(text: str) -> str:
    """Return `text` with a full stop, so that another sentence may follow."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def container_statuses(pod: Manifest) -> list[dict[str, Any]]:
    """Return the statuses of all containers in the order in which they start."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def endings(pod: Manifest) -> list[Ending]:
    """Return how containers of `pod` have ended, in the order in which they start."""
    return [ending for status in container_statuses(pod) if (ending := _ending(status, "state")) is not None]


def last_endings(pod: Manifest) -> list[Ending]:
    """Return how each container of a pod that restarts its containers ended last, if it ever did."""
    found = (_ending(status, "state") or _ending(status, "lastState") for status in container_statuses(pod))
    return [ending for ending in found if ending is not None]


def _ending(status: dict[str, Any], which: str) -> Ending | None:
    over = (status.get(which) or {}).get("terminated")
    if not over:
        return None
    return Ending(
        container=status["name"],
        exit_code=int(over.get("exitCode", 0)),
        reason=str(over.get("reason") or ""),
        message=str(over.get("message") or ""),
        finished_at=str(over.get("finishedAt") or ""),
    )


def has_run(pod: Manifest) -> bool:
    """Say whether any container of `pod` ever started."""
    states = (status.get(which) or {} for status in container_statuses(pod) for which in ("state", "lastState"))
    return any("running" in state or "terminated" in state for state in states)


def is_leaving(pod: Manifest) -> bool:
    """Say whether `pod` was told to end."""
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Manifest) -> bool:
    """Say whether `pod` answers."""
    return _condition(pod, "Ready").get("status") == "True" and not is_leaving(pod)


def has_stopped_answering(pod: Manifest) -> bool:
    """Say whether `pod` answered and does not any more, though all of its containers run.

    A pod that never was ready became unready when it was made, before any container of it started.
    """
    changed = _condition(pod, "Ready").get("lastTransitionTime")
    running = [(status.get("state") or {}).get("running") for status in container_statuses(pod)]
    if _condition(pod, "Ready").get("status") != "False" or not changed or not running or not all(running):
        return False
    started = [str(state.get("startedAt") or "") for state in running if state]
    return all(started) and clock.parse(str(changed)) > max(clock.parse(time) for time in started)


def trouble(pod: Manifest) -> Trouble | None:
    """Return what keeps `pod` from running, if it is something that people should know."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        told = sentence(str(scheduled.get("message") or "no node fits"))
        return Trouble(Reason.POD_UNSCHEDULABLE, f"No node takes the pod {pod['metadata']['name']}: {told}")
    return next(_waiting(pod), None)


def _waiting(pod: Manifest) -> Iterator[Trouble]:
    for status in container_statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, told = str(waiting.get("reason") or ""), sentence(str(waiting.get("message") or ""))
        if reason in IMAGE_TROUBLES:
            yield Trouble(
                Reason.IMAGE_UNAVAILABLE,
                f"The image {status.get('image') or '?'} of container {status['name']} cannot be had: {told or reason}",
            )
        elif reason not in QUIET:
            yield Trouble(Reason.WAITING, f"Container {status['name']} does not start: {reason}: {told}")


def _condition(pod: Manifest, kind: str) -> dict[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def eviction(pod: Manifest) -> Trouble | None:
    """Return why the cluster ended `pod` before its containers did, if it did."""
    status = pod.get("status") or {}
    told = sentence(str(status.get("message") or ""))
    if status.get("reason") == "Evicted":
        scratch = "ephemeral" in told.lower() or "emptydir" in told.lower()
        return Trouble(Reason.OUT_OF_SCRATCH if scratch else Reason.CRASHED, f"The pod was evicted: {told}")
    disruption = _condition(pod, "DisruptionTarget")
    if disruption.get("status") == "True":
        why = sentence(str(disruption.get("message") or disruption.get("reason") or ""))
        return Trouble(Reason.NODE_LOST, f"The pod was taken from its node: {why}")
    if status.get("reason") in {"NodeLost", "NodeShutdown", "Terminated", "Shutdown"}:
        return Trouble(Reason.NODE_LOST, f"The pod's node went away: {told or status['reason']}")
    return None
