"""The objects of what serves and of what is to serve next.

Applied in every round, taken away when they are done with.
"""

from __future__ import annotations

from modelpress.api import names
from modelpress.api.resources import ModelRevision
from modelpress.control import clock, marks, sets
from modelpress.control.autoscaling import keep_up_autoscaler, replicas_to_set
from modelpress.control.draft import Draft
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest
from modelpress.control.replicas import full_set
from modelpress.control.sets import set_of
from modelpress.control.traffic import main_service, revision_behind, traffic
from modelpress.render import serving as render
from modelpress.rollout.situation import Decision

OF_A_REVISION = ("Deployment", "Service", "ConfigMap")
"""Kinds of which each revision that has pods has one of its name. They are taken away in this order."""


def keep_up(draft: Draft, decision: Decision) -> None:
    """Apply the objects of what serves and of what is to serve next; the main Service first, as it moves traffic."""
    known = {name: revision for name in decision.run if (revision := draft.revision(name)) is not None}
    stable = decision.stable
    if stable is not None and (draft.revision(stable) is not None or revision_behind(draft.observed) is not None):
        draft.apply(_pointed(draft, decision, stable))
    for name, revision in sorted(known.items(), key=lambda item: item[0] != stable):
        beside = draft.revision(decision.load) if name == stable and decision.load is not None else None
        _keep_up_set(draft, _set_of(draft, decision, name), revision, beside, decision.run[name])
    leading = stable or next(iter(known), None)
    if leading is not None:
        name = _set_of(draft, decision, leading)
        draft.apply(render.disruption_budget(draft.model, None if decision.beside else name))
    keep_up_autoscaler(draft, _set_of(draft, decision, stable) if stable is not None and stable in known else None)


def _set_of(draft: Draft, decision: Decision, revision: str) -> str:
    """Return the set whose pods serve `revision` from now on.

    What was loaded in place and takes over does so in the pods of what was stable until now.
    """
    before = traffic(draft.observed).stable
    takes_over = revision == decision.stable == decision.load and before is not None
    return set_of(draft.observed, before if takes_over and before is not None else revision)


def _pointed(draft: Draft, decision: Decision, stable: str) -> Manifest:
    """Return the main Service as it is decided to lead, with the time since when it does."""
    before, service = traffic(draft.observed), main_service(draft.observed)
    moved = service is None or (revision_behind(draft.observed), before.beside) != (stable, decision.beside)
    since = clock.show(draft.now) if moved or before.since is None else clock.show(before.since)
    name = _set_of(draft, decision, stable)
    previous = before.stable if before.stable != stable else before.previous
    previous_set = set_of(draft.observed, previous) if previous is not None else name
    notes = {marks.SWITCHED_AT: since}
    if decision.beside is not None:
        notes |= {marks.STABLE: name, marks.BESIDE: _set_of(draft, decision, decision.beside)}
    if previous_set != name and draft.observed.find("Deployment", previous_set) is not None:
        notes |= {marks.PREVIOUS: previous_set}
    if name != stable:
        notes |= {marks.SERVES: stable}
    return marks.marked(render.service(draft.model, name if decision.beside is None else None), notes)


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
    draft.apply(render.config_map(draft.model, own, sets.content(draft.observed, name, serves, beside)))
    draft.apply(render.deployment(draft.model, own), at_creation={"spec": {"replicas": begins_with}})
    draft.apply(render.revision_service(draft.model, own))
    live = draft.observed.find("Deployment", name)
    wanted = replicas_to_set(draft, live, pods) if live is not None else None
    if live is not None and wanted is not None and live["spec"].get("replicas", 1) != wanted:
        draft.scale(live, wanted)


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
