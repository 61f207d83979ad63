"""Walks through the states of a model, in an order nobody thought of: what holds on each step, and how they all end."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.models import INSTALLATION, a_failure, a_publication, a_resolution, a_spec, an_answer, summary
from tests.support.world import ROLE, Ends, Hangs, World, accepting, healthy

from modelpress.control.plan import Reference
from modelpress.control.readiness import health
from modelpress.control.sets import main_set, revision_in, set_of
from modelpress.control.traffic import main_service
from modelpress.render.installation import GatewayDefaults, Prometheus

WITH_ALL = INSTALLATION.model_copy(
    update={"prometheus": Prometheus(address="http://prometheus:9090"), "gateway": GatewayDefaults(name="public")}
)
EXAMPLES = int(os.environ.get("WALKS", "10"))


VERIFIED = 0.98
"""The accuracy of answers that keep the gate on the serving runtime."""


def job(outcome: Any, answered: Any = None) -> Any:
    """Have Jobs that compress or measure end so, and those that ask as `answered` says; all resolve."""

    def script(item: dict[str, Any]) -> Any:
        role = item["metadata"]["labels"][ROLE]
        if role == "resolve":
            return Ends(message=a_resolution())
        return outcome if role != "ask" or answered is None else answered(item)

    return script


def answers(top1: float) -> Any:
    return lambda item: Ends(message=an_answer(item, top1))


def demands(world: World) -> bool:
    """Say whether a gate on the serving runtime is set."""
    return any("measuredOn" in gate for gate in world.model["spec"]["evaluation"]["gates"])


def accuracy(world: World, revision: str) -> float:
    """Return what a revision answered when it was asked."""
    status = world.objects[Reference("modelpress.io/v1alpha1", "ModelRevision", "team-a", revision)].get("status", {})
    figures = (status.get("verification") or {}).get("figures") or {"metrics": [{"compressed": 0.0}]}
    found: float = figures["metrics"][0]["compressed"]
    return found


TEST_DATA_GONE = Ends(10, a_failure("DatasetNotFound"), container="fetch")


def differ(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    over = {"exitCode": 10, "message": a_failure("AnswersDiffer")}
    return {"initContainerStatuses": [{"name": "agent", "restartCount": 1, "lastState": {"terminated": over}}]}


def edit(change: Any) -> Any:
    return lambda world: world.edit(change)


def recipe(**asked: Any) -> Any:
    """Return the step that has it compressed so, with the seed it has."""

    def change(spec: dict[str, Any]) -> None:
        seed = {name: part for name, part in spec["compression"].items() if name == "seed"}
        spec["compression"] = asked | seed

    return edit(change)


def count_pods(**asked: Any) -> Any:
    """Return the step that has pods counted so, and in no other way."""

    def change(spec: dict[str, Any]) -> None:
        rest = {name: part for name, part in spec["serving"].items() if name not in ("replicas", "autoscaling")}
        spec["serving"] = {**rest, **asked}

    return edit(change)


def autoscale(count: int) -> Any:
    """Return the step by which whatever autoscaler is there has its Deployment run `count` pods."""

    def step(world: World) -> None:
        for autoscaler in autoscalers(world):
            target = Reference("apps/v1", "Deployment", "team-a", autoscaler["spec"]["scaleTargetRef"]["name"])
            if target in world.objects:
                world.objects[target]["spec"]["replicas"] = count

    return step


def autoscalers(world: World) -> list[dict[str, Any]]:
    return [item for kind in ("HorizontalPodAutoscaler", "ScaledObject") for item in world.of(kind)]


def assign(name: str, value: Any) -> Any:
    return lambda world: setattr(world, name, value)


def install(*kinds: str) -> Any:
    """Return the step by which the cluster gets these kinds."""
    return lambda world: setattr(world, "extensions", world.extensions | set(kinds))


def uninstall(*kinds: str) -> Any:
    """Return the step by which the cluster loses these kinds, and all objects of theirs."""

    def step(world: World) -> None:
        world.extensions -= set(kinds)
        for item in [item for kind in kinds for item in world.of(kind)]:
            world.remove(Reference.of(item))

    return step


def route(**asked: str) -> Any:
    """Return the step that has requests of a canary shared out so."""
    return edit(lambda spec: spec["rollout"].update(asked))


def routed(world: World) -> set[str]:
    """Return the revisions that get requests by a route."""
    routes = world.of("HTTPRoute") + world.of("GRPCRoute")
    backends = [backend for item in routes for rule in item["spec"]["rules"] for backend in rule["backendRefs"]]
    return {backend["name"] for backend in backends if backend["weight"]}


ON_THE_SERVER = {"metric": "top1", "goal": "MaxDegradation", "value": 0.05, "measuredOn": "ServingRuntime"}
STEPS: dict[str, Any] = {
    **{f"seed {n}": edit(lambda spec, n=n: spec["compression"].__setitem__("seed", n)) for n in range(3)},
    **{
        f"batch {n}": edit(lambda spec, n=n: spec["serving"].__setitem__("batching", {"maxBatchSize": n}))
        for n in (4, 8)
    },
    **{f"replicas {n}": count_pods(replicas=n) for n in (0, 1, 3)},
    "scale by CPU": count_pods(autoscaling={"minReplicas": 2, "maxReplicas": 5, "target": {"cpu": 70}}),
    "scale by queue": count_pods(autoscaling={"maxReplicas": 5, "target": {"queueTime": "20ms"}}),
    "scale somehow": count_pods(autoscaling={"maxReplicas": 5}),
    "KEDA comes": install("ScaledObject"),
    "KEDA goes": uninstall("ScaledObject"),
    "routes come": install("HTTPRoute", "GRPCRoute"),
    "routes go": uninstall("HTTPRoute", "GRPCRoute"),
    **{f"routing {way}": route(routing=way) for way in ("Auto", "Replicas")},
    "the Gateway is silent": assign("gateway", lambda _route: None),
    "the Gateway answers": assign("gateway", accepting),
    **{f"autoscaler wants {n}": autoscale(n) for n in (1, 4)},
    **{f"token {n}": edit(lambda spec, n=n: spec["rollout"].__setitem__("retryToken", n)) for n in ("x", "y")},
    "strict gate": edit(
        lambda spec: spec["evaluation"].__setitem__("gates", [{"metric": "size", "goal": "Threshold", "value": 1}])
    ),
    "gate on the server": edit(lambda spec: spec["evaluation"].__setitem__("gates", [dict(ON_THE_SERVER)])),
    "no gate": edit(lambda spec: spec["evaluation"].__setitem__("gates", [])),
    "other metric": edit(lambda spec: spec["evaluation"].__setitem__("latency", {"threads": 2})),
    "one recipe": recipe(stages=[{"fuse": {}}]),
    "a ladder": recipe(ladder=[{"stages": [{"quantize": {"preset": "W4A16"}}]}, {"stages": [{"fuse": {}}]}]),
    "another ladder": recipe(ladder=[{"stages": [{"quantize": {"preset": bits}}]} for bits in ("W4A16", "W8A16")]),
    **{
        f"{strategy}": edit(lambda spec, strategy=strategy: spec["rollout"].__setitem__("strategy", strategy))
        for strategy in ("Canary", "InPlace", "Auto")
    },
    "suspend": edit(lambda spec: spec.__setitem__("suspend", True)),
    "resume": edit(lambda spec: spec.pop("suspend", None)),
    "pause": edit(lambda spec: spec["rollout"].__setitem__("paused", True)),
    "go on": edit(lambda spec: spec["rollout"].pop("paused", None)),
    "jobs succeed": assign("jobs", job(Ends(message=a_publication()), answers(VERIFIED))),
    "servers are wrong": assign("jobs", job(Ends(message=a_publication()), answers(0.5))),
    "servers do not answer": assign("jobs", job(Ends(message=a_publication()), lambda item: Hangs())),
    "test data gone": assign("jobs", job(Ends(message=a_publication()), lambda item: TEST_DATA_GONE)),
    "jobs hang": assign("jobs", job(Hangs())),
    "jobs are judged": assign("jobs", job(Ends(10, a_failure("StageFailed"), container="compress"))),
    "jobs crash": assign("jobs", job(Ends(139, container="compress"))),
    "store away": assign("jobs", lambda item: Ends(20, a_failure("StoreUnavailable"))),
    "pods are healthy": assign("pods", healthy),
    "pods hang": assign("pods", lambda deployment, index: {"conditions": []}),
    "pods differ": assign("pods", differ),
    "12 s": lambda world: world.pass_time(12),
    "6 min": lambda world: world.pass_time(360),
}


def walk(world: World, rounds: int) -> None:
    """Make rounds, with an eye on what must always hold."""
    for _ in range(rounds):
        seen = world.observe()
        before = main_set(main_service(seen))
        made = world.plan()
        serving = {item["metadata"]["uid"] for item in world.of("Deployment") if item["metadata"]["name"] == before}
        assert not [delete for delete in made.delete if delete.uid in serving], "what has traffic is never taken away"
        gone = {delete.reference.name for delete in made.delete if delete.reference.kind in ("Deployment", "Service")}
        assert not gone & routed(world), "neither what a route leads to"
        owned = {item["spec"]["scaleTargetRef"]["name"]: item for item in autoscalers(world)}
        for scale in made.scale:
            live = seen.find("Deployment", scale.reference.name)
            assert live is not None
            assert scale.reference.name not in owned or live["spec"]["replicas"] == 0, "one counts the pods, not two"
        for wish in made.apply:
            if wish.manifest["kind"] == "Service" and wish.manifest["metadata"]["name"] == "digits":
                after = main_set(wish.manifest)
                assert after is not None
                assert after == before or health(seen, revision_in(seen, after)).settled, (
                    "traffic moves to pods that all answer"
                )
        answered = revision_in(seen, before) if before is not None else None
        began = [wish.manifest["metadata"]["name"] for wish in made.apply if wish.manifest["kind"] == "Deployment"]
        kept = {"Reconciling", "Stalled", "Ready"}
        world.carry_out(made)
        world.run_controllers()
        others = [name for name in began if name != before and not name.endswith("-verify")]
        if demands(world) and before is not None:
            assert all(accuracy(world, name) == VERIFIED for name in others), "no pod serves that was not verified"
            now = revision_in(world.observe(), before)
            assert now == answered or accuracy(world, now) == VERIFIED, "nor does any begin to in the pods that serve"
        assert len(autoscalers(world)) <= 1
        said = summary(world.status)
        assert sum(said[kind].startswith("True") for kind in kept) <= 1, said


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 10, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 6)), min_size=4, max_size=14),
    st.sampled_from(["replicas 1", "scale by CPU", "scale somehow"]),
)
def test_whatever_happened_the_model_serves_once_nothing_stands_in_its_way(
    walked: list[tuple[str, int]], at_last: str
) -> None:
    world = World(a_spec(serving={}, rollout={}), WITH_ALL)
    for step, rounds in walked:
        STEPS[step](world)
        walk(world, rounds)
    for step in ("jobs succeed", "pods are healthy", "the Gateway answers", "resume", "go on", "no gate", at_last):
        STEPS[step](world)
    world.edit(lambda spec: spec["rollout"].__setitem__("retryToken", "at last"))
    world.pass_time(60)
    STEPS["autoscaler wants 4"](world)  # whatever autoscaler there is brings the pods that it is to have at least
    world.pass_time(700)
    if summary(world.status)["Ready"] == "False/InPlaceIncompatible":  # as it says, that takes another strategy
        STEPS["Canary"](world)
        world.pass_time(700)
    assert summary(world.status)["Ready"] == "True/Serving"
    serving = set_of(world.observe(), world.status["currentRevision"])
    assert world.names("Deployment") == [serving]
    targets = [item["spec"]["scaleTargetRef"]["name"] for item in autoscalers(world)]
    assert targets == ([] if at_last == "replicas 1" else [serving])
    plan = world.plan()
    assert (plan.scale, plan.delete, plan.events, plan.requeue_after) == ((), (), (), None)
