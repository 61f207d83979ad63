"""Routes at a Gateway: whether a model has them, what they give to whom, and whether the Gateway does so. Pure.

Routes lead to the Services of revisions while they share out requests, and to the main Service otherwise. Like the main
Service they are read in every round: who gets requests by them stands on them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from modelpress.api import rollout as api
from modelpress.api.reasons import Reason
from modelpress.control import clock
from modelpress.control.draft import Draft
from modelpress.control.kinds import GRPC_ROUTE, HTTP_ROUTE
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest, Observed
from modelpress.control.sets import revision_in, set_names, set_of
from modelpress.control.standing import Course, Standing
from modelpress.render import serving as render
from modelpress.render.serving import Entrance
from modelpress.rollout import weights
from modelpress.rollout.situation import Decision, Routing, Situation

KINDS = (HTTP_ROUTE.kind, GRPC_ROUTE.kind)
CHANGED = "it has not looked at it yet since it last changed."
PATIENCE = timedelta(seconds=30)
"""How long a Gateway may say nothing of a new route before that is a complaint."""


def entrance(draft: Draft) -> Entrance | None:
    """Return where requests come in from outside; None: nowhere, or this cluster has no routes."""
    there = HTTP_ROUTE.kind in draft.observed.extensions
    return render.entrance(draft.model, draft.installation) if there else None


def routing(draft: Draft) -> Routing:
    """Return how a canary gets its share."""
    asked = draft.rollout.routing
    by_gateway = asked is not api.Routing.REPLICAS and entrance(draft) is not None
    return Routing.GATEWAY if by_gateway else Routing.REPLICAS


def lacking(draft: Draft) -> Standing | None:
    """Return why a canary cannot get its share as `rollout.routing` asks, if so."""
    asks = draft.rollout.routing is api.Routing.GATEWAY and draft.rollout.strategy is api.Strategy.CANARY
    if not asks or entrance(draft) is not None:
        return None
    why = "the model has no Gateway: set spec.serving.gateway, or gateway.name in the chart's values"
    told = f"spec.rollout.routing Gateway needs routes, and {_no_routes(draft) or why}, or set spec.rollout.routing to"
    return Standing(Course.STUCK, Reason.ROUTING_UNAVAILABLE, f"{told} Auto.")


def beside(observed: Observed, stable: str | None) -> tuple[str | None, int | None]:
    """Return the revision that gets requests by routes beside `stable`, if there is one, and its percentage.

    None for the percentage where routes say different things, as they do between two writes.
    """
    found = [_shares(route) for route in routes(observed)]
    known = (set_of(observed, stable) if stable is not None else None, observed.model["metadata"]["name"])
    name = next((name for shares in found for name, weight in shares.items() if weight and name not in known), None)
    if name is None:
        return None, None
    percentages = {round(100 * shares.get(name, 0) / max(1, sum(shares.values()))) for shares in found}
    return revision_in(observed, name), percentages.pop() if len(percentages) == 1 else None


def keep_up_routes(draft: Draft, seen: Situation, decision: Decision) -> None:
    """Have the routes that lead where `decision` says, and no others; complain of a Gateway that has not taken them."""
    at, stable = entrance(draft), decision.stable
    wanted = list(_wanted(draft, at, _shared(draft, seen, decision))) if at is not None and stable is not None else []
    for route in wanted:
        draft.apply(route)
    kept = {route["kind"] for route in wanted}
    if at is None or stable is not None:
        draft.delete(*(route for route in routes(draft.observed) if route["kind"] not in kept))
    _complain(draft)


def doubt(draft: Draft) -> Standing | None:
    """Return which route its Gateway has not accepted as it is now, and why; None if it has each.

    A Gateway that has not said anything yet is waited for: that takes a moment after each change.
    """
    at = entrance(draft)
    for route in routes(draft.observed) if at is not None else ():
        assert at is not None, "routes are looked at where there is an entrance"
        why = _objection(route, at)
        if why is None:
            continue
        told = f"{at} has not accepted {route['kind']} {route['metadata']['name']}"
        patient = why == CHANGED or _is_new(draft, route)
        course = Course.MOVING if patient else Course.WAITING
        return Standing(course, Reason.ROUTE_NOT_ACCEPTED, f"{told}: {why}")
    return None


def _complain(draft: Draft) -> None:
    """Say what keeps requests from coming in by the Gateway that is asked for."""
    asked, missing = draft.model.spec.serving.gateway if draft.model.spec.serving else None, _no_routes(draft)
    if asked is not None and missing is not None:
        told = f"spec.serving.gateway needs routes, and {missing}, or leave it out."
        draft.complain(Standing(Course.STUCK, Reason.ROUTING_UNAVAILABLE, told))
    found = doubt(draft)
    if found is not None:
        draft.complain(found)


def _no_routes(draft: Draft) -> str | None:
    there = HTTP_ROUTE.kind in draft.observed.extensions
    return None if there else "this cluster has no httproutes.gateway.networking.k8s.io: install the Gateway API"


def routes(observed: Observed) -> list[Manifest]:
    """Return the model's own routes."""
    metadata = observed.model["metadata"]
    found = [observed.find(kind, metadata["name"]) for kind in KINDS]
    return [item for item in found if item is not None and metadata["uid"] in owner_uids(item)]


def _shared(draft: Draft, seen: Situation, decision: Decision) -> Mapping[str, int]:
    """Return the Services that routes lead to, by name, each with its share."""
    assert decision.stable is not None, "routes lead to what serves"
    if seen.routing is Routing.REPLICAS:
        return {draft.model.metadata.name: 100}
    percentage, by_name = weights.share(seen, decision), set_names(draft.observed, seen, decision)
    if percentage is None or decision.beside is None:
        return {by_name(decision.stable): 100}
    return {by_name(decision.stable): 100 - percentage, by_name(decision.beside): percentage}


def _wanted(draft: Draft, at: Entrance | None, shares: Mapping[str, int]) -> Iterator[Manifest]:
    assert at is not None, "routes begin at a Gateway"
    yield render.http_route(draft.model, at, shares)
    if GRPC_ROUTE.kind in draft.observed.extensions:
        yield render.grpc_route(draft.model, at, shares)


def _shares(route: Manifest) -> dict[str, int]:
    """Return the Services that a route leads to, by name, with their weights."""
    return {
        str(backend["name"]): int(backend.get("weight", 1))
        for rule in route["spec"].get("rules") or ()
        for backend in rule.get("backendRefs") or ()
    }


def _objection(route: Manifest, at: Entrance) -> str | None:
    """Return why it is not known that the Gateway does what `route` says; None: it says that it does."""
    for parent in (route.get("status") or {}).get("parents") or ():
        named = parent.get("parentRef") or {}
        if (named.get("name"), named.get("namespace", route["metadata"]["namespace"])) != (at.name, at.namespace):
            continue
        conditions = {item["type"]: item for item in parent.get("conditions") or ()}
        accepted = conditions.get("Accepted")
        if accepted is None or int(accepted.get("observedGeneration") or 0) < int(route["metadata"]["generation"]):
            return CHANGED
        for condition in (accepted, conditions.get("ResolvedRefs")):
            if condition is not None and condition.get("status") == "False":
                return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
        return None
    return "it says nothing of it; is there such a Gateway?"


def _is_new(draft: Draft, route: Manifest) -> bool:
    """Say whether `route` was made a moment ago; if so, have it looked at again."""
    created = str(route["metadata"].get("creationTimestamp") or "")
    due = clock.parse(created) + PATIENCE if created else draft.now
    if draft.now < due:
        draft.look_again(due)
    return draft.now < due
