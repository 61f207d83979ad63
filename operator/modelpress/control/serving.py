"""What serves, and what is to serve next: the objects of both, and the step of the rollout from the one to the other.

Which revision serves is read off the main Service, since that is where traffic goes; `status.currentRevision` stands
in only while the Service is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision, ModelRevisionStatus, Rejection
from modelpress.control import clock, marks
from modelpress.control.draft import Draft
from modelpress.control.readiness import Health, health
from modelpress.control.ready import condition
from modelpress.control.revisions import rejection_of, verdict_key
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.traffic import availability, main_service, revision_behind, serving_now
from modelpress.control.upkeep import keep_up, replicas, retire, revisions_with_objects
from modelpress.rollout.replace import Side, Step, replace


@dataclass(frozen=True, slots=True)
class Served:
    """What this round found and left of serving.

    `standing`: how far the wanted revision is; None if none is wanted yet.
    """

    current: str | None
    candidate: str | None
    health: Health
    available: Finding
    verified: Finding
    standing: Standing | None
    rejected: Rejection | None = None


def serve(draft: Draft, wanted: ModelRevision | None, artifact: str | None) -> Served:
    """Keep up what serves, and bring `wanted` to take over from it.

    `artifact`: name of the one that the spec asks for, if known.
    """
    observed = draft.observed
    main = serving_now(observed)
    rejected = rejection_of(draft, wanted) if wanted is not None and wanted.metadata.name != main else None
    candidate = wanted.metadata.name if wanted is not None and rejected is None else None
    step = _next_step(draft, main, candidate, artifact)
    keep_up(draft, step, wanted if step.start and candidate else None)
    for name in step.retire:
        retire(draft, name)
    if wanted is not None and rejected is not None:
        retire(draft, wanted.metadata.name)
    current = health(observed, main) if main else Health()
    if wanted is None:
        unknown = Finding("Unknown", Reason.WAITING, "There is no revision of this spec yet.")
        return Served(main, None, current, availability(observed), unknown, None)
    if rejected is None and candidate != main:
        rejected = _judge(draft, wanted)
    verified = _verified(draft, wanted, rejected)
    standing = _standing(draft, wanted, main, rejected)
    _record(draft, wanted, verified, rejected)
    other = None if wanted.metadata.name == main else wanted.metadata.name
    return Served(main, other, current, availability(observed), verified, standing, rejected)


def _next_step(draft: Draft, main: str | None, candidate: str | None, artifact: str | None) -> Step:
    running = revisions_with_objects(draft)
    service = main_service(draft.observed)
    switched = marks.mark(service, marks.SWITCHED_AT) if service is not None else ""
    step = replace(
        {name: _side(draft, name) for name in running},
        main=main,
        switched_at=clock.parse(switched) if switched else None,
        candidate=candidate,
        abandoned=tuple(name for name, made_of in running.items() if artifact is not None and made_of != artifact),
        held=draft.suspended or draft.rollout.paused,
        now=draft.now,
    )
    if step.look_again is not None:
        draft.look_again(step.look_again)
    return step


def _side(draft: Draft, name: str) -> Side:
    found = health(draft.observed, name)
    going = found.deployment is not None and draft.is_going(found.deployment)
    return Side(exists=True, ready=not going and _side_is_as_asked(draft, found))


def _judge(draft: Draft, wanted: ModelRevision) -> Rejection | None:
    """Return the rejection of a candidate whose pods say that it will not do."""
    found = health(draft.observed, wanted.metadata.name)
    if found.verdict is None:
        return None
    hint = "Correct that, or change spec.rollout.retryToken to have it tried again."
    return Rejection(
        artifact=wanted.spec.artifact,
        judged_by=verdict_key(draft),
        reason=found.verdict.reason,
        message=f"{wanted.metadata.name} is not served: {found.verdict.message} {hint}",
    )


def _verified(draft: Draft, wanted: ModelRevision, rejected: Rejection | None) -> Finding:
    if rejected is not None:
        return Finding("False", rejected.reason, rejected.message)
    before = (
        next((item for item in wanted.status.conditions if item.type == "Verified"), None) if wanted.status else None
    )
    if health(draft.observed, wanted.metadata.name).ready or (before is not None and before.status == "True"):
        told = f"Pods of {wanted.metadata.name} gave the reference answers."
        return Finding("True", Reason.REFERENCE_ANSWERS_REPRODUCED, told)
    return Finding("Unknown", Reason.STARTING, f"No pod of {wanted.metadata.name} has answered yet.")


def _standing(draft: Draft, wanted: ModelRevision, main: str | None, rejected: Rejection | None) -> Standing:
    """Return how far `wanted` is on its way to traffic."""
    name = wanted.metadata.name
    found = health(draft.observed, name)
    if rejected is not None:
        return Standing(Course.STUCK, rejected.reason, rejected.message)
    if name == main:
        return _standing_of_current(draft, name, found)
    if draft.suspended:
        return Standing(Course.HELD, Reason.SUSPENDED, f"spec.suspend is set: {name} is not started.")
    if draft.rollout.paused:
        return Standing(Course.HELD, Reason.PAUSED, f"spec.rollout.paused is set: {name} is prepared and not started.")
    if found.trouble is not None:
        return Standing(Course.WAITING, found.trouble.reason, f"{name} does not start: {found.trouble.message}")
    reason = Reason.ROLLING_OUT if main else Reason.STARTING
    return Standing(
        Course.MOVING, reason, f"Starting {name}: {found.ready} of {found.wanted or replicas(draft)} pods answer."
    )


def _standing_of_current(draft: Draft, name: str, found: Health) -> Standing:
    if revision_behind(main_service(draft.observed)) != name:
        return Standing(
            Course.MOVING, Reason.ROLLING_OUT, f"Pointing the Service {draft.model.metadata.name} at {name}."
        )
    if _side_is_as_asked(draft, found):
        if found.wanted == 0:
            return Standing(Course.DONE, Reason.SCALED_TO_ZERO, f"{name} is scaled to zero, as asked.")
        return Standing(Course.DONE, Reason.SERVING, f"{name} answers from {found.ready} of {found.wanted} pods.")
    if found.verdict is not None:
        return Standing(Course.STUCK, found.verdict.reason, f"A pod of {name} fails: {found.verdict.message}")
    if found.trouble is not None:
        return Standing(
            Course.WAITING, found.trouble.reason, f"A pod of {name} does not start: {found.trouble.message}"
        )
    told = f"{found.ready} of {found.wanted} pods of {name} answer."
    return Standing(Course.WAITING, Reason.REPLICAS_NOT_READY, told)


def _side_is_as_asked(draft: Draft, found: Health) -> bool:
    asked = draft.model.spec.serving.replicas if draft.model.spec.serving else None
    return found.settled and asked in (None, found.wanted)


def _record(draft: Draft, wanted: ModelRevision, verified: Finding, rejected: Rejection | None) -> None:
    """Write down what was learnt of `wanted`."""
    live = draft.observed.find("ModelRevision", wanted.metadata.name)
    if live is None:
        return
    before = wanted.status.conditions if wanted.status else ()
    told = condition("Verified", verified, before, wanted.metadata.generation, draft.now)
    draft.set_status(live, ModelRevisionStatus(conditions=(told,), rejected=rejected))
