"""The objects of what serves and of what is to serve next.

Applied in every round, taken away when they are done with.
"""

from __future__ import annotations

from modelpress.api import names
from modelpress.api.resources import ModelRevision
from modelpress.control import clock, marks
from modelpress.control.autoscaling import fewest, keep_up_autoscaler, replicas_to_set
from modelpress.control.draft import Draft
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest
from modelpress.control.traffic import main_service, revision_behind, serving_now
from modelpress.render import serving as render
from modelpress.rollout.replace import Step

OF_A_REVISION = ("Deployment", "Service", "ConfigMap")
"""Kinds of which each revision that has pods has one of its name. They are taken away in this order."""


def keep_up(draft: Draft, step: Step, candidate: ModelRevision | None) -> None:
    """Apply the objects of what serves and of what is to serve next."""
    main = draft.revision(step.main) if step.main else None
    for revision in {item.metadata.name: item for item in (main, candidate) if item is not None}.values():
        _keep_up_revision(draft, revision, step.main)
    leading = step.main or (candidate.metadata.name if candidate else None)
    if leading is not None:
        draft.apply(render.disruption_budget(draft.model, leading))
    if step.main is not None and (main is not None or revision_behind(main_service(draft.observed)) is not None):
        draft.apply(_pointed(draft, step.main))
    keep_up_autoscaler(draft, step.main if main is not None else None)


def _pointed(draft: Draft, revision: str) -> Manifest:
    """Return the main Service, pointed at `revision`, with the time since when it is."""
    manifest = render.service(draft.model, revision)
    service = main_service(draft.observed)
    since = clock.show(draft.now)
    if service is not None and revision_behind(service) == revision:
        since = marks.mark(service, marks.SWITCHED_AT) or since
    return marks.marked(manifest, {marks.SWITCHED_AT: since})


def _keep_up_revision(draft: Draft, revision: ModelRevision, main: str | None) -> None:
    draft.apply(render.config_map(draft.model, revision))
    draft.apply(render.deployment(draft.model, revision), at_creation={"spec": {"replicas": replicas(draft)}})
    draft.apply(render.revision_service(draft.model, revision))
    live = draft.observed.find("Deployment", revision.metadata.name)
    size = replicas_to_set(draft, live, main, replicas(draft)) if live is not None else None
    if live is not None and size is not None and live["spec"].get("replicas", 1) != size:
        draft.scale(live, size)


def replicas(draft: Draft) -> int:
    """Return how many pods a Deployment begins with: as the spec says, else as many as serve now, else one."""
    asked = draft.model.spec.serving.replicas if draft.model.spec.serving else None
    main = serving_now(draft.observed)
    live = draft.observed.find("Deployment", main) if main else None
    if asked is not None:
        return asked
    found = int(live["spec"].get("replicas", 1)) if live is not None else max(1, draft.old.replicas)
    return max(found, fewest(draft))


def revisions_with_objects(draft: Draft) -> dict[str, str]:
    """Return the revisions that have pods or anything that belongs to them, each with the name of its artifact."""
    found = {}
    for kind in OF_A_REVISION:
        for item in draft.observed.of_kind(kind):
            name = marks.label(item, names.REVISION_LABEL)
            if name == item["metadata"]["name"] and not draft.is_going(item):
                found[name] = marks.label(item, names.ARTIFACT_LABEL)
    return found


def retire(draft: Draft, revision: str) -> None:
    """Take away the pods of a revision and what belongs to them. The revision itself stays, for a return."""
    for kind in OF_A_REVISION:
        found = draft.observed.find(kind, revision)
        if found is not None and draft.model.metadata.uid in owner_uids(found):
            draft.delete(found)
