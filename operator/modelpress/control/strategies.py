"""Which way a candidate goes: as the spec says, or as the room that there is allows. Pure.

`Auto` asks nobody what is free: it starts a canary, and the scheduler answers. If no node takes its pod within
PATIENCE, or a quota forbids it, and the pods that are there can load it, they do. What was chosen stays chosen for
this candidate; it stands in `status.rollout`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.rollout import Strategy
from modelpress.control import clock, in_place, pods
from modelpress.control.draft import Draft
from modelpress.control.readiness import Health, health, pods_of
from modelpress.control.sets import revision_in, set_of
from modelpress.control.traffic import serving_now

PATIENCE = timedelta(seconds=30)
"""How long a pod may wait for a node before another way is taken."""
NO_ROOM = (Reason.POD_UNSCHEDULABLE, Reason.REPLICAS_NOT_READY)
"""Troubles that mean that the cluster has no room: no node fits, or a quota is used up."""


def chosen(draft: Draft, candidate: ModelRevision | None) -> tuple[Strategy, str]:
    """Return the strategy for `candidate`, and why, if that is not what the spec says."""
    asked, stable = draft.rollout.strategy, serving_now(draft.observed)
    if candidate is None or stable is None or stable == candidate.metadata.name:
        return (Strategy.CANARY if asked is Strategy.AUTO else asked), ""
    name = candidate.metadata.name
    if set_of(draft.observed, stable) == name and revision_in(draft.observed, name) == stable:
        return Strategy.IN_PLACE, f"The pods that {name} was made for serve {stable}, so they load it again."
    if draft.rollout.pin_revision is not None and asked in (Strategy.CANARY, Strategy.AUTO):
        return Strategy.BLUE_GREEN, ""  # it is no news: it served before, and somebody waits for it
    if asked is Strategy.AUTO:
        return _by_room(draft, stable, candidate)
    return asked, ""


def _by_room(draft: Draft, stable: str, candidate: ModelRevision) -> tuple[Strategy, str]:
    name, before = candidate.metadata.name, draft.old.rollout
    if before is not None and (before.candidate, before.strategy) == (name, Strategy.IN_PLACE):
        return Strategy.IN_PLACE, before.chosen
    own = [health(draft.observed, name, role) for role in (names.ROLE_SERVE, names.ROLE_VERIFY)]
    found = next((item for item in own if item.trouble is not None), Health())
    since = _waiting_since(draft, found)
    if found.trouble is None or found.trouble.reason not in NO_ROOM or since is None:
        return Strategy.CANARY, "Auto chose Canary; if there is no room for its pod, the pods that are there load it."
    if draft.now < since + PATIENCE:
        draft.look_again(since + PATIENCE)
        return Strategy.CANARY, "Auto chose Canary; its pod finds no room yet."
    against = in_place.incompatible(draft, stable, candidate)
    if against is not None:
        told = f"there is no room, but InPlace is not possible: {against}"
        return Strategy.CANARY, f"Auto stays with Canary: {told}."
    return Strategy.IN_PLACE, f"Auto chose InPlace: {pods.full_sentence(found.trouble.message)}"


def _waiting_since(draft: Draft, found: Health) -> datetime | None:
    """Return since when a pod waits for a node, or its Deployment for a pod."""
    if found.deployment is None:
        return None
    waiting = [pod for pod in pods_of(draft.observed, found.deployment) if pods.trouble(pod) is not None]
    times = [item["metadata"].get("creationTimestamp") for item in waiting or [found.deployment]]
    return min((clock.parse(str(text)) for text in times if text), default=None)
