"""Pods follow the load, counted by Kubernetes' own HPA: no request is lost, and nobody fights over replicas."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubectl
import pytest
from tests.e2e.elastic import (
    CALM,
    NAME,
    assert_clean,
    await_pods,
    current,
    deployment,
    explain,
    scaled_by,
    serve,
    shown,
    under_load,
    upload,
    wanted,
)
from tests.support.audit import HPA_CONTROLLER, OPERATOR, Write, writes
from tests.support.load import Load
from tests.support.workplace import Workplace, wait_for

MOST = 3
AUTOSCALING = {"minReplicas": 1, "maxReplicas": MOST, "target": {"cpu": 60}}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The model with an autoscaler and one pod, Ready."""
    upload(workplace, tmp_path_factory.mktemp(NAME))
    workplace.apply(wanted(workplace, autoscaling=AUTOSCALING))
    workplace.await_ready(NAME, seconds=600)
    return workplace


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


def written(workplace: Workplace, installed: Path, since: float) -> list[Write]:
    """Return who wrote what in the namespace."""
    return writes(installed.parent / "audit.log", {workplace.namespace}, since)


def autoscalers(workplace: Workplace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get(workplace.namespace, "horizontalpodautoscalers")["items"]
    return found


def target(workplace: Workplace) -> str:
    """Which Deployment the one autoscaler scales."""
    (found,) = autoscalers(workplace)
    return str(found["spec"]["scaleTargetRef"]["name"])


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
