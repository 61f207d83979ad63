"""An API server, a Job controller, a Deployment controller and a kubelet in memory, as far as the planner can tell the
difference.

`World.settle` lets the operator make rounds until nothing changes, time included. What Jobs and serving pods do is
decided by scripts that a test may replace at any time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from tests.support.models import INSTALLATION, NOON, a_model, a_publication, a_resolution, an_answer, stamp

from modelpress.api.results import Failure
from modelpress.api.rollout import RolloutStatus
from modelpress.api.servingpod import HeldModel, PodAnswer, ServedModel
from modelpress.control.draft import attempt_of
from modelpress.control.plan import Observed, Plan, Problem, Reference
from modelpress.control.planner import plan
from modelpress.control.pods import is_ready
from modelpress.control.sets import wanted
from modelpress.render.installation import Installation
from modelpress.rollout.counting import NOTHING, Counted, count, total, window_of
from modelpress.rollout.queries import Answered, answered
from modelpress.triton.metrics import InferenceCounters


def loads(_pod: dict[str, Any], _revision: str) -> Failure | bool:
    """Have every pod prove what it is to load beside what it serves; False: it does not tell, a failure: it refuses."""
    return True


COUNTS_EVERY = 5.0
"""Seconds between two readings of counters."""
ROLE, REVISION = "modelpress.io/role", "modelpress.io/revision"


@dataclass(frozen=True)
class Ends:
    """How a Job ends: with this exit code and message in the container of that name (the last one if empty)."""

    exit_code: int = 0
    message: str = ""
    container: str = ""
    pod: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    deadline: bool = False


@dataclass(frozen=True)
class Hangs:
    """A Job whose pod does not end. `pod`: what its status says."""

    pod: dict[str, Any] = field(default_factory=dict)


Script = Callable[[dict[str, Any]], Ends | Hangs]


def obliging(job: dict[str, Any]) -> Ends | Hangs:
    """Have every Job succeed."""
    role = job["metadata"]["labels"][ROLE]
    if role == "ask":
        return Ends(message=an_answer(job))
    return Ends(message=a_resolution() if role == "resolve" else a_publication())


def healthy(deployment: dict[str, Any], index: int) -> dict[str, Any]:
    """Have every serving pod become ready."""
    running = {"state": {"running": {"startedAt": stamp(NOON)}}, "restartCount": 0}
    return {
        "conditions": [{"type": "Ready", "status": "True"}],
        "initContainerStatuses": [{"name": "agent", **running}],
        "containerStatuses": [{"name": "triton", **running}],
    }


@dataclass(frozen=True)
class Requests:
    """What a pod gets to do: requests a second that succeed, their duration in milliseconds, and such that fail.

    `queued`: how much of the duration they wait in the queue.
    """

    good: float = 20.0
    milliseconds: float = 10.0
    bad: float = 0.0
    queued: float = 0.0


def accepting(_route: dict[str, Any]) -> dict[str, Any] | None:
    """Have the Gateway accept every route at once; None would mean that it says nothing."""
    return {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}


def steady(_pod: dict[str, Any]) -> Requests | None:
    """Have every pod answer twenty requests a second, and tell its counters; None would mean that it does not tell."""
    return Requests()


def wire(value: Any) -> Any:
    """Return `value` as it comes back from an API server."""
    return orjson.loads(orjson.dumps(value))


@functools.lru_cache(maxsize=4096)
def read(content: bytes) -> Any:
    """Return what JSON says; not a copy of its own, since whoever observes changes nothing."""
    return orjson.loads(content)


class World:
    """One namespace with one model."""

    def __init__(self, spec: dict[str, Any] | None = None, installation: Installation = INSTALLATION) -> None:
        self.now: datetime = NOON
        self.installation = installation
        self.objects: dict[Reference, dict[str, Any]] = {}
        self.jobs: Script = obliging
        self.pods: Callable[[dict[str, Any], int], dict[str, Any]] = healthy
        self.problems: dict[Reference, Problem] = {}
        self.progress: dict[str, dict[str, Any]] = {}
        self.extensions: frozenset[str] = frozenset()
        self.gateway: Callable[[dict[str, Any]], dict[str, Any] | None] = accepting
        self.requests: Callable[[dict[str, Any]], Requests | None] = steady
        self.counts: dict[str, Counted] = {}
        self.loads: Callable[[dict[str, Any], str], Failure | bool] = loads
        self.figures: Callable[[str], float | str] = lambda query: "nobody knows"
        self.answers: dict[str, Answered] = {}
        self._counters: dict[str, InferenceCounters] = {}
        self._counted_at: datetime = NOON
        self.events: list[tuple[str, str, str]] = []
        self.history: list[Plan] = []
        self.created: list[str] = []
        self.deleted: list[str] = []
        self._version = 100
        model = a_model(spec=spec)
        self.key = Reference.of(model)
        self.objects[self.key] = model

    @property
    def model(self) -> dict[str, Any]:
        """The CompressedModel."""
        return self.objects[self.key]

    @property
    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.model["status"]
        return found

    def of(self, kind: str, role: str | None = None) -> list[dict[str, Any]]:
        """Return the objects of `kind`, by name."""
        found = [(reference.name, item) for reference, item in self.objects.items() if reference.kind == kind]
        return [
            item
            for _, item in sorted(found, key=lambda pair: pair[0])
            if role in (None, (item["metadata"].get("labels") or {}).get(ROLE))
        ]

    def names(self, kind: str, role: str | None = None) -> list[str]:
        """Return the names of the objects of `kind`."""
        return [item["metadata"]["name"] for item in self.of(kind, role)]

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the model's spec as a user would."""
        change(self.model["spec"])
        self.model["metadata"]["generation"] += 1
        self._touch(self.model)

    def observe(self) -> Observed:
        """Return a snapshot."""
        children = tuple(read(orjson.dumps(item)) for key, item in self.objects.items() if key != self.key)
        return Observed(
            read(orjson.dumps(self.model)),
            children,
            dict(self.progress),
            dict(self.problems),
            counts=dict(self.counts),
            holdings=self.holdings(),
            answers=dict(self.answers),
            extensions=self.extensions,
        )

    def holdings(self) -> dict[str, PodAnswer]:
        """Return what each pod that answers says of the versions that it holds, as its ConfigMap asks."""
        found = {}
        for pod in self.of("Pod", "serve"):
            config_map = self.objects.get(Reference("v1", "ConfigMap", "team-a", pod["metadata"]["labels"][REVISION]))
            asked = wanted(config_map) if config_map is not None else None
            if asked is not None and is_ready(pod):
                models = tuple(self._held(pod, model, serves=True) for model in asked.models)
                candidates = tuple(self._held(pod, model, serves=False) for model in asked.candidates)
                found[pod["metadata"]["name"]] = PodAnswer(ready=True, models=models, candidates=candidates)
        return found

    def _held(self, pod: dict[str, Any], model: ServedModel, *, serves: bool) -> HeldModel:
        revision = model.revision or pod["metadata"]["labels"][REVISION]
        said = self.loads(pod, revision)
        return HeldModel(
            name=model.name,
            version=model.version,
            revision=model.revision,
            manifest_digest=model.manifest_digest,
            verified=said is True,
            serves=serves and said is True,
            failure=said if isinstance(said, Failure) else None,
        )

    def plan(self) -> Plan:
        """Return what the operator would do now."""
        return plan(self.observe(), self.now, self.installation)

    def round(self) -> bool:
        """Let the operator make one round, then the controllers. Return whether anything changed."""
        before = self.fingerprint()
        self.read_counters()
        made = self.plan()
        self.history.append(made)
        self.carry_out(made)
        self.run_controllers()
        return self.fingerprint() != before

    def settle(self, limit: int = 60) -> None:
        """Make rounds until nothing changes at this moment."""
        for _ in range(limit):
            if not self.round():
                return
        raise AssertionError(f"still not settled: {self.history[-1]}")

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a round whenever the operator asked for one."""
        end = self.now + timedelta(seconds=seconds)
        self.settle()
        while (wait := self._wait()) is not None and self.now + timedelta(seconds=wait) <= end:
            self.now += timedelta(seconds=max(wait, 0.5))
            self.settle()
        self.now = max(self.now, end)
        self.settle()

    def _wait(self) -> float | None:
        """Return when the next round is: as the operator asked, and whenever a canary's counters are read."""
        asked, rollout = self.history[-1].requeue_after, self._canary()
        if rollout is None or rollout.stage == "Starting":
            return asked
        return min(COUNTS_EVERY, asked if asked is not None else COUNTS_EVERY)

    def _canary(self) -> RolloutStatus | None:
        """Return how far a canary is that answers, or is about to."""
        rollout = (self.model.get("status") or {}).get("rollout")
        counted = rollout and (rollout["stage"] != "Starting" or rollout["strategy"] == "Canary")
        return RolloutStatus.model_validate(rollout) if counted else None

    def read_counters(self) -> None:
        """Let pods do what they get to do, and read their counters while a canary answers."""
        passed, self._counted_at = (self.now - self._counted_at).total_seconds(), self.now
        canary, read = self._canary(), {}
        window = window_of(canary) if canary is not None else None
        for pod in self.of("Pod", "serve"):
            name, does = pod["metadata"]["name"], self.requests(pod)
            if does is not None:
                done = InferenceCounters(
                    requests=does.good * passed,
                    failures=does.bad * passed,
                    request_microseconds=does.good * passed * does.milliseconds * 1000,
                    queue_microseconds=does.good * passed * does.queued * 1000,
                )
                self._counters[name] = total((self._counters.get(name, NOTHING), done))
            if window is not None and is_ready(pod):
                told = self._counters.get(name, NOTHING) if does is not None else None
                read[name] = count(self.counts.get(name), window, told, self.now)
        self.counts = read
        self.answers = self._ask_prometheus(window) if window is not None else {}

    def _ask_prometheus(self, window: str) -> dict[str, Answered]:
        """Let Prometheus answer the queries of the spec, as `figures` says by name."""
        queries = (self.model["spec"].get("rollout") or {}).get("analysis", {}).get("queries", ())
        return {
            item["name"]: answered(self.answers.get(item["name"]), window, item["query"], self.figures(item["name"]))
            for item in queries
        }

    def restart_operator(self) -> None:
        """Forget what an operator knows that has just started."""
        self.counts, self.answers = {}, {}

    def carry_out(self, made: Plan) -> None:
        """Do what a plan says."""
        for wish in made.apply:
            self._apply(wire(wish.manifest), wish.at_creation, once=wish.once)
        for scale in made.scale:
            self.objects[scale.reference]["spec"]["replicas"] = scale.replicas
            self._touch(self.objects[scale.reference])
        for delete in made.delete:
            found = self.objects.get(delete.reference)
            if found is not None and found["metadata"]["uid"] == delete.uid:
                self.remove(delete.reference)
        for write in made.status:
            found = self.objects.get(write.reference)
            if found is not None and found.get("status") != wire(write.status):
                found["status"] = wire(write.status)
                self._touch(found, generation=False)
        self.events += [(note.type, note.reason, note.message) for note in made.events]

    def remove(self, reference: Reference) -> None:
        """Delete an object and what it owns."""
        gone = self.objects.pop(reference)
        self.deleted.append(str(reference))
        uid = gone["metadata"]["uid"]
        for other, item in list(self.objects.items()):
            owners = {owner["uid"] for owner in item["metadata"].get("ownerReferences") or ()}
            if uid in owners and other in self.objects:
                self.remove(other)

    def _apply(self, manifest: dict[str, Any], at_creation: Any, *, once: bool) -> None:
        reference = Reference.of(manifest)
        live = self.objects.get(reference)
        if live is None:
            if at_creation:
                manifest["spec"] = {**manifest["spec"], **at_creation["spec"]}
            self._version += 1
            manifest["metadata"] |= {
                "uid": f"uid-{reference.name}-{self._version}",
                "creationTimestamp": stamp(self.now),
                "generation": 1,
                "resourceVersion": str(self._version),
            }
            self.objects[reference] = manifest
            self.created.append(str(reference))
        elif not once:
            replicas = live.get("spec", {}).get("replicas")
            parts = {name: manifest[name] for name in ("spec", "data") if name in manifest}
            if replicas is not None:
                parts["spec"] = {**parts["spec"], "replicas": replicas}
            annotations = manifest["metadata"].get("annotations")
            changed = any(live.get(name) != part for name, part in parts.items())
            if changed or live["metadata"].get("annotations") != annotations:
                live.update(parts)
                if annotations is not None:
                    live["metadata"]["annotations"] = annotations
                self._touch(live, generation=changed)

    def fingerprint(self) -> bytes:
        """Return what tells this state of all objects from every other one."""
        return orjson.dumps(list(self.objects.values()))

    def _touch(self, item: dict[str, Any], *, generation: bool = False) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        if generation:
            item["metadata"]["generation"] = item["metadata"].get("generation", 1) + 1

    def run_controllers(self) -> None:
        """Let Jobs run, Deployments come up and the Gateway look at routes."""
        for job in self.of("Job"):
            if not (job.get("status") or {}).get("conditions"):
                self._run_job(job)
        for deployment in self.of("Deployment"):
            self._run_deployment(deployment)
        for route in self.of("HTTPRoute") + self.of("GRPCRoute"):
            self._run_route(route)

    def _run_route(self, route: dict[str, Any]) -> None:
        said = self.gateway(route)
        if said is not None:
            condition = {**said, "observedGeneration": route["metadata"]["generation"]}
            route["status"] = {"parents": [{"parentRef": route["spec"]["parentRefs"][0], "conditions": [condition]}]}

    def _run_job(self, job: dict[str, Any]) -> None:
        script = self.jobs(job)
        template = job["spec"]["template"]["spec"]
        first = [container["name"] for container in template.get("initContainers", ())]
        last = [container["name"] for container in template["containers"]]
        if isinstance(script, Hangs):
            self._put_pod(job, script.pod)
            return
        failing = script.container or last[0]
        statuses = {}
        for name in [*first, *last]:
            code = script.exit_code if name == failing else 0
            over = {"exitCode": code, "finishedAt": stamp(self.now)}
            over |= {"message": script.message} if name == failing else {}
            over |= {"reason": script.reason} if name == failing and script.reason else {}
            statuses[name] = {"name": name, "state": {"terminated": over}}
            if code:
                break
        pod = {
            "initContainerStatuses": [statuses[name] for name in first if name in statuses],
            "containerStatuses": [statuses.get(name, {"name": name, "state": {"waiting": {}}}) for name in last],
            **script.pod,
        }
        if not script.deadline:
            self._put_pod(job, pod)
        failed = script.exit_code or script.deadline or script.pod.get("reason")
        outcome = {"type": "Failed" if failed else "Complete", "status": "True", "lastTransitionTime": stamp(self.now)}
        outcome |= {"reason": "DeadlineExceeded"} if script.deadline else {}
        job["status"] = {"conditions": [outcome]}
        self._touch(job, generation=False)

    def _put_pod(self, owner: dict[str, Any], status: dict[str, Any], name: str = "") -> None:
        labels = owner["spec"]["template"]["metadata"]["labels"]
        if owner["kind"] == "Job":
            job_labels = {
                "batch.kubernetes.io/job-name": owner["metadata"]["name"],
                "batch.kubernetes.io/controller-uid": owner["metadata"]["uid"],
            }
            labels = {**labels, **job_labels}
        name = name or f"{owner['metadata']['name']}-pod"
        reference = Reference("v1", "Pod", "team-a", name)
        if reference in self.objects:
            self.objects[reference]["status"] = status
            return
        self._version += 1
        self.objects[reference] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": f"uid-{name}-{self._version}",
                "resourceVersion": str(self._version),
                "creationTimestamp": stamp(self.now),
                "labels": labels,
                "ownerReferences": [{"uid": owner["metadata"]["uid"]}],
            },
            "status": status,
        }

    def _run_deployment(self, deployment: dict[str, Any]) -> None:
        wanted = deployment["spec"]["replicas"]
        prefix = f"{deployment['metadata']['name']}-pod-"
        for name in self.names("Pod"):
            if name.startswith(prefix) and int(name.removeprefix(prefix)) >= wanted:
                self.remove(Reference("v1", "Pod", "team-a", name))
        ready = 0
        for index in range(wanted):
            status = self.pods(deployment, index)
            self._put_pod(deployment, status, f"{prefix}{index}")
            ready += {"type": "Ready", "status": "True"} in status.get("conditions", ())
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }


def attempts(world: World) -> list[int]:
    """Return the numbers of the compress and evaluate Jobs that are there."""
    return sorted(attempt_of(job) for role in ("compress", "evaluate") for job in world.of("Job", role))
