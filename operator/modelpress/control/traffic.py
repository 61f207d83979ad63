"""Where does traffic go, and does anything answer there? Pure.

Which revision serves is read off the main Service, since that is what clients ask; `status.currentRevision` stands in
only while the Service is missing.
"""

from __future__ import annotations

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest, Observed
from modelpress.control.readiness import health
from modelpress.control.standing import Finding


def main_service(observed: Observed) -> Manifest | None:
    """Return the Service that clients ask, if it is there and ours."""
    metadata = observed.model["metadata"]
    service = observed.find("Service", metadata["name"])
    return service if service is not None and metadata["uid"] in owner_uids(service) else None


def revision_behind(service: Manifest | None) -> str | None:
    """Return the revision that the main Service points at."""
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    return selector.get(names.REVISION_LABEL)


def serving_now(observed: Observed) -> str | None:
    """Return the revision that traffic goes to.

    A Service that was pointed by somebody at something that is not there is not believed.
    """
    behind = revision_behind(main_service(observed))
    remembered = (observed.model.get("status") or {}).get("currentRevision")
    named = [name for name in (behind, remembered) if name]
    there = [name for name in named if observed.find("ModelRevision", name) or observed.find("Deployment", name)]
    return next(iter(there or named), None)


def availability(observed: Observed) -> Finding:
    """Return what condition Available says."""
    current = serving_now(observed)
    if current is None:
        return Finding("False", Reason.NEW, "Nothing was ever served.")
    found = health(observed, current)
    if found.ready and revision_behind(main_service(observed)) == current:
        return Finding("True", Reason.SERVING, f"{current} answers from {found.ready} of {found.wanted} pods.")
    if found.deployment is not None and found.wanted == 0:
        return Finding("False", Reason.SCALED_TO_ZERO, f"{current} is scaled to zero.")
    if found.trouble is not None:
        return Finding("False", found.trouble.reason, found.trouble.message)
    return Finding("False", Reason.REPLICAS_NOT_READY, f"No pod of {current} answers.")
