"""The table of conditions: what each says, by how far things stand. Nothing else writes those of a CompressedModel.

| condition   | says |
| ----------- | ---- |
| Ready       | what the spec says is what answers |
| Available   | something answers, be it an older version |
| Reconciling | it goes on by itself (kstatus: InProgress) |
| Stalled     | a person must change something (kstatus: Failed) |
| Accepted    | the gates let the result pass |
| Verified    | pods gave the reference answers |
| Progressing | the version that the spec asks for is on its way, or has arrived |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelpress.api.reasons import Reason
from modelpress.api.resources import Condition
from modelpress.control.ready import condition
from modelpress.control.standing import Course, Finding, Standing

TYPES = ("Ready", "Available", "Reconciling", "Stalled", "Accepted", "Verified", "Progressing")


@dataclass(frozen=True, slots=True)
class Picture:
    """All that conditions are made of. `suspended`: `spec.suspend` is set."""

    standing: Standing
    available: Finding
    accepted: Finding
    verified: Finding
    suspended: bool = False


def conditions(picture: Picture, before: Iterable[Condition], generation: int, now: datetime) -> tuple[Condition, ...]:
    """Return all conditions for `picture`; `before` are those of the last round."""
    known = tuple(before)
    found = findings(picture)
    return tuple(condition(kind, found[kind], known, generation, now) for kind in TYPES)


def findings(picture: Picture) -> dict[str, Finding]:
    """Return what each condition says."""
    standing = picture.standing
    course, reason, message = standing.course, standing.reason, standing.message
    done = course is Course.DONE
    arrived = Finding("True", Reason.ROLLED_OUT, message)
    if done and picture.suspended:
        arrived = Finding("False", Reason.SUSPENDED, "spec.suspend is set: nothing new is started.")
    return {
        "Ready": Finding(_true(done), reason, message),
        "Available": picture.available,
        "Reconciling": Finding(_true(course in (Course.MOVING, Course.WAITING)), reason, message),
        "Stalled": Finding(_true(course is Course.STUCK), reason, message),
        "Accepted": picture.accepted,
        "Verified": picture.verified,
        "Progressing": arrived if done else Finding(_true(course is Course.MOVING), reason, message),
    }


def _true(holds: bool) -> Literal["True", "False"]:
    return "True" if holds else "False"
