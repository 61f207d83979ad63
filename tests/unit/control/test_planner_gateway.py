"""Lives of models that a Gateway leads to: routes that follow what serves, and canaries by weight."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.models import INSTALLATION, a_spec, condition
from tests.support.world import Requests, World, healthy
from tests.unit.control.rollouts import CANARY, change, of, only, reached_by_traffic, set_rollout, shares, starting

from modelpress.control.plan import Reference
from modelpress.render.installation import GatewayDefaults

WITH_GATEWAY = INSTALLATION.model_copy(
    update={"gateway": GatewayDefaults(name="public", namespace="gateways", domain="example.org")}
)
ROUTES = frozenset({"HTTPRoute", "GRPCRoute"})
STEPS = [{"weight": 10, "pause": "60s"}, {"weight": 60, "pause": "60s"}]
BY_GATEWAY = {**CANARY, "routing": "Gateway", "steps": STEPS}


def behind_gateway(rollout: dict[str, Any] | None = None, replicas: int = 4, **serving: Any) -> World:
    """Return a world in which the first version serves, and a Gateway leads to it."""
    spec = a_spec(rollout=rollout or BY_GATEWAY, serving={"replicas": replicas, **serving})
    world = World(spec, WITH_GATEWAY)
    world.extensions = ROUTES
    world.settle()
    world.now += timedelta(hours=1)
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"
    return world


def ready(world: World) -> str:
    return str(condition(world.status, "Ready")["reason"])


def test_both_routes_lead_to_what_serves_under_a_hostname_each_and_the_status_says_so() -> None:
    world = behind_gateway()
    first = world.status["currentRevision"]
    assert shares(world) == shares(world, "GRPCRoute") == {first: 100}
    (http,), (grpc,) = world.of("HTTPRoute"), world.of("GRPCRoute")
    assert http["spec"]["hostnames"] == ["digits.team-a.example.org"]
    assert grpc["spec"]["hostnames"] == ["grpc.digits.team-a.example.org"]
    (parent,) = http["spec"]["parentRefs"]
    assert (parent["namespace"], parent["name"]) == ("gateways", "public")
    assert world.status["endpoint"]["hostname"] == "digits.team-a.example.org"
    assert world.status["endpoint"]["grpcHostname"] == "grpc.digits.team-a.example.org"


def test_without_a_gateway_or_without_its_kinds_there_are_no_routes() -> None:
    for installation, extensions in ((INSTALLATION, ROUTES), (WITH_GATEWAY, frozenset())):
        world = World(a_spec(), installation)
        world.extensions = extensions
        world.settle()
        assert world.of("HTTPRoute") == []
        assert ready(world) == "Serving"


def test_a_gateway_is_no_matter_of_revisions_and_can_be_the_models_own() -> None:
    world = behind_gateway()
    first = world.status["currentRevision"]
    own = {"name": "own", "hostname": "digits.test", "grpcHostname": "rpc.digits.test"}
    world.edit(lambda spec: spec["serving"].__setitem__("gateway", own))
    world.settle()
    assert world.status["currentRevision"] == first
    (route,) = world.of("GRPCRoute")
    assert route["spec"]["hostnames"] == ["rpc.digits.test"]
    assert route["spec"]["parentRefs"][0] | {"namespace": "team-a", "name": "own"} == route["spec"]["parentRefs"][0]


def test_weights_are_exact_and_pods_are_as_many_as_the_share_needs() -> None:
    world = behind_gateway(replicas=4)
    first = world.status["currentRevision"]
    second = change(world, 7)
    assert shares(world) == shares(world, "GRPCRoute") == {first: 90, second: 10}
    assert (of(world, first), of(world, second)) == (4, 1)
    assert reached_by_traffic(world) == {first}, "the Service inside the cluster stays with the old one"
    assert (world.status["rollout"]["weightWanted"], world.status["rollout"]["weightReached"]) == (10, 10)
    world.pass_time(70)
    assert shares(world) == {first: 40, second: 60}
    assert (of(world, first), of(world, second)) == (4, 3)
    world.pass_time(75)
    assert world.status["currentRevision"] == second
    assert shares(world) == shares(world, "GRPCRoute") == {second: 100}
    assert reached_by_traffic(world) == {second}
    assert "WeightCoarse" not in [reason for _, reason, _ in world.events]
    world.pass_time(60)
    assert world.names("Deployment") == [second]


def test_pods_come_before_the_requests_that_need_them() -> None:
    world = behind_gateway(replicas=4)
    first = world.status["currentRevision"]
    second = change(world, 7)
    slow = lambda item, index: healthy(item, index) if index == 0 else starting(item, index)  # noqa: E731
    world.pods = only(second, slow)
    world.pass_time(70)
    assert of(world, second) == 3
    assert shares(world) == {first: 90, second: 10}
    world.pods = healthy
    world.settle()
    assert shares(world) == {first: 40, second: 60}


def test_a_step_begins_when_the_gateway_has_taken_the_weight() -> None:
    world = behind_gateway()
    first = world.status["currentRevision"]
    world.gateway = lambda _route: None
    second = change(world, 7)
    world.pass_time(300)
    assert shares(world) == {first: 90, second: 10}
    assert "reachedAt" not in world.status["rollout"]
    world.gateway = lambda _route: {"type": "Accepted", "status": "False", "reason": "NotAllowed", "message": "No."}
    world.settle()
    assert ready(world) == "RouteNotAccepted"
    assert "Gateway gateways/public has not accepted" in condition(world.status, "Ready")["message"]
    world.gateway = World(a_spec()).gateway
    world.pass_time(160)
    assert world.status["currentRevision"] == second


def test_what_fails_gets_no_request_any_more_in_the_same_round() -> None:
    world = behind_gateway()
    first = world.status["currentRevision"]
    second = change(world, 7)
    bad = Requests(good=0.0, bad=20.0)
    world.requests = lambda pod: bad if second in pod["metadata"]["name"] else Requests()
    while second in shares(world):
        assert of(world, second), "pods that get requests are not taken away"
        world.pass_time(5)
    assert shares(world) == shares(world, "GRPCRoute") == {first: 100}
    assert ready(world) == "AnalysisFailed"
    world.pass_time(30)
    assert world.names("Deployment") == [first]
    assert reached_by_traffic(world) == {first}


def test_an_operator_that_died_between_two_routes_brings_both_to_the_same() -> None:
    world = behind_gateway()
    first = world.status["currentRevision"]
    second = change(world, 7)
    (route,) = world.of("GRPCRoute")
    route["spec"]["rules"][0]["backendRefs"] = route["spec"]["rules"][0]["backendRefs"][:1]
    world.settle()
    assert shares(world) == shares(world, "GRPCRoute") == {first: 90, second: 10}


def test_an_operator_that_died_between_service_and_routes_takes_no_pods_away_that_get_requests() -> None:
    world = behind_gateway({**BY_GATEWAY, "steps": [{"weight": 10}]})
    first = world.status["currentRevision"]
    second = change(world, 7)
    before = {route["kind"]: route["spec"] for route in world.of("HTTPRoute") + world.of("GRPCRoute")}
    set_rollout(world, action={"revision": second, "do": "Promote"})
    world.settle()
    assert world.status["currentRevision"] == second
    for route in world.of("HTTPRoute") + world.of("GRPCRoute"):
        route["spec"] = before[route["kind"]]
    world.now += timedelta(minutes=5)
    made = world.plan()
    assert [delete for delete in made.delete if delete.reference.kind == "Deployment"] == []
    world.carry_out(made)
    assert shares(world) == {second: 100}
    assert world.names("Deployment") == sorted([first, second])
    world.pass_time(30)
    assert world.names("Deployment") == [second]


@pytest.mark.parametrize("lacking", ["a Gateway", "the kinds"])
def test_a_canary_that_must_go_by_the_gateway_does_not_start_without_one(lacking: str) -> None:
    world = World(a_spec(rollout=BY_GATEWAY), INSTALLATION if lacking == "a Gateway" else WITH_GATEWAY)
    world.extensions = ROUTES if lacking == "a Gateway" else frozenset()
    world.settle()
    first = world.status["currentRevision"]
    second = change(world, 7)
    world.pass_time(300)
    assert of(world, second) == 0
    assert world.status["currentRevision"] == first
    assert ready(world) == "RoutingUnavailable"
    world.installation, world.extensions = WITH_GATEWAY, ROUTES
    world.pass_time(160)
    assert world.status["currentRevision"] == second


def test_by_replicas_the_routes_lead_to_the_service_that_both_versions_are_behind() -> None:
    world = behind_gateway({**CANARY, "routing": "Replicas"})
    first = world.status["currentRevision"]
    second = change(world, 7)
    assert shares(world) == {"digits": 100}
    assert reached_by_traffic(world) == {first, second}


@pytest.mark.parametrize("routing", ["Replicas", "Gateway"])
def test_a_canary_may_change_the_way_it_gets_its_share(routing: str) -> None:
    steps = [{"weight": 10, "pause": "60s"}, {"weight": 50, "pause": "60s"}]
    other = {"Replicas": "Gateway", "Gateway": "Replicas"}[routing]
    world = behind_gateway({**CANARY, "steps": steps, "routing": routing})
    second = change(world, 7)
    set_rollout(world, routing=other)
    world.settle()
    assert ("digits" in shares(world)) == (other == "Replicas")
    assert (second in reached_by_traffic(world)) == (other == "Replicas")
    world.pass_time(200)
    assert world.status["currentRevision"] == second


def test_somebody_elses_route_is_left_alone() -> None:
    world = World(a_spec(), INSTALLATION)
    world.extensions = ROUTES
    other = {"name": "digits", "namespace": "team-a", "uid": "theirs", "generation": 1}
    reference = Reference("gateway.networking.k8s.io/v1", "HTTPRoute", "team-a", "digits")
    spec = {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": [{"name": "theirs"}]}]}
    world.objects[reference] = {
        "apiVersion": reference.api_version,
        "kind": "HTTPRoute",
        "metadata": {**other, "labels": {"modelpress.io/model": "digits"}},
        "spec": spec,
    }
    world.settle()
    assert world.objects[reference]["spec"] == spec
    assert ready(world) == "Serving"
