"""What each pod has done since a step began, added up from one reading of its counters to the next. Pure.

Triton's counters only grow while it runs and begin at zero when it starts again. Read every few seconds, a counter that
is smaller than it was means a restart: all that it shows is new. Adding up between readings keeps what was counted
before the restart; a single difference over the whole step would lose it, or would not notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime

from modelpress.api.rollout import RolloutStatus
from modelpress.triton.metrics import InferenceCounters

NOTHING = InferenceCounters()
"""What a pod has done that has done nothing."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known of one pod. `window`: which step it is counted for. `since`: its first reading in that.

    `last`: the counters as last read; `grown`: by how much they have grown in that; `recent`: by how much since the
    reading before, whichever step that was in.
    `readings`: how many told; the first alone says nothing of the step. `misses`: readings in a row that failed.
    """

    window: str
    since: datetime | None = None
    last: InferenceCounters | None = None
    grown: InferenceCounters = NOTHING
    recent: InferenceCounters = NOTHING
    readings: int = 0
    misses: int = 0


def window_of(rollout: RolloutStatus) -> str:
    """Return what tells the present step from every other one."""
    return f"{rollout.candidate}/{rollout.step}/{rollout.reached_at}"


def count(before: Counted | None, window: str, read: InferenceCounters | None, now: datetime) -> Counted:
    """Return what is known of a pod after `read`, which is None if it did not tell."""
    if before is None or before.window != window:
        if read is None:
            return Counted(window, misses=1)
        # what it did before the first reading is not known to belong to this step
        known = before.last if before is not None else None
        return Counted(window, now, read, recent=growth(known, read) if known is not None else NOTHING, readings=1)
    if read is None:
        return replace(before, recent=NOTHING, misses=before.misses + 1)
    if before.last is None:
        return Counted(window, now, read, readings=1)
    recent = growth(before.last, read)
    return Counted(window, before.since, read, total((before.grown, recent)), recent, before.readings + 1)


def growth(before: InferenceCounters, after: InferenceCounters) -> InferenceCounters:
    """Return how much counters have grown from one reading to the next; a restart in between begins at zero."""
    pairs = {item.name: (getattr(before, item.name), getattr(after, item.name)) for item in fields(InferenceCounters)}
    if any(later < earlier for earlier, later in pairs.values()):
        return after
    return InferenceCounters(**{name: later - earlier for name, (earlier, later) in pairs.items()})


def total(parts: Iterable[InferenceCounters]) -> InferenceCounters:
    """Return the sum of any number of counters."""
    known = list(parts)
    names = [item.name for item in fields(InferenceCounters)]
    return InferenceCounters(**{name: sum(getattr(part, name) for part in known) for name in names})
