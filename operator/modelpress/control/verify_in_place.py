"""Asking a revision for the test data in the pods that serve, where there is no room for another one.

The pods load it beside what they serve, under a number that no request reaches which names none; a Job names it. Only
what passes takes over (`rollout/in_place.py`). A revision that serves already is asked as its clients ask it.
"""

from __future__ import annotations

from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.verification import VerificationRecord
from modelpress.control import asks, in_place, sets
from modelpress.control.asks import Place
from modelpress.control.draft import Draft
from modelpress.control.proof import Question
from modelpress.control.readiness import health
from modelpress.control.replicas import full_set
from modelpress.control.situations import pods_of
from modelpress.control.standing import Course, Standing


def ask(draft: Draft, revision: ModelRevision, stable: str, asked: Question, record: VerificationRecord) -> Standing:
    """Have the revision asked by a Job in the pods that serve `stable`, once all of them hold it."""
    name = revision.metadata.name
    asks.stop_all(draft, but=name)
    place = _place(draft, name, stable)
    job = asks.under_way(draft, revision, record, asked, place)
    if job is not None:
        return asks.watch(draft, job)
    if (standing := asks.held(draft, name)) is not None:
        return standing
    waits = _waits(draft, name, stable)
    if place is None or waits is not None:
        return Standing(Course.MOVING, Reason.VERIFYING, waits or f"The pods of {stable} are told to load {name}.")
    return asks.ask(draft, revision, record, asked, place)


def _place(draft: Draft, name: str, stable: str) -> Place | None:
    """Return where the revision is to be asked; None: pods were not told yet to load it."""
    service = sets.set_of(draft.observed, stable)
    if name == stable:
        return Place(service)
    number = sets.number_beside(draft.observed, service, name)
    return Place(service, number) if number is not None else None


def _waits(draft: Draft, name: str, stable: str) -> str | None:
    """Return why the revision is not asked yet, in a sentence; None: it may be."""
    if name == stable:
        return None if health(draft.observed, stable).ready else f"No pod of {name} answers, so none can be asked."
    own = pods_of(draft.observed, stable)
    found = in_place.progress(draft.observed, name, own)
    if found.whole(full_set(draft)):
        return None
    told = f"The pods of {stable} load {name} beside it, to be asked for the test data: {found.proved} of {found.pods}"
    return f"{told} proved it. {in_place.trouble(draft.observed, name, own)}".rstrip()
