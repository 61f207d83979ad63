"""A new version is asked on the real cluster before it gets a request; one that is fast and wrong never gets one."""

from __future__ import annotations

import asyncio
from typing import Any

import kubectl
import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import AT_ONCE, FIRST, NAME, SECOND, current, pods, rejected, wanted
from tests.support.waves import Waves
from tests.support.workplace import Workplace, wait_for

GATES = [
    {"metric": "top1", "goal": "Threshold", "value": 0.8, "measuredOn": "ServingRuntime"},
    {"metric": "latency", "goal": "Threshold", "value": 2000, "measuredOn": "ServingRuntime"},
]
CAUTIOUS = {"strategy": "Canary", "steps": [{"weight": 50, "pause": "2s"}], "scaleDownDelay": "0s"}
DISAGREEING = {**CAUTIOUS, "analysis": {"disagreement": {"max": 0.02}, "minRequests": 1}}


def demanding(workplace: Workplace, version: str, judged_by: str, rollout: Any = AT_ONCE) -> dict[str, Any]:
    """Return a version whose answers, once it is served, have to be those of `judged_by`, by whose data it is asked."""
    model = wanted(workplace, version, rollout)
    evaluation = model["spec"]["evaluation"]
    evaluation["test"]["uri"] = f"s3://data/{workplace.namespace}/{judged_by}/test.npz"
    evaluation["gates"] = GATES
    return model


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version, Ready."""
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    workplace.apply(wanted(workplace, FIRST))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def asks(workplace: Workplace) -> list[dict[str, Any]]:
    """Return the Jobs that ask."""
    found: list[dict[str, Any]] = kubectl.get(workplace.namespace, "jobs", "--selector", "modelpress.io/role=ask")[
        "items"
    ]
    return found


def verifying(workplace: Workplace) -> list[str]:
    """Return what is there to verify a revision."""
    kinds = "deployments,services,configmaps,networkpolicies"
    found = kubectl.get(workplace.namespace, kinds, "--selector", "modelpress.io/role=verify")["items"]
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


async def test_a_fast_and_wrong_version_never_gets_a_request(served: Workplace) -> None:
    """It compresses without loss, reproduces its judge's answers in its pods, and is wrong about the test data."""
    stable = await asyncio.to_thread(current, served)
    async with rollouts.waves(served) as load:
        await asyncio.to_thread(served.apply, demanding(served, SECOND, judged_by=FIRST))
        await asyncio.to_thread(served.await_condition, NAME, "Stalled", "True", "GateFailed", 300)
        await load.until(lambda answers: answers[FIRST] > 20)
    status = served.model(NAME)["status"]
    candidate = status["candidateRevision"]
    _never_asked(served, load, candidate, stable)
    refusal = rejected(served, candidate)["message"]
    assert "Asked before it got any request: top1 is 0.500" in refusal, refusal
    assert [gate["outcome"] for gate in status["verification"]["gates"]] == ["Fail", "Pass"]
    assert status["verification"]["node"]
    print(f"{load.sent} requests, {dict(load.answers)}; {refusal}; {status['verification']['latency']}")


async def test_a_version_that_disagrees_with_the_one_that_serves_never_gets_a_request(served: Workplace) -> None:
    stable = await asyncio.to_thread(current, served)
    async with rollouts.waves(served) as load:
        await asyncio.to_thread(served.apply, wanted(served, SECOND, DISAGREEING))
        await asyncio.to_thread(served.await_condition, NAME, "Stalled", "True", "Disagreement", 300)
        await load.until(lambda answers: answers[FIRST] > 20)
    candidate = served.model(NAME)["status"]["candidateRevision"]
    _never_asked(served, load, candidate, stable)
    told = f"It answers otherwise than {stable} on 30 of 60 samples"
    assert told in rejected(served, candidate)["message"]


async def test_a_version_that_keeps_its_gates_takes_over_and_shows_its_figures(served: Workplace) -> None:
    async with rollouts.waves(served) as load:
        await asyncio.to_thread(served.apply, demanding(served, SECOND, judged_by=SECOND, rollout=CAUTIOUS))
        await asyncio.to_thread(served.await_ready, NAME, 300)
        await load.until(lambda answers: answers[SECOND] > 20)
    assert not load.failures, load.failures[:3]
    status = served.model(NAME)["status"]
    assert status["verification"]["revision"] == status["currentRevision"]
    assert [gate["outcome"] for gate in status["verification"]["gates"]] == ["Pass", "Pass"]
    assert status["verification"]["agreement"] == 1.0
    assert served.conditions(NAME)["Verified"]["reason"] == "VerificationPassed"
    wait_for(lambda: not verifying(served), "what verified it to be gone", explain=lambda: str(verifying(served)))
    assert "VerificationPassed" in [reason for reason, _ in served.events(NAME)]
    for job in asks(served):
        (ask,) = job["spec"]["template"]["spec"]["containers"]
        assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
        assert not any("secret" in mount["name"] for mount in ask["volumeMounts"])


def _never_asked(served: Workplace, load: Waves, candidate: str, stable: str) -> None:
    """Fail if the candidate has answered, or was ever there to."""
    assert not load.failures, load.failures[:3]
    assert load.answers[SECOND] == 0
    assert load.answers[FIRST] > 20
    assert current(served) == stable
    assert pods(served, candidate) == set()
    wait_for(lambda: not verifying(served), "what verified it to be gone", explain=lambda: str(verifying(served)))
    services = [item["metadata"]["name"] for item in kubectl.get(served.namespace, "services")["items"]]
    assert candidate not in services
