"""The objects of what serves and of what is to serve next.

Applied in every round, taken away when they are done with.
"""

from __future__ import annotations

from modelpress.api import names
from modelpress.api.resources import ModelRevision
from modelpress.control import clock, marks
from modelpress.control.autoscaling import keep_up_autoscaler, replicas_to_set
from modelpress.control.draft import Draft
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest
from modelpress.control.replicas import full_set
from modelpress.control.routing import keep_up_routes
from modelpress.control.traffic import main_service, revision_behind, traffic
from modelpress.render import serving as render
from modelpress.rollout.situation import Decision, Routing, Situation

OF_A_REVISION = ("Deployment", "Service", "ConfigMap")
"""Kinds of which each revision that has pods has one of its name. They are taken away in this order."""


def keep_up(draft: Draft, seen: Situation, decision: Decision) -> None:
    """Apply the objects of what serves and of what is to serve next; the main Service first, as it moves traffic."""
    known = {name: revision for name in decision.run if (revision := draft.revision(name)) is not None}
    stable, service = decision.stable, main_service(draft.observed)
    if stable is not None and (draft.revision(stable) is not None or revision_behind(service) is not None):
        draft.apply(_pointed(draft, stable, decision.beside, by_replicas=seen.routing is Routing.REPLICAS))
    for name, revision in sorted(known.items(), key=lambda item: item[0] != stable):
        _keep_up_revision(draft, revision, decision.run[name])
    keep_up_routes(draft, seen, decision)
    leading = stable or next(iter(known), None)
    if leading is not None:
        draft.apply(render.disruption_budget(draft.model, None if decision.beside else leading))
    keep_up_autoscaler(draft, stable if stable in known else None)


def _pointed(draft: Draft, stable: str, beside: str | None, *, by_replicas: bool) -> Manifest:
    """Return the main Service, leading to `stable`, with the time since when `stable` and `beside` get requests.

    `by_replicas`: it leads to `beside` as well; otherwise that is for routes to do.
    """
    before, service = traffic(draft.observed), main_service(draft.observed)
    moved = service is None or (revision_behind(service), before.beside) != (stable, beside)
    since = clock.show(draft.now) if moved or before.since is None else clock.show(before.since)
    previous = before.stable if before.stable != stable else before.previous
    notes = {marks.SWITCHED_AT: since}
    opened = beside is not None and by_replicas
    if beside is not None and opened:
        notes |= {marks.STABLE: stable, marks.BESIDE: beside}
    if previous is not None and previous != stable and draft.observed.find("Deployment", previous) is not None:
        notes |= {marks.PREVIOUS: previous}
    return marks.marked(render.service(draft.model, None if opened else stable), notes)


def _keep_up_revision(draft: Draft, revision: ModelRevision, pods: int | None) -> None:
    """`pods`: how many it is to have; None: it is the stable one, whose number is decided elsewhere."""
    begins_with = full_set(draft) if pods is None else pods
    draft.apply(render.config_map(draft.model, revision))
    token = made_at_token(draft, revision.metadata.name)
    deployment = marks.marked(render.deployment(draft.model, revision), {marks.RETRY_TOKEN: token})
    draft.apply(deployment, at_creation={"spec": {"replicas": begins_with}})
    draft.apply(render.revision_service(draft.model, revision))
    live = draft.observed.find("Deployment", revision.metadata.name)
    wanted = replicas_to_set(draft, live, pods) if live is not None else None
    if live is not None and wanted is not None and live["spec"].get("replicas", 1) != wanted:
        draft.scale(live, wanted)


def made_at_token(draft: Draft, revision: str) -> str:
    """Return `rollout.retryToken` as it was when the pods of `revision` were made; the present one if it has none."""
    live = draft.observed.find("Deployment", revision)
    known = (live["metadata"].get("annotations") or {}) if live is not None else {}
    return str(known.get(marks.RETRY_TOKEN, draft.rollout.retry_token))


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
