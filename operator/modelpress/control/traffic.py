"""Where does traffic go, and does anything answer there? Pure.

Which revision serves is read off the main Service, since that is what clients ask; `status.currentRevision` stands in
only while the Service is missing. While a canary answers, the Service leads to the pods of two revisions, and says in
its annotations which is which; or it leads to the stable one alone, and routes at a Gateway to both (routing.py).
"""

from __future__ import annotations

from datetime import datetime

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.control import clock, marks, routing
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest, Observed
from modelpress.control.readiness import health
from modelpress.control.sets import main_set, revision_in
from modelpress.control.standing import Finding
from modelpress.rollout.situation import Traffic


def main_service(observed: Observed) -> Manifest | None:
    """Return the Service that clients ask, if it is there and ours."""
    metadata = observed.model["metadata"]
    service = observed.find("Service", metadata["name"])
    return service if service is not None and metadata["uid"] in owner_uids(service) else None


def revision_behind(observed: Observed) -> str | None:
    """Return the revision that the main Service leads to; of two, the stable one."""
    found = main_set(main_service(observed))
    return revision_in(observed, found) if found is not None else None


def revision_beside(service: Manifest | None) -> str | None:
    """Return the revision that the main Service leads to beside the stable one.

    Empty if nobody can say which one it is: the Service leads to all serving pods, and its annotations are lost.
    """
    if service is None or names.REVISION_LABEL in ((service.get("spec") or {}).get("selector") or {}):
        return None
    return marks.mark(service, marks.BESIDE)


def serving_now(observed: Observed) -> str | None:
    """Return the revision that traffic goes to; of two, the stable one.

    A Service that was pointed by somebody at something that is not there is not believed. If all that is lost, it is
    what last had all traffic as the revisions themselves remember it; if that is lost too, what has had pods for
    longest: a candidate's come later.
    """
    behind = revision_behind(observed)
    remembered = (observed.model.get("status") or {}).get("currentRevision")
    named = [name for name in (behind, remembered) if name]
    there = [name for name in named if observed.find("ModelRevision", name) or observed.find("Deployment", name)]
    return next(iter(there or named or _last(observed) or _oldest(observed)), None)


def _last(observed: Observed) -> list[str]:
    """Return the revision that all traffic went over to last."""
    revisions = observed.of_kind("ModelRevision")
    served = {str(item["metadata"]["name"]): (item.get("status") or {}).get("servedAt") for item in revisions}
    known = [name for name, at in served.items() if isinstance(at, str)]
    return sorted(known, key=lambda name: str(served[name]))[-1:]


def _oldest(observed: Observed) -> list[str]:
    if revision_beside(main_service(observed)) is None:
        return []
    sets = [item for item in observed.of_kind("Deployment") if marks.label(item, names.ROLE_LABEL) == names.ROLE_SERVE]
    sets.sort(key=lambda item: str(item["metadata"].get("creationTimestamp", "")))
    return [revision_in(observed, marks.label(item, names.REVISION_LABEL)) for item in sets]


def traffic(observed: Observed) -> Traffic:
    """Return where the main Service and the routes lead."""
    service, stable = main_service(observed), serving_now(observed)
    before = marks.mark(service, marks.PREVIOUS) if service is not None else ""
    routed, weight = routing.beside(observed, stable)
    opened = revision_beside(service)
    return Traffic(
        stable=stable,
        beside=opened if opened is not None else routed,
        previous=revision_in(observed, before) if before else None,
        since=_since(service),
        weight=weight,
    )


def _since(service: Manifest | None) -> datetime | None:
    """Return when the main Service last changed what it leads to; None: it does not tell, or nothing legible."""
    try:
        return clock.parse(marks.mark(service, marks.SWITCHED_AT)) if service is not None else None
    except ValueError:
        return None


def availability(observed: Observed) -> Finding:
    """Return what condition Available says."""
    current = serving_now(observed)
    if current is None:
        return Finding("False", Reason.NEW, "Nothing was ever served.")
    found = health(observed, current)
    service = main_service(observed)
    if found.ready and revision_behind(observed) == current:
        return Finding("True", Reason.SERVING, f"{current} answers from {found.ready} of {found.wanted} pods.")
    beside = revision_beside(service)
    other = health(observed, beside) if beside else None
    if other is not None and other.ready:
        return Finding("True", Reason.SERVING, f"{beside} answers from {other.ready} of {other.wanted} pods.")
    if found.deployment is not None and found.wanted == 0:
        return Finding("False", Reason.SCALED_TO_ZERO, f"{current} is scaled to zero.")
    if found.trouble is not None:
        return Finding("False", found.trouble.reason, found.trouble.message)
    return Finding("False", Reason.REPLICAS_NOT_READY, f"No pod of {current} answers.")
