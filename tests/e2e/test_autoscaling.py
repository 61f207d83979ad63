"""Pods follow the load, counted by Kubernetes' own HPA: no request is lost, and nobody fights over replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kubectl
import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.audit import HPA_CONTROLLER, OPERATOR, Write, writes
from tests.support.load import Load, Question
from tests.support.workplace import Workplace, sparing, wait_for

NAME, WEIGHTS = "elastic", "weights.safetensors"
ROW = {"row": np.linspace(-1, 1, 128, dtype=np.float32).reshape(32, 4)}
WIDTH = 768
"""Of the network: a request takes a millisecond or more, so that load is told from idling on a busy machine, too."""
CODE = f"""
from torch import nn

def build():
    first, second, last = nn.Linear(4, {WIDTH}), nn.Linear({WIDTH}, {WIDTH}), nn.Linear({WIDTH}, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
"""
MOST = 3
AUTOSCALING = {"minReplicas": 1, "maxReplicas": MOST, "target": {"cpu": 60}}
REQUESTS = {"cpu": "40m", "memory": "300Mi"}
"""Of each pod's Triton: with `target.cpu` 60, a pod is added for every 24m that are used."""
BUSY, CALM = 0.5, 10.0
"""Seconds from one request of a client to its next: 100 requests a second take 100m, 5 a second next to nothing."""
T = TypeVar("T")

pytestmark = pytest.mark.long


def wanted(workplace: Workplace, batch: int = 64, **serving: object) -> dict[str, Any]:
    """A small model with `serving`; another `batch` is another revision that gives the same answers."""
    found = manifest(BadInput(NAME, "", ""), workplace.namespace)
    found["spec"]["serving"] = {"batching": {"maxBatchSize": batch}, "resources": {"requests": REQUESTS}, **serving}
    return sparing(found)


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The model with an autoscaler and one pod, Ready."""
    folder = tmp_path_factory.mktemp(NAME)
    write_good(folder)
    _widen(folder / "source")
    workplace.put(folder, NAME)
    workplace.apply(wanted(workplace, autoscaling=AUTOSCALING))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def _widen(source: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"0": (WIDTH, 4), "2": (WIDTH, WIDTH), "4": (3, WIDTH)}
    weights = {f"{name}.weight": rng.normal(size=shape) / shape[1] ** 0.5 for name, shape in shapes.items()}
    biases = {f"{name}.bias": np.zeros(shape[0]) for name, shape in shapes.items()}
    save_file({name: array.astype(np.float32) for name, array in (weights | biases).items()}, source / WEIGHTS)
    (source / "net.py").write_text(CODE)


@dataclass(frozen=True)
class Rise:
    """What came of the load."""

    load: Load
    seconds: float
    """From the first request until all pods answered."""
    writes: list[Write]
    """Writes in the namespace in that time."""


@pytest.fixture(scope="module")
def risen(served: Workplace, installed: Path) -> Rise:
    """The model, which had one pod, after it was asked until it had as many as it may have."""
    assert deployment(served)["spec"]["replicas"] == 1
    since = time.time()

    def rise() -> float:
        await_pods(served, MOST)
        return time.time() - since

    load, seconds = asyncio.run(under_load(served, rise))
    return Rise(load, seconds, written(served, installed, since))


async def under_load(workplace: Workplace, act: Callable[[], T], interval: float = BUSY) -> tuple[Load, T]:
    """Ask over 25 connections of each protocol before, while and after `act` runs; return what it returned, too."""
    answer = await asyncio.to_thread(workplace.ask, NAME, ROW, ["scores"])
    load = Load(
        Question(NAME, ROW, {"any": answer}),
        http=workplace.service_address(NAME, 8000),
        grpc=workplace.service_address(NAME, 8001),
        connections=25,
        interval=interval,
    )
    async with load:
        await load.until_sent(50)
        result = await asyncio.to_thread(act)
        await load.until_sent(50)
    return load, result


def serve(workplace: Workplace, **serving: object) -> None:
    """Change how the model is served, but not its revision."""
    batch = workplace.model(NAME)["spec"]["serving"]["batching"]["maxBatchSize"]
    workplace.apply(wanted(workplace, batch, **serving))


def assert_clean(load: Load) -> None:
    """No request was lost, and none got a wrong answer."""
    print(f"HTTP: {load.http}", f"gRPC: {load.grpc}", sep="\n")
    assert load.http.clean, f"HTTP: {load.http}"
    assert load.grpc.clean, f"gRPC: {load.grpc}"


def written(workplace: Workplace, installed: Path, since: float) -> list[Write]:
    """Return who wrote what in the namespace."""
    return writes(installed.parent / "audit.log", {workplace.namespace}, since)


def current(workplace: Workplace) -> str:
    return str(workplace.model(NAME)["status"]["currentRevision"])


def deployment(workplace: Workplace) -> dict[str, Any]:
    """The Deployment of the revision that serves."""
    return kubectl.get(workplace.namespace, "deployment", current(workplace))


def autoscalers(workplace: Workplace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get(workplace.namespace, "horizontalpodautoscalers")["items"]
    return found


def target(workplace: Workplace) -> str:
    """Which Deployment the one autoscaler scales."""
    (found,) = autoscalers(workplace)
    return str(found["spec"]["scaleTargetRef"]["name"])


def await_pods(workplace: Workplace, count: int, seconds: float = 300.0) -> None:
    """Wait until what serves has `count` pods, all answer, no other pod is left, and the status says so."""

    def look() -> bool:
        status = workplace.model(NAME)["status"]
        told = (status.get("replicas"), status.get("readyReplicas"))
        asked = deployment(workplace)["spec"]["replicas"]
        selector = f"--selector=modelpress.io/model={NAME},modelpress.io/role=serve"
        return asked == count and told == (count, count) and len(_pods(workplace, selector)) == count

    wait_for(look, f"{count} pods that serve", seconds, lambda: explain(workplace))


def _pods(workplace: Workplace, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get(workplace.namespace, "pods", selector)["items"]
    return found


def explain(workplace: Workplace) -> str:
    """Say what the cluster knows of the model and its autoscaler, for a failed test."""
    described = kubectl.run("kubectl", "describe", "horizontalpodautoscalers", "--namespace", workplace.namespace)
    return f"{workplace.explain(NAME)}\n{described}"


def shown(workplace: Workplace, column: str) -> str:
    """Return what `kubectl get cmodel` shows in `column`."""
    heads, cells = kubectl.run("kubectl", "get", "cmodel", NAME, "--namespace", workplace.namespace).splitlines()
    return cells[heads.index(column) :].split()[0]


def scaled_by(found: list[Write], user: str) -> list[Write]:
    return [write for write in found if write.user == user and write.resource == "deployments/scale"]


def test_one_autoscaler_named_as_the_model_is_on_what_serves_and_the_status_says_who_counts(served: Workplace) -> None:
    (found,) = autoscalers(served)
    assert found["metadata"]["name"] == NAME
    assert target(served) == current(served)
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"]) == (1, MOST)

    def look() -> bool:
        counts = {"AbleToScale": "True", "ScalingActive": "True"}.items() <= _conditions(served).items()
        return counts and served.model(NAME)["status"]["autoscaling"] == {"engine": "HPA", "message": ""}

    wait_for(look, "an autoscaler that counts", 120, lambda: explain(served))


def _conditions(workplace: Workplace) -> dict[str, str]:
    """Return what the autoscaler says of itself; nothing before its first look."""
    (found,) = autoscalers(workplace)
    return {item["type"]: item["status"] for item in found.get("status", {}).get("conditions", [])}


def test_under_load_pods_are_added_no_request_is_lost_and_the_autoscaler_alone_sets_their_number(
    served: Workplace, risen: Rise
) -> None:
    print(f"from 1 to {MOST} pods in {risen.seconds:.0f} s")
    assert_clean(risen.load)
    assert scaled_by(risen.writes, HPA_CONTROLLER)
    of_operator = [write for write in risen.writes if write.user == OPERATOR]
    assert [write for write in of_operator if write.resource.startswith("deployments")] == []
    assert shown(served, "REPLICAS") == str(MOST)
    assert shown(served, "READY") == "True"


async def test_a_new_version_starts_with_as_many_pods_as_the_old_one_has_and_takes_over_its_autoscaler(
    served: Workplace, risen: Rise, installed: Path
) -> None:
    first, since = current(served), time.time()

    def change() -> tuple[int, str]:
        served.apply(wanted(served, batch=32, autoscaling=AUTOSCALING))
        begun = wait_for(lambda: _beside(served, first), "a second Deployment", explain=lambda: explain(served))
        scaled = target(served)
        served.await_ready(NAME)
        await_pods(served, MOST)
        return begun["spec"]["replicas"], scaled

    load, (begun, scaled) = await under_load(served, change)
    print(f"a new version of {MOST} pods in {time.time() - since:.0f} s")
    assert_clean(load)
    assert begun == MOST
    assert scaled == first
    second = current(served)
    assert second != first
    assert target(served) == second
    assert scaled_by(written(served, installed, since), OPERATOR) == []


def _beside(workplace: Workplace, first: str) -> dict[str, Any] | None:
    """Return the Deployment that is not that of `first`, if there is one."""
    found = kubectl.get(workplace.namespace, "deployments")["items"]
    return next((item for item in found if item["metadata"]["name"] != first), None)


async def test_a_lower_maximum_is_obeyed_by_the_autoscaler_and_pods_that_go_lose_no_request(
    served: Workplace, risen: Rise, installed: Path
) -> None:
    since = time.time()

    def lower() -> None:
        serve(served, autoscaling=AUTOSCALING | {"maxReplicas": 1})
        await_pods(served, 1)

    load, _ = await under_load(served, lower)
    print(f"to 1 pod in {time.time() - since:.0f} s")
    assert_clean(load)
    found = written(served, installed, since)
    assert scaled_by(found, HPA_CONTROLLER)
    assert scaled_by(found, OPERATOR) == []


async def test_without_the_field_the_autoscaler_goes_and_then_the_pods_are_as_many_as_the_spec_says(
    served: Workplace, risen: Rise, installed: Path
) -> None:
    since = time.time()

    def take_away() -> None:
        serve(served, replicas=2)
        await_pods(served, 2)
        served.await_ready(NAME)

    load, _ = await under_load(served, take_away)
    print(f"to 2 pods without an autoscaler in {time.time() - since:.0f} s")
    assert_clean(load)
    assert autoscalers(served) == []
    assert "autoscaling" not in served.model(NAME)["status"]
    assert shown(served, "REPLICAS") == "2"
    found = written(served, installed, since)
    (gone,) = [write for write in found if (write.verb, write.resource) == ("delete", "horizontalpodautoscalers")]
    (scaled,) = scaled_by(found, OPERATOR)
    assert gone.user == OPERATOR
    assert gone.at < scaled.at
    assert [write for write in scaled_by(found, HPA_CONTROLLER) if write.at > scaled.at] == []


@pytest.mark.timeout(1200)
async def test_pods_go_when_the_load_does_and_no_request_is_lost(served: Workplace, installed: Path) -> None:
    serve(served, autoscaling=AUTOSCALING)
    busy, _ = await under_load(served, lambda: await_pods(served, MOST))
    assert_clean(busy)
    since = time.time()
    calm, _ = await under_load(served, lambda: await_pods(served, 1, seconds=900), CALM)
    print(f"from {MOST} to 1 pod in {time.time() - since:.0f} s")
    assert_clean(calm)
    assert scaled_by(written(served, installed, since), OPERATOR) == []
