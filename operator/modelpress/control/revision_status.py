"""The status of a ModelRevision: what was learnt of it in this round, and since when it has the traffic."""

from __future__ import annotations

from modelpress.api.resources import ModelRevision, ModelRevisionStatus, Rejection
from modelpress.api.verification import VerificationRecord
from modelpress.control.draft import Draft
from modelpress.control.ready import condition
from modelpress.control.revisions import served_at
from modelpress.control.standing import Finding


def write_down(
    draft: Draft,
    revision: ModelRevision,
    verified: Finding,
    record: VerificationRecord | None,
    rejected: Rejection | None,
) -> None:
    """Write down what was learnt of `revision`."""
    live = draft.observed.find("ModelRevision", revision.metadata.name)
    if live is None:
        return
    before = revision.status.conditions if revision.status else ()
    told = condition("Verified", verified, before, revision.metadata.generation, draft.now)
    status = ModelRevisionStatus(
        conditions=(told,), verification=record, rejected=rejected, served_at=served_at(draft, revision)
    )
    draft.set_status(live, status)


def write_down_traffic(draft: Draft, name: str) -> None:
    """Write down that the revision `name`, of which nothing else was learnt, has the traffic."""
    live, revision = draft.observed.find("ModelRevision", name), draft.revision(name)
    if live is not None and revision is not None and not draft.says_status(live):
        before = revision.status or ModelRevisionStatus()
        draft.set_status(live, before.model_copy(update={"served_at": served_at(draft, revision)}))
