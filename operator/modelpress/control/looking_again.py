"""When is it time to look at the source again?

After `update.interval`, and when a Job found something else there than was said.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from modelpress.api import names
from modelpress.api.durations import seconds
from modelpress.api.reasons import Reason
from modelpress.control import clock, jobs
from modelpress.control.draft import Draft

LEAST_INTERVAL = 10.0
"""Seconds that `update.interval` is at least taken for."""


def interval(draft: Draft) -> timedelta | None:
    """Return `update.interval`, if the source is to be looked at again at all."""
    update = draft.model.spec.update
    return timedelta(seconds=max(LEAST_INTERVAL, seconds(update.interval))) if update else None


def is_due(draft: Draft, since: str) -> bool:
    """Say whether it is time to look again after an answer at `since`; if not yet, have a round made then."""
    if _was_contradicted(draft, since):
        return True
    wait = interval(draft)
    if wait is None:
        return False
    due: datetime = clock.parse(since) + wait
    if draft.now < due:
        draft.look_again(due)
    return draft.now >= due


def _was_contradicted(draft: Draft, since: str) -> bool:
    """Say whether a Job has found something else in the store since: it was overwritten in between."""
    found = (
        jobs.outcome(draft.observed, job, draft.now)
        for job in draft.jobs(names.ROLE_COMPRESS, names.ROLE_EVALUATE, names.ROLE_ASK)
    )
    return any(
        isinstance(outcome, jobs.Judged)
        and outcome.failure.reason == Reason.DIGEST_MISMATCH
        and clock.parse(outcome.finished_at) > clock.parse(since)
        for outcome in found
    )
