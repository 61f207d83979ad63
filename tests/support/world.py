"""A model in a cluster in memory, and the operator, which makes rounds.

`World.settle` lets it make rounds until nothing changes, time included. What happens beside it is in `controllers.py`,
and how that goes in `scripts.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
from tests.support.controllers import Controllers
from tests.support.models import INSTALLATION, NOON, a_model
from tests.support.scripts import (
    REVISION,
    ROLE,
    Ends,
    Hangs,
    Requests,
    Script,
    accepting,
    healthy,
    loads,
    obliging,
    steady,
)

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

__all__ = [
    "REVISION",
    "ROLE",
    "Ends",
    "Hangs",
    "Requests",
    "Script",
    "World",
    "accepting",
    "attempts",
    "healthy",
    "loads",
    "obliging",
    "steady",
]

COUNTS_EVERY = 5.0
"""Seconds between two readings of counters."""


@functools.lru_cache(maxsize=4096)
def read(content: bytes) -> Any:
    """Return what JSON says; not a copy of its own, since whoever observes changes nothing."""
    return orjson.loads(content)


class World(Controllers):
    """One namespace with one model."""

    def __init__(self, spec: dict[str, Any] | None = None, installation: Installation = INSTALLATION) -> None:
        super().__init__()
        self.installation = installation
        self.problems: dict[Reference, Problem] = {}
        self.progress: dict[str, dict[str, Any]] = {}
        self.extensions: frozenset[str] = frozenset()
        self.requests: Callable[[dict[str, Any]], Requests | None] = steady
        self.counts: dict[str, Counted] = {}
        self.loads: Callable[[dict[str, Any], str], Failure | bool] = loads
        self.figures: Callable[[str], float | str] = lambda query: "nobody knows"
        self.answers: dict[str, Answered] = {}
        self._counters: dict[str, InferenceCounters] = {}
        self._counted_at: datetime = NOON
        self.history: list[Plan] = []
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


def attempts(world: World) -> list[int]:
    """Return the numbers of the compress and evaluate Jobs that are there."""
    return sorted(attempt_of(job) for role in ("compress", "evaluate") for job in world.of("Job", role))
