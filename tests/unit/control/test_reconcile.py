"""Rounds: what is seen, what an error does, and when the next one comes. Nothing here touches a network."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import pytest

from modelpress.api.base import API_VERSION
from modelpress.api.names import MODEL_LABEL
from modelpress.control.carry_out import CarryOut, Outcome
from modelpress.control.lease import LeaseLostError
from modelpress.control.metrics import Metrics
from modelpress.control.objects import Key, Objects
from modelpress.control.observe import Observer
from modelpress.control.plan import Manifest, Observed, Plan, Problem, Reference
from modelpress.control.queue import WorkQueue
from modelpress.control.reconcile import Reconciler
from modelpress.control.sender import UnavailableError

KEY = Key("team", "digits")
CHILD = Reference("v1", "ConfigMap", "team", "child")
PROBLEM = Problem("NameConflict", "It is theirs.")


def manifest(api_version: str, kind: str, name: str, version: int) -> dict[str, Any]:
    labels = {MODEL_LABEL: "digits"}
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


class Bench:
    """A reconciler whose planner and carrier do as they are told, and a server that holds `on_server`."""

    def __init__(self) -> None:
        self.objects, self.queue, self.metrics = Objects(), WorkQueue[Key](), Metrics()
        self.objects.put(manifest(API_VERSION, "CompressedModel", "digits", 1))
        self.seen: list[Observed] = []
        self.outcome: Outcome | Exception = Outcome()
        self.on_server: dict[Reference, Manifest] = {}
        self.progress: dict[str, Any] = {}
        self.observer = Observer(self.objects, self, self.progress, {}, {})
        self.reconciler: Reconciler[None] = Reconciler(
            self.plan,
            None,
            observer=self.observer,
            carrier=cast(CarryOut, self),
            queue=self.queue,
            metrics=self.metrics,
        )

    def plan(self, observed: Observed, _now: datetime, _installation: None) -> Plan:
        self.seen.append(observed)
        return Plan()

    async def carry_out(self, *_: Any) -> Outcome:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def forget(self, _key: Key) -> None:
        pass

    async def read(self, reference: Reference) -> Manifest | None:
        return self.on_server.get(reference)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.control.observe.PATIENCE", 0.01)


async def test_a_problem_is_in_the_next_snapshot_which_comes_at_once_and_then_only_in_its_time() -> None:
    bench = Bench()
    bench.outcome = Outcome(problems={CHILD: PROBLEM}, again_in=60.0)
    await bench.reconciler.round(KEY)
    assert len(bench.queue) == 1, "at once"
    assert await bench.queue.get() == KEY
    await bench.reconciler.round(KEY)
    bench.queue.done(KEY)
    assert bench.seen[1].problems == {CHILD: PROBLEM}
    assert (len(bench.queue), bench.queue.delayed) == (0, 1)
    bench.outcome = Outcome()
    await bench.reconciler.round(KEY)
    await bench.reconciler.round(KEY)
    assert bench.seen[-1].problems == {}


async def test_after_a_write_the_snapshot_waits_for_the_watch_and_then_asks_the_server() -> None:
    bench = Bench()
    bench.objects.put(manifest("v1", "ConfigMap", "child", 3))
    bench.outcome = Outcome(seen={CHILD: 5})
    await bench.reconciler.round(KEY)
    bench.on_server[CHILD] = manifest("v1", "ConfigMap", "child", 6)
    bench.outcome = Outcome()
    await bench.reconciler.round(KEY)
    assert [child["metadata"]["resourceVersion"] for child in bench.seen[1].children] == ["6"]


async def test_a_server_that_is_away_leaves_the_next_snapshot_waiting() -> None:
    bench = Bench()
    bench.objects.put(manifest("v1", "ConfigMap", "child", 3))
    bench.observer.expect(KEY, CHILD, 5)

    async def away(_reference: Reference) -> Manifest | None:
        raise UnavailableError("away")

    read, bench.read = bench.read, away  # type: ignore[method-assign]
    await bench.reconciler.round(KEY)
    assert bench.seen == []
    bench.read = read  # type: ignore[method-assign]
    bench.on_server[CHILD] = manifest("v1", "ConfigMap", "child", 6)
    await bench.reconciler.round(KEY)
    assert [child["metadata"]["resourceVersion"] for child in bench.seen[0].children] == ["6"]


async def test_an_object_that_the_server_no_longer_has_is_gone_from_the_snapshot() -> None:
    bench = Bench()
    bench.objects.put(manifest("v1", "ConfigMap", "child", 3))
    bench.observer.expect(KEY, CHILD, 4)
    await bench.reconciler.round(KEY)
    assert bench.seen[0].children == ()


async def test_a_snapshot_shows_the_progress_of_the_models_own_jobs_alone() -> None:
    bench = Bench()
    bench.objects.put(manifest("batch/v1", "Job", "ours", 3))
    bench.progress |= {"team/ours": {"done": 0.5}, "team/theirs": {"done": 1}}
    await bench.reconciler.round(KEY)
    assert bench.seen[0].progress == {"ours": {"done": 0.5}}


@pytest.mark.parametrize("error", [UnavailableError("away"), KeyError("a mistake")])
async def test_a_failed_round_is_counted_and_comes_back(error: Exception) -> None:
    bench = Bench()
    bench.outcome = error
    await bench.reconciler.round(KEY)
    assert bench.queue.delayed == 1
    name = type(error).__name__
    assert bench.metrics.registry.get_sample_value("modelpress_reconcile_errors_total", {"error": name}) == 1


async def test_a_lost_lease_is_not_survived() -> None:
    bench = Bench()
    bench.outcome = LeaseLostError("gone")
    with pytest.raises(LeaseLostError):
        await bench.reconciler.round(KEY)


async def test_a_model_that_is_gone_is_not_planned() -> None:
    bench = Bench()
    bench.objects.drop(manifest(API_VERSION, "CompressedModel", "digits", 2))
    await bench.reconciler.round(KEY)
    assert (bench.seen, len(bench.queue), bench.queue.delayed) == ([], 0, 0)
