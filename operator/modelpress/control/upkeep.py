"""The objects of what serves and of what is to serve next.

Applied in every round, taken away when they are done with.
"""

from __future__ import annotations

from collections.abc import Callable

from modelpress.api import names
from modelpress.api.resources import ModelRevision
from modelpress.control import clock, marks, sets
from modelpress.control.autoscaling import keep_up_autoscaler, replicas_to_set
from modelpress.control.draft import Draft
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest
from modelpress.control.replicas import full_set
from modelpress.control.routing import keep_up_routes
from modelpress.control.sets import set_names, set_of
from modelpress.control.traffic import main_service, revision_behind, traffic
from modelpress.render import serving as render
from modelpress.rollout.situation import Decision, Routing, Situation

OF_A_REVISION = ("Deployment", "Service", "ConfigMap")
"""Kinds of which each revision that has pods has one of its name. They are taken away in this order."""


def keep_up(draft: Draft, seen: Situation, decision: Decision) -> None:
    """Apply the objects of what serves and of what is to serve next; the main Service first, as it moves traffic."""
    known = {name: revision for name in decision.run if (revision := draft.revision(name)) is not None}
    stable, by_name = decision.stable, set_names(draft.observed, seen, decision)
    if stable is not None and (draft.revision(stable) is not None or revision_behind(draft.observed) is not None):
        draft.apply(_pointed(draft, seen, decision, stable, by_name))
    for name, revision in sorted(known.items(), key=lambda item: item[0] != stable):
        beside = draft.revision(decision.load) if name == stable and decision.load is not None else None
        _keep_up_set(draft, by_name(name), revision, beside, decision.run[name])
    keep_up_routes(draft, seen, decision)
    leading = stable or next(iter(known), None)
    if leading is not None:
        draft.apply(render.disruption_budget(draft.model, None if decision.beside else by_name(leading)))
    keep_up_autoscaler(draft, by_name(stable) if stable is not None and stable in known else None)


def _pointed(draft: Draft, seen: Situation, decision: Decision, stable: str, by_name: Callable[[str], str]) -> Manifest:
    """Return the main Service, leading to `stable`, with the time since when who is decided to get requests gets them.

    It leads to a second revision as well if they are shared out by numbers of pods; else that is for routes to do.
    """
    before, service, beside = traffic(draft.observed), main_service(draft.observed), decision.beside
    moved = service is None or (revision_behind(draft.observed), before.beside) != (stable, beside)
    since = clock.show(draft.now) if moved or before.since is None else clock.show(before.since)
    name = by_name(stable)
    previous = before.stable if before.stable != stable else before.previous
    previous_set = set_of(draft.observed, previous) if previous is not None else name
    notes = {marks.SWITCHED_AT: since}
    opened = beside is not None and seen.routing is Routing.REPLICAS
    if beside is not None and opened:
        notes |= {marks.STABLE: name, marks.BESIDE: by_name(beside)}
    if previous_set != name and draft.observed.find("Deployment", previous_set) is not None:
        notes |= {marks.PREVIOUS: previous_set}
    if name != stable:
        notes |= {marks.SERVES: stable}
    return marks.marked(render.service(draft.model, None if opened else name), notes)


def _keep_up_set(
    draft: Draft, name: str, serves: ModelRevision, beside: ModelRevision | None, pods: int | None
) -> None:
    """Keep up the set `name`, whose pods serve `serves`, and load `beside` if there is one.

    `pods`: how many it is to have; None: it is the stable one's, whose number is decided elsewhere.
    """
    begins_with = full_set(draft) if pods is None else pods
    own = draft.revision(name)
    if own is None:
        return  # somebody removed what it was made from; it stays as it is
    beside = None if beside is None or beside.metadata.name == serves.metadata.name else beside
    config_map: Manifest = render.config_map(draft.model, own, sets.content(draft.observed, name, serves, beside))
    if beside is not None:
        token = token_of(draft, sets.loading(draft.observed, beside.metadata.name))
        config_map = marks.marked(config_map, {marks.RETRY_TOKEN: token})
    draft.apply(config_map)
    live = draft.observed.find("Deployment", name)
    deployment = marks.marked(render.deployment(draft.model, own), {marks.RETRY_TOKEN: token_of(draft, live)})
    draft.apply(deployment, at_creation={"spec": {"replicas": begins_with}})
    draft.apply(render.revision_service(draft.model, own))
    wanted = replicas_to_set(draft, live, pods) if live is not None else None
    if live is not None and wanted is not None and live["spec"].get("replicas", 1) != wanted:
        draft.scale(live, wanted)


def token_of(draft: Draft, made: Manifest | None) -> str:
    """Return `rollout.retryToken` as it was when `made` was made; the present one if nothing was."""
    known = (made["metadata"].get("annotations") or {}) if made is not None else {}
    return str(known.get(marks.RETRY_TOKEN, draft.rollout.retry_token))


def begun_at_token(draft: Draft, revision: str) -> str:
    """Return the token as it was when pods were told to load `revision` beside another, or else were made for it."""
    loading = sets.loading(draft.observed, revision)
    return token_of(draft, loading or draft.observed.find("Deployment", set_of(draft.observed, revision)))


def revisions_with_objects(draft: Draft) -> dict[str, str]:
    """Return the revisions that have pods or anything that belongs to them, each with the name of its artifact."""
    found = {}
    for kind in OF_A_REVISION:
        for item in draft.observed.of_kind(kind):
            name = marks.label(item, names.REVISION_LABEL)
            if name == item["metadata"]["name"] and not draft.is_going(item):
                held = sets.revision_in(draft.observed, name)
                revision = draft.revision(held) if held != name else None
                found[held] = revision.spec.artifact if revision else marks.label(item, names.ARTIFACT_LABEL)
    return found


def retire(draft: Draft, revision: str) -> None:
    """Take away the pods of a revision and what belongs to them. The revision itself stays, for a return."""
    name = set_of(draft.observed, revision)
    for kind in OF_A_REVISION:
        found = draft.observed.find(kind, name)
        if found is not None and draft.model.metadata.uid in owner_uids(found):
            draft.delete(found)
