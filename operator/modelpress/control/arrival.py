"""How far the wanted revision is on its way to traffic, in one sentence. Pure."""

from __future__ import annotations

from modelpress.api.reasons import Reason
from modelpress.api.resources import Rejection
from modelpress.api.rollout import RolloutStatus
from modelpress.control import in_place
from modelpress.control.draft import Draft
from modelpress.control.readiness import Health, health
from modelpress.control.replicas import full_set, stable_size
from modelpress.control.routing import doubt, lacking
from modelpress.control.situations import pods_of
from modelpress.control.standing import Course, Standing
from modelpress.control.traffic import revision_behind
from modelpress.rollout.situation import Decision, Situation


def standing(
    draft: Draft,
    name: str,
    seen: Situation,
    rejected: Rejection | None,
    decision: Decision,
    status: RolloutStatus | None,
) -> Standing:
    """Return where the revision `name`, which the spec asks for, stands."""
    found = health(draft.observed, name)
    if rejected is not None:
        return Standing(Course.STUCK, rejected.reason, rejected.message)
    if name == seen.traffic.stable:
        return _of_current(draft, name, found)
    return _held(draft, name, seen) or _under_way(draft, name, found, seen, decision, status)


def _held(draft: Draft, name: str, seen: Situation) -> Standing | None:
    """Return that the user wants nothing started or moved, if so."""
    if not seen.held:
        return None
    if not (draft.suspended or draft.rollout.paused):
        return lacking(draft)
    field, reason = ("suspend", Reason.SUSPENDED) if draft.suspended else ("rollout.paused", Reason.PAUSED)
    does = "is not started"
    if seen.side(name).exists:
        does = "goes no further" if seen.traffic.beside is None else f"keeps its share beside {seen.traffic.stable}"
    return Standing(Course.HELD, reason, f"spec.{field} is set: {name} {does}.")


def _under_way(
    draft: Draft, name: str, found: Health, seen: Situation, decision: Decision, status: RolloutStatus | None
) -> Standing:
    if found.trouble is not None:
        return Standing(Course.WAITING, found.trouble.reason, f"{name} does not start: {found.trouble.message}")
    unrouted = doubt(draft) if decision.beside is not None else None
    if unrouted is not None and unrouted.course is Course.WAITING:
        return unrouted
    if decision.awaits and status is not None:
        return Standing(Course.HELD, Reason.AWAITING_PROMOTION, f"{status.message} {decision.awaits}")
    reason = Reason.ROLLING_OUT if seen.traffic.stable else Reason.STARTING
    starting = f"Starting {name}: {found.ready} of {found.wanted or full_set(draft)} pods answer."
    return Standing(Course.MOVING, reason, status.message if status is not None else starting)


def _arriving(draft: Draft, name: str) -> Standing | None:
    """Return that requests do not all come to `name` yet, though they are to; None: they do."""
    if revision_behind(draft.observed) != name:
        told = f"Pointing the Service {draft.model.metadata.name} at {name}."
        return Standing(Course.MOVING, Reason.ROLLING_OUT, told)
    own = pods_of(draft.observed, name)
    found = in_place.arrived(draft.observed, name, own)
    if found is None or found[0] == found[1]:
        return None
    told = f"{found[0]} of {found[1]} pods answer with {name}, which they proved; the others still do with the old one."
    trouble = in_place.trouble(draft.observed, name, own)
    return Standing(Course.MOVING, Reason.ROLLING_OUT, f"{told} {trouble}".rstrip())


def _of_current(draft: Draft, name: str, found: Health) -> Standing:
    if (moving := _arriving(draft, name)) is not None:
        return moving
    if found.settled and stable_size(draft) in (None, found.wanted):
        if found.wanted == 0:
            return Standing(Course.DONE, Reason.SCALED_TO_ZERO, f"{name} is scaled to zero, as asked.")
        pinned = " spec.rollout.pinRevision keeps it there." if draft.rollout.pin_revision == name else ""
        told = f"{name} answers from {found.ready} of {found.wanted} pods.{pinned}"
        return Standing(Course.DONE, Reason.SERVING, told)
    if found.verdict is not None:
        return Standing(Course.STUCK, found.verdict.reason, f"A pod of {name} fails: {found.verdict.message}")
    if found.trouble is not None:
        return Standing(
            Course.WAITING, found.trouble.reason, f"A pod of {name} does not start: {found.trouble.message}"
        )
    told = f"{found.ready} of {found.wanted} pods of {name} answer."
    return Standing(Course.WAITING, Reason.REPLICAS_NOT_READY, told)
