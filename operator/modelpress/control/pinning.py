"""`rollout.pinRevision`: a revision that was made before is served, whatever the rest of the spec asks for."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api.reasons import Reason
from modelpress.control.draft import Draft
from modelpress.control.revisions import all_revisions
from modelpress.control.standing import Course, Standing
from modelpress.control.way import Way


def pin(draft: Draft, way: Way) -> Way:
    """Return `way`, ending at the pinned revision if there is one. What the spec asks for is made all the same."""
    name = draft.rollout.pin_revision
    if name is None:
        return way
    revision = draft.revision(name)
    if revision is not None:
        return replace(way, standing=None, revision=revision, rejected=None, doubt=None)
    there = ", ".join(item.metadata.name for item in all_revisions(draft)) or "none"
    told = f"spec.rollout.pinRevision names {name}, which is not there; the revisions of this model are: {there}."
    return replace(way, standing=Standing(Course.STUCK, Reason.REVISION_NOT_FOUND, told), revision=None)
