"""Whose is this object?

Pure. Decides by ownerReferences' UIDs alone; names and labels can be anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpress.control.plan import Manifest, Problem, Reference


class OwnerlessManifestError(ValueError):
    """The planner wants an object that nobody would own: it would stay behind for ever.

    A mistake in the planner.
    """


def owner_uids(manifest: Manifest) -> frozenset[str]:
    """Return the UIDs of all owners of `manifest`."""
    return frozenset(owner["uid"] for owner in manifest["metadata"].get("ownerReferences") or ())


def is_ours(wanted: Manifest, live: Manifest) -> bool:
    """Say whether `live` belongs to one of the owners that `wanted` names.

    Raises OwnerlessManifestError.
    """
    owners = owner_uids(wanted)
    if not owners:
        raise OwnerlessManifestError(f"{Reference.of(wanted)} names no owner")
    return bool(owners & owner_uids(live))


def is_predecessors(wanted: Manifest, live: Manifest) -> bool:
    """Say whether `live` belonged to an owner of that name that is gone: the garbage collector will take it."""
    names = {_name(owner) for owner in wanted["metadata"]["ownerReferences"]}
    return bool(names & {_name(owner) for owner in live["metadata"].get("ownerReferences") or ()})


def _name(owner: Mapping[str, Any]) -> tuple[str, str, str]:
    return owner["apiVersion"], owner["kind"], owner["name"]


def name_conflict(reference: Reference) -> Problem:
    """Return the problem that an object of that name exists and is not ours."""
    return Problem(
        "NameConflict",
        f"{reference} exists and does not belong to this model; it is left alone. "
        "Delete or rename it, or give the model another name.",
    )
