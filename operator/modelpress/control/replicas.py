"""How many pods make a full set, and who says so. A candidate's number follows from it."""

from __future__ import annotations

from modelpress.control.autoscaling import fewest
from modelpress.control.draft import Draft
from modelpress.control.sets import set_of
from modelpress.control.traffic import serving_now


def stable_size(draft: Draft) -> int | None:
    """Return how many pods the stable set is to have; None: whoever scales it decides, and it is left as it is."""
    return draft.model.spec.serving.replicas if draft.model.spec.serving else None


def full_set(draft: Draft) -> int:
    """Return how many pods a full set has now: as the spec says, else as many as serve, or did when last seen."""
    asked = stable_size(draft)
    if asked is not None:
        return asked
    main = serving_now(draft.observed)
    live = draft.observed.find("Deployment", set_of(draft.observed, main)) if main else None
    if live is not None and not draft.is_going(live):
        return max(int(live["spec"].get("replicas", 1)), fewest(draft))
    before = draft.old.rollout.replicas if draft.old.rollout is not None else 0
    return max(before or max(1, draft.old.replicas), fewest(draft))
