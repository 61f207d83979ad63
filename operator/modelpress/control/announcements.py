"""Events: one for each change that a person wants to hear of, in the words of the condition that says the same."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api.reasons import Reason
from modelpress.api.resources import CompressedModelStatus, Condition
from modelpress.control.draft import Draft
from modelpress.control.standing import Course, Standing

USUAL = frozenset({Reason.REPLICAS_NOT_READY, Reason.WAITING})
"""Reasons to wait that are part of every start."""


def announce(draft: Draft, new: CompressedModelStatus, standing: Standing) -> None:
    """Ask for Events on what `new` says that the last status did not."""
    before, after = _by_type(draft.old), _by_type(new)
    if _turned(before, after, "Accepted", "True"):
        draft.note("Normal", Reason.GATES_PASSED, after["Accepted"].message)
    if new.current_revision and new.current_revision != draft.old.current_revision:
        draft.note("Normal", Reason.ROLLED_OUT, f"{new.current_revision} answers.")
    ready = before.get("Ready")
    same_reason = ready is not None and ready.reason == standing.reason and ready.status == "False"
    if (
        standing.course is Course.STUCK
        and not (same_reason and ready is not None and ready.message == standing.message)
    ) or (standing.course is Course.WAITING and not same_reason and standing.reason not in USUAL):
        draft.note("Warning", standing.reason, standing.message)
    elif standing.course is Course.HELD and not same_reason:
        draft.note("Normal", standing.reason, standing.message)


def _by_type(status: CompressedModelStatus) -> Mapping[str, Condition]:
    return {condition.type: condition for condition in status.conditions}


def _turned(before: Mapping[str, Condition], after: Mapping[str, Condition], kind: str, status: str) -> bool:
    """Say whether condition `kind` has this status now, and said something else before."""
    old, new = before.get(kind), after[kind]
    return new.status == status and (old is None or old.status != status or old.message != new.message)
