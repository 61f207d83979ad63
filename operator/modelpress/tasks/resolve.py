"""`resolve`: what the URIs hold now, as digests."""

from __future__ import annotations

from modelpress.api.reasons import Reason
from modelpress.api.results import ResolveResult
from modelpress.api.tasks import Location, ResolveTask
from modelpress.api.teachers import teacher_role
from modelpress.store import transfer
from modelpress.store.locations import open_place

from .logs import log


def resolve(task: ResolveTask) -> ResolveResult:
    """Return the digests of source, datasets and teachers. Raises StoreError."""
    return ResolveResult(
        source=_digest("source", task.source, Reason.SOURCE_NOT_FOUND),
        datasets={role: _digest(role, place, Reason.DATASET_NOT_FOUND) for role, place in sorted(task.datasets.items())}
        | {
            role: _digest(role, place, Reason.SOURCE_NOT_FOUND)
            for role, place in sorted((teacher_role(name), place) for name, place in task.teachers.items())
        },
    )


def _digest(role: str, location: Location, missing: Reason) -> str:
    digest = transfer.resolve(open_place(location), missing)
    log("resolved", role=role, uri=location.uri, digest=digest)
    return digest
