"""The states of a model, each brought about in a cluster in memory. Their conditions stand in table.yaml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.models import a_failure, a_publication, a_resolution, a_spec, an_answer, stamp
from tests.support.world import ROLE, Ends, Hangs, Requests, World, obliging

from modelpress.control.plan import Problem, Reference

State = Callable[[], World]
STATES: dict[str, State] = {}


def state(name: str) -> Callable[[State], State]:
    """Have the function below bring about the state `name`."""

    def register(make: State) -> State:
        STATES[name] = make
        return make

    return register


def by_role(resolve: Ends | Hangs | None = None, compress: Ends | Hangs | None = None) -> Callable[[Any], Ends | Hangs]:
    """Return a script for Jobs; those that are not named succeed."""

    def script(job: Any) -> Ends | Hangs:
        if job["metadata"]["labels"][ROLE] == "resolve":
            return resolve or Ends(message=a_resolution())
        return compress or Ends(message=a_publication())

    return script


def begun(**jobs: Ends | Hangs) -> World:
    world = World()
    world.jobs = by_role(**jobs)
    world.settle()
    return world


def serving(spec: dict[str, Any] | None = None) -> World:
    world = World(spec)
    world.settle()
    return world


def changed(world: World, pods: Any = None, **jobs: Ends | Hangs) -> World:
    """Ask a serving world for another version."""
    first, healthy = world.status["currentRevision"], world.pods
    world.jobs = by_role(**jobs)
    if pods is not None:
        world.pods = lambda deployment, index: (
            healthy(deployment, index) if deployment["metadata"]["name"] == first else pods
        )
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.settle()
    return world


ON_THE_SERVER = {"metric": "top1", "goal": "MaxDegradation", "value": 0.05, "measuredOn": "ServingRuntime"}


def asked(reply: Callable[[Any], Ends | Hangs], **rollout: Any) -> World:
    """Ask a serving world for another version that is asked before it gets requests, and answers so."""
    spec = a_spec(rollout=rollout or {"strategy": "BlueGreen"})
    if not rollout:
        spec["evaluation"]["gates"].append(dict(ON_THE_SERVER))
    world = serving(spec)
    world.jobs = lambda job: reply(job) if job["metadata"]["labels"][ROLE] == "ask" else obliging(job)
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.settle()
    return world


NOT_READY: dict[str, Any] = {"conditions": [], "containerStatuses": [{"name": "triton", "state": {"running": {}}}]}
UNSCHEDULABLE = {
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes fit"}]
}
DIFFERS = {
    "initContainerStatuses": [
        {
            "name": "agent",
            "restartCount": 1,
            "lastState": {"terminated": {"exitCode": 10, "message": a_failure("AnswersDiffer")}},
        }
    ]
}


@state("resolving")
def _() -> World:
    return begun(resolve=Hangs())


@state("source not found")
def _() -> World:
    return begun(resolve=Ends(10, a_failure("SourceNotFound")))


@state("compressing")
def _() -> World:
    return begun(compress=Hangs())


@state("waiting for an image")
def _() -> World:
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    return begun(compress=Hangs({"initContainerStatuses": [{"name": "fetch", "state": {"waiting": waiting}}]}))


@state("store away")
def _() -> World:
    return begun(compress=Ends(20, a_failure("StoreUnavailable"), container="fetch"))


@state("compression failed")
def _() -> World:
    return begun(compress=Ends(10, a_failure("EntrypointFailed"), container="compress"))


@state("compression crashed too often")
def _() -> World:
    world = begun(compress=Ends(139, container="compress"))
    world.pass_time(600)
    return world


@state("gate failed")
def _() -> World:
    return begun(compress=Ends(message=a_publication(top1=0.90)))


@state("cannot tell")
def _() -> World:
    spec = a_spec()
    spec["evaluation"]["gates"] = [{"metric": "top1", "goal": "MaxDegradation", "value": 0.01}]
    world = World(spec)
    world.jobs = by_role(compress=Ends(message=a_publication(top1=0.97)))
    world.settle()
    return world


@state("starting")
def _() -> World:
    world = World()
    world.pods = lambda deployment, index: NOT_READY
    world.settle()
    return world


@state("no node takes the pods")
def _() -> World:
    world = World()
    world.pods = lambda deployment, index: UNSCHEDULABLE
    world.settle()
    return world


@state("new version is asked before it gets requests")
def _() -> World:
    return asked(lambda job: Hangs())


@state("new version does not keep a gate on the serving runtime")
def _() -> World:
    return asked(lambda job: Ends(message=an_answer(job, top1=0.5)))


@state("new version disagrees with the old one")
def _() -> World:
    limit = {"disagreement": {"max": 0.02}}
    return asked(lambda job: Ends(message=an_answer(job, different=900)), strategy="Canary", analysis=limit)


@state("test data gone while a new version is asked")
def _() -> World:
    return asked(lambda job: Ends(10, a_failure("DatasetNotFound"), container="fetch"))


@state("verified on the serving runtime")
def _() -> World:
    world = asked(lambda job: Ends(message=an_answer(job)))
    world.pass_time(60)
    return world


@state("answers differ")
def _() -> World:
    world = World()
    world.pods = lambda deployment, index: DIFFERS
    world.settle()
    return world


@state("serving")
def _() -> World:
    return serving()


@state("serving with a pod too few")
def _() -> World:
    world = serving(a_spec(serving={"replicas": 2}))
    healthy = world.pods
    world.pods = lambda deployment, index: healthy(deployment, index) if index == 0 else NOT_READY
    world.settle()
    return world


@state("no pod answers any more")
def _() -> World:
    world = serving()
    world.pods = lambda deployment, index: NOT_READY
    world.settle()
    return world


@state("scaled to zero")
def _() -> World:
    world = serving()
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 0}))
    world.settle()
    return world


@state("new version on its way: compressing")
def _() -> World:
    return changed(serving(), compress=Hangs())


@state("new version on its way: starting")
def _() -> World:
    return changed(serving(), pods=NOT_READY)


@state("new version rejected while the old serves")
def _() -> World:
    return changed(serving(), compress=Ends(message=a_publication(top1=0.90)))


@state("new version's answers differ while the old serves")
def _() -> World:
    return changed(serving(), pods=DIFFERS)


@state("canary answers beside the old version")
def _() -> World:
    return changed(serving(a_spec(rollout={"steps": [{"weight": 50, "pause": "60s"}]})))


@state("canary waits for a person")
def _() -> World:
    world = changed(serving(a_spec(rollout={"steps": [{"weight": 50}]})))
    world.pass_time(6)
    return world


@state("canary paused at a step")
def _() -> World:
    world = changed(serving(a_spec(rollout={"steps": [{"weight": 50}]})))
    world.edit(lambda spec: spec["rollout"].__setitem__("paused", True))
    world.settle()
    return world


@state("canary fails its requests")
def _() -> World:
    world = changed(serving(a_spec(rollout={"steps": [{"weight": 50}]})))
    candidate = world.status["candidateRevision"]
    world.requests = lambda pod: Requests(good=0, bad=9) if candidate in pod["metadata"]["name"] else Requests()
    world.pass_time(6)
    return world


@state("new version aborted")
def _() -> World:
    world = changed(serving(a_spec(rollout={"steps": [{"weight": 50}]})))
    action = {"revision": world.status["candidateRevision"], "do": "Abort"}
    world.edit(lambda spec: spec["rollout"].__setitem__("action", action))
    world.settle()
    return world


@state("no room for a new version in time")
def _() -> World:
    world = changed(serving(), pods=UNSCHEDULABLE)
    world.pass_time(1801)
    return world


@state("pinned to an older version")
def _() -> World:
    world = serving()
    first = world.status["currentRevision"]
    changed(world)
    world.edit(lambda spec: spec["rollout"].__setitem__("pinRevision", first))
    world.pass_time(30)
    return world


@state("pinned to a version that is not there")
def _() -> World:
    world = serving()
    world.edit(lambda spec: spec["rollout"].__setitem__("pinRevision", "digits-0000000000"))
    world.settle()
    return world


@state("measuring anew while serving")
def _() -> World:
    world = serving()
    world.jobs = by_role(compress=Hangs())
    world.edit(lambda spec: spec["evaluation"].__setitem__("latency", {"threads": 2}))
    world.settle()
    return world


@state("source gone while serving")
def _() -> World:
    world = serving(a_spec(update={"interval": "5m"}))
    world.jobs = by_role(resolve=Ends(10, a_failure("SourceNotFound")))
    world.pass_time(301)
    return world


@state("suspended before anything served")
def _() -> World:
    world = World(a_spec(suspend=True))
    world.settle()
    return world


@state("suspended while the spec's version serves")
def _() -> World:
    world = serving()
    world.edit(lambda spec: spec.__setitem__("suspend", True))
    world.settle()
    return world


@state("suspended while an older version serves")
def _() -> World:
    world = serving()
    world.edit(lambda spec: spec.update(suspend=True, compression={"stages": [], "seed": 7}))
    world.settle()
    return world


@state("paused before a new version")
def _() -> World:
    world = serving()
    world.edit(lambda spec: spec.__setitem__("rollout", {"paused": True}))
    return changed(world)


@state("name taken by somebody else's Service")
def _() -> World:
    return troubled("NameConflict", Reference("v1", "Service", "team-a", "digits"))


@state("somebody keeps changing a field")
def _() -> World:
    return troubled("FieldConflict", Reference("apps/v1", "Deployment", "team-a", "digits-x"))


@state("the API server refuses a write")
def _() -> World:
    return troubled("WriteRefused", Reference("apps/v1", "Deployment", "team-a", "digits-x"))


def troubled(reason: str, reference: Reference) -> World:
    world = World()
    world.pods = lambda deployment, index: NOT_READY
    world.settle()
    world.problems = {reference: Problem(reason, "Something stands in the way; remove it.")}
    world.settle()
    return world


@state("spec not valid")
def _() -> World:
    spec = a_spec()
    spec["compression"]["stages"] = [{"polish": {}}]
    world = World(spec)
    world.settle()
    return world


@state("spec not valid while an older version serves")
def _() -> World:
    world = serving()
    world.edit(lambda spec: spec["compression"].__setitem__("stages", [{"polish": {}}]))
    world.settle()
    return world


@state("operator's own error")
def _() -> World:
    world = World()
    world.observe = lambda: _broken(World.observe(world))  # type: ignore[method-assign]
    world.settle()
    return world


def _broken(observed: Any) -> Any:
    child = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nonsense", "labels": "none"}}
    return type(observed)(observed.model, (*observed.children, child), observed.progress, observed.problems)


@state("deleting")
def _() -> World:
    world = serving()
    world.model["metadata"]["deletionTimestamp"] = stamp(world.now)
    world.settle()
    return world
