"""Somebody else keeps undoing what we set: notice, say so, and stop fighting.

Pure but for its memory; the caller gives the time. A field counts as reverted when our last write set it, the wish
has not changed since, and now it differs. Three reversions of the same field within an hour make a FieldConflict: the
object is left alone for a minute, then two, then four, up to half an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from modelpress.control.compare import Difference, Path, dotted
from modelpress.control.plan import Manifest, Problem, Reference

LIMIT = 3
"""Reversions of one field that make a conflict."""

MEMORY = 3600.0
"""Seconds after which a reversion no longer counts."""

FIRST_REST = 60.0
"""Seconds for which the object is left alone after the first conflict."""
LAST_REST = 1800.0
"""Seconds that the doubling stops at."""


@dataclass(slots=True)
class _Record:
    """What is remembered of one object."""

    applied: bytes = b""
    reverted_at: dict[Path, list[float]] = field(default_factory=dict)
    conflicts: int = 0
    rest_until: float = 0.0
    problem: Problem | None = None


class Reversions:
    """Counts reversions by the object's UID.

    Times are seconds on a monotonic clock.
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def resting(self, uid: str, now: float) -> tuple[Problem, float] | None:
        """Return the conflict, and the seconds until the next try, if the object is being left alone."""
        record = self._records.get(uid)
        if record is None or record.problem is None or now >= record.rest_until:
            return None
        return record.problem, record.rest_until - now

    def rest(self, uid: str, now: float) -> float:
        """Return the seconds until the next try on the object."""
        record = self._records.get(uid)
        return max(0.0, record.rest_until - now) if record is not None else 0.0

    def meet(self, wanted: Manifest, live: Manifest, found: Iterable[Difference], now: float) -> Problem | None:
        """Take in that `live` differs from `wanted` at `found`, before writing.

        Return the conflict if it is one now.
        """
        uid = live["metadata"]["uid"]
        record = self._records.get(uid)
        if record is None or record.applied != _digest(wanted):
            return None
        if record.problem is not None:  # rested: one more try, whose reversion counts at once
            record.problem = None
            return None
        worn_out = []
        for difference in found:
            times = [time for time in record.reverted_at.get(difference.path, ()) if now - time < MEMORY]
            record.reverted_at[difference.path] = [*times, now]
            if len(times) + 1 >= LIMIT:
                worn_out.append(difference)
        if not worn_out:
            return None
        record.conflicts += 1
        record.rest_until = now + min(LAST_REST, FIRST_REST * 2.0 ** (record.conflicts - 1))
        record.problem = _conflict(Reference.of(wanted), live, worn_out)
        return record.problem

    def applied(self, wanted: Manifest, uid: str) -> None:
        """Take in that `wanted` was just written.

        A changed wish starts the count anew.
        """
        record = self._records.setdefault(uid, _Record())
        digest = _digest(wanted)
        if record.applied != digest:
            self._records[uid] = _Record(applied=digest)
        else:
            record.problem = None

    def forget(self, uid: str) -> None:
        """Drop what is known of an object that is gone."""
        self._records.pop(uid, None)


def _digest(wanted: Manifest) -> bytes:
    return orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)


def _conflict(reference: Reference, live: Manifest, worn_out: list[Difference]) -> Problem:
    fields = ", ".join(sorted({dotted(difference.path) for difference in worn_out}))
    who = ", ".join(sorted(_managers(live, worn_out))) or "somebody else"
    return Problem(
        "FieldConflict",
        f"{who} keeps changing {fields} of {reference} back after modelpress set it; modelpress waits before it tries "
        "again. Stop the other writer, or set the field through the model.",
    )


def _managers(live: Manifest, worn_out: list[Difference]) -> set[str]:
    """Return who owns one of the fields now, ourselves aside."""
    found = set()
    for entry in live["metadata"].get("managedFields") or ():
        if any(_holds(entry.get("fieldsV1") or {}, difference.path) for difference in worn_out):
            found.add(str(entry.get("manager", "")))
    return found - {"modelpress", ""}


def _holds(fields: object, path: Path) -> bool:
    for part in path:
        if not isinstance(fields, dict) or part not in fields:
            return False
        fields = fields[part]
    return True
