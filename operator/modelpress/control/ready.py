"""Conditions of ModelArtifact and ModelRevision, and how one condition follows another."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from modelpress.api.reasons import Reason
from modelpress.api.resources import Condition, ModelArtifactStatus
from modelpress.control import clock
from modelpress.control.standing import Course, Finding, Standing


def condition(kind: str, found: Finding, before: Iterable[Condition], generation: int, now: datetime) -> Condition:
    """Return the condition `kind`. Its transition time moves only when its status does."""
    old = next((item for item in before if item.type == kind), None)
    since = old.last_transition_time if old is not None and old.status == found.status else clock.show(now)
    return Condition(
        type=kind,
        status=found.status,
        reason=found.reason,
        message=found.message,
        last_transition_time=since,
        observed_generation=generation,
    )


def set_ready(
    status: ModelArtifactStatus, generation: int, standing: Standing | None, now: datetime
) -> ModelArtifactStatus:
    """Return `status` with the condition Ready of an artifact.

    Files are in the store, and measured as the spec asks.
    """
    if standing is None:
        found = Finding("True", Reason.COMPRESSED, "The files are in the store, and measured.")
    elif standing.course is Course.HELD:
        return status
    else:
        found = Finding("False", standing.reason, standing.message)
    return status.model_copy(update={"conditions": (condition("Ready", found, status.conditions, generation, now),)})
