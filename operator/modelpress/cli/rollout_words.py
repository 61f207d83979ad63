"""What the rollout commands say and write: from a CompressedModel and its revisions to lines and fields. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelpress.api.resources import CompressedModelStatus, ModelRevisionStatus
from modelpress.api.rollout import ActionKind
from modelpress.control.reading import lenient

Manifest = Mapping[str, Any]


class NothingToDoError(Exception):
    """What was asked for does not fit how things stand. The message says why, and what would."""


def status_of(model: Manifest) -> CompressedModelStatus:
    """Return the status, as far as this version can read it."""
    return lenient(CompressedModelStatus, model.get("status") or {})


def line(model: Manifest) -> str:
    """Return how things stand, in one line: the reason and message of Ready, and the figures of the present step."""
    status = status_of(model)
    ready = _condition(status, "Ready")
    if ready is None or status.observed_generation != model["metadata"]["generation"]:
        return "The operator has not looked at this spec yet."
    figures = status.rollout.analysis if status.rollout is not None else None
    told = f" [{figures.outcome}: {figures.message}]" if figures is not None else ""
    return f"{ready.reason}: {ready.message}{told}"


def verdict(model: Manifest) -> bool | None:
    """Return whether the rollout is over: True when the spec is served, False when a person must act; None: neither."""
    status = status_of(model)
    ready, stalled = _condition(status, "Ready"), _condition(status, "Stalled")
    if ready is None or status.observed_generation != model["metadata"]["generation"]:
        return None
    if ready.status == "True":
        return True
    return False if stalled is not None and stalled.status == "True" else None


def decision(model: Manifest, kind: ActionKind, revision: str | None) -> dict[str, Any]:
    """Return the fields that promote or abort `revision`, by default the candidate. Raises NothingToDoError."""
    candidate = status_of(model).candidate_revision
    chosen = revision or candidate
    if chosen is None:
        raise NothingToDoError("There is no candidate: no new revision is on its way. `undo` returns to an older one.")
    if chosen != candidate:
        raise NothingToDoError(f"{chosen} is not the candidate, {candidate or 'nobody'} is: it would mean nothing.")
    return {"action": {"revision": chosen, "do": kind.value}}


def undo(model: Manifest, revisions: Iterable[Manifest], revision: str | None) -> dict[str, Any]:
    """Return the fields that pin `revision`: by default what serves beside a candidate, else what served before.

    Raises NothingToDoError.
    """
    known = {item["metadata"]["name"]: lenient(ModelRevisionStatus, item.get("status") or {}) for item in revisions}
    if revision is not None and revision not in known:
        raise NothingToDoError(f"There is no revision {revision}; there are: {', '.join(known) or 'none'}.")
    current, candidate = status_of(model).current_revision, status_of(model).candidate_revision
    served = {name: str(status.served_at) for name, status in known.items() if name != current and _served(status)}
    chosen = revision or (current if candidate is not None else max(served, key=served.__getitem__, default=None))
    if chosen is None:
        raise NothingToDoError(
            "There is no other revision that served; `--to` takes any one that `history` lists, and "
            "rollout.revisionHistoryLimit says how many stay."
        )
    return {"pinRevision": chosen}


def retry(model: Manifest, token: str) -> dict[str, Any]:
    """Return the fields that have what was rejected tried again; an action that aborted it is taken back."""
    action = ((model.get("spec") or {}).get("rollout") or {}).get("action") or {}
    return {"retryToken": token} | ({"action": None} if action.get("do") == ActionKind.ABORT else {})


def history(model: Manifest, revisions: Iterable[Manifest]) -> list[tuple[str, str, str, str]]:
    """Return name, time, artifact and state of each revision."""
    status = status_of(model)
    rows = []
    for item in revisions:
        name, found = item["metadata"]["name"], lenient(ModelRevisionStatus, item.get("status") or {})
        states = [
            "serves" if name == status.current_revision else "",
            "is to serve next" if name == status.candidate_revision else "",
            f"rejected: {found.rejected.reason}" if found.rejected is not None else "",
            _past(found) if name not in (status.current_revision, status.candidate_revision) else "",
        ]
        said = ", ".join(state for state in states if state)
        rows.append((name, str(item["metadata"]["creationTimestamp"]), str(item["spec"]["artifact"]), said))
    return rows


def _served(status: ModelRevisionStatus) -> bool:
    """Say whether a revision had all traffic once, and nothing speaks against it since."""
    return status.served_at is not None and status.rejected is None


def _past(status: ModelRevisionStatus) -> str:
    """Return what was seen of a revision that neither serves nor is to."""
    if status.served_at is not None:
        return f"served from {status.served_at}"
    if status.rejected is not None:
        return ""
    verified = any(item.type == "Verified" and item.status == "True" for item in status.conditions)
    return "answered, never served" if verified else "never answered"


def _condition(status: CompressedModelStatus, kind: str) -> Any:
    return next((item for item in status.conditions if item.type == kind), None)
