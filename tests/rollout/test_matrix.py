"""Every strategy in every hard case, on the real cluster and under load: how it ends, and what clients met.

`make test-rollout` runs it. Each case prints its row of the table that is kept in .cluster/rollout-matrix.md. The same
cases, and more of them, are tried in memory by tests/unit/control/test_planner_hard_cases.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import kubectl
import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import FIRST, NAME, SECOND, SHORT, SHORT_LACKS, THIRD, a_pod, current
from tests.rollout import table
from tests.rollout.stage import FINAL, STRATEGIES, Stage
from tests.rollout.table import Row
from tests.support import node
from tests.support.workplace import Workplace, wait_for

READING_SECONDS, ALLOWED_SECONDS = 5, 5
"""The operator reads counters once in the one; beyond that, so long may a bad candidate answer."""
OPERATORS = ("--namespace=modelpress-system", "--selector=app.kubernetes.io/component=operator")
Case = Callable[[Stage], Awaitable[str]]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A namespace in which the store has all versions; the table begins anew."""
    table.begin()
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    return workplace


async def nothing(stage: Stage) -> str:
    return SECOND


async def a_third_version(stage: Stage) -> str:
    await stage.apply(THIRD)
    return THIRD


async def back_to_the_first(stage: Stage) -> str:
    await stage.apply(FIRST)
    return FIRST


async def back_and_forth(stage: Stage) -> str:
    await stage.apply(FIRST)
    await stage.apply(SECOND)
    return SECOND


async def abort_during_a_return(stage: Stage) -> str:
    await stage.apply(FIRST)
    await stage.apply(FIRST, {"action": {"revision": stage.candidate, "do": "Abort"}})
    return FIRST


async def promotion_of_the_overtaken(stage: Stage) -> str:
    """The word is about a revision that is not the candidate any more: the third one is not promoted by it."""
    await stage.apply(THIRD, {"action": {"revision": stage.candidate, "do": "Promote"}})
    third = await stage.another_candidate()
    if stage.strategy == "Canary":
        await asyncio.to_thread(stage.workplace.await_condition, NAME, "Ready", "False", "AwaitingPromotion")
        assert await asyncio.to_thread(current, stage.workplace) == stage.old
    assert third not in (stage.old, stage.candidate)
    return THIRD


async def a_pod_of_the_old_set_deleted(stage: Stage) -> str:
    """A Recreate has none at that time."""
    if stage.old in await asyncio.to_thread(rollouts.revisions_with_pods, stage.workplace):
        await asyncio.to_thread(delete_pod, stage.workplace, stage.old)
    return SECOND


async def a_pod_of_the_candidate_deleted(stage: Stage) -> str:
    await asyncio.to_thread(delete_pod, stage.workplace, stage.candidate)
    return SECOND


async def the_node_drained(stage: Stage) -> str:
    """As `kubectl drain` does: nothing new comes to the node, and a pod is evicted; later the node is back."""
    with_pods = await asyncio.to_thread(rollouts.revisions_with_pods, stage.workplace)
    await asyncio.to_thread(drain_a_pod, stage.workplace, stage.old if stage.old in with_pods else stage.candidate)
    return SECOND


async def the_operator_killed(stage: Stage) -> str:
    await asyncio.to_thread(kubectl.run, "kubectl", "delete", "pods", *OPERATORS, "--grace-period=0", "--force")
    return SECOND


async def more_replicas(stage: Stage) -> str:
    await stage.apply(SECOND, replicas=3)
    return SECOND


async def an_autoscaler_scales(stage: Stage) -> str:
    """Kubernetes' own HPA takes the stable set to the least that it may have."""
    await stage.apply(SECOND, autoscaling={"minReplicas": 3, "maxReplicas": 3, "target": {"cpu": 90}})
    return SECOND


async def paused_for_a_while(stage: Stage) -> str:
    await stage.apply(SECOND, {"paused": True})
    await asyncio.to_thread(stage.workplace.await_condition, NAME, "Ready", "False", "Paused")
    await stage.apply(SECOND)
    return SECOND


async def the_test_data_gone(stage: Stage) -> str:
    gone = stage.spec(SECOND)
    test = gone["spec"]["evaluation"]["test"]
    test["uri"] = test["uri"].replace("test.npz", "gone.npz")
    await asyncio.to_thread(stage.workplace.apply, gone)
    await asyncio.to_thread(stage.workplace.await_condition, NAME, "Stalled", "True", "DatasetNotFound")
    assert await asyncio.to_thread(current, stage.workplace) == stage.old
    await stage.apply(SECOND)
    return SECOND


async def another_strategy(stage: Stage) -> str:
    stage.strategy = "BlueGreen" if stage.strategy == "Canary" else "Canary"
    await stage.apply(SECOND)
    return SECOND


COMES_TO: tuple[Case, ...] = (
    nothing,
    a_third_version,
    back_to_the_first,
    back_and_forth,
    abort_during_a_return,
    promotion_of_the_overtaken,
    a_pod_of_the_old_set_deleted,
    a_pod_of_the_candidate_deleted,
    the_node_drained,
    the_operator_killed,
    more_replicas,
    an_autoscaler_scales,
    paused_for_a_while,
    the_test_data_gone,
    another_strategy,
)
"""What may happen half way; each returns the version that is to serve in the end."""
IN_MEMORY_ONLY = [("Recreate", case) for case in (paused_for_a_while, promotion_of_the_overtaken, more_replicas)]
"""What brings nothing new on a cluster, for the sake of the time it takes."""
ENDINGS = [(name, case) for name in STRATEGIES for case in COMES_TO if (name, case) not in IN_MEMORY_ONLY]


@pytest.mark.parametrize(("strategy", "case"), ENDINGS, ids=lambda part: getattr(part, "__name__", part))
async def test_it_ends_at_the_version_that_is_asked_for(served: Workplace, strategy: str, case: Case) -> None:
    stage = Stage(served, strategy, f"{strategy}-{case.__name__}", loser=FIRST)
    async with stage:
        interrupts = stage.interrupts
        await stage.half_way_to(SECOND)
        stage.happens()
        version = await case(stage)
        await stage.ends_at(version)
    last, seconds = stage.last_answer if version != FIRST else None, stage.ended - stage.injected
    name = case.__name__.replace("_", " ")
    table.add(Row(strategy, name, f"serves {version}", stage.requests, len(stage.failures), seconds, last))
    assert interrupts or not stage.failures, stage.failures[:3]


async def aborted(stage: Stage) -> str:
    await stage.half_way_to(SECOND)
    stage.happens()
    await stage.apply(SECOND, {"action": {"revision": stage.candidate, "do": "Abort"}})
    return "Aborted"


async def no_room(stage: Stage) -> str:
    stage.happens()
    await stage.apply(SECOND, {"progressDeadline": "10s"}, resources={"requests": {"cpu": "64"}})
    return "InsufficientCapacity"


async def triton_crashes(stage: Stage) -> str:
    await stage.half_way_to(SECOND)
    stage.happens()
    pod = await asyncio.to_thread(a_pod, stage.workplace, stage.candidate)
    await asyncio.to_thread(node.kill, pod, node.TRITON)
    return "CandidateUnhealthy"


async def fails_once_it_is_asked_for_more(stage: Stage) -> str:
    """SHORT answers all of the test data, and lacks what clients begin to ask for."""
    await stage.half_way_to(SHORT, {"analysis": {"minRequests": 20}})
    stage.happens(SHORT_LACKS)
    return "AnalysisFailed"


async def right_and_slow(stage: Stage) -> str:
    """Each request waits for others to join it for longer than the old version takes in all."""
    stage.happens()
    limits = {"minRequests": 20, "maxLatencyIncrease": 0.5, "onInconclusive": "Pause"}
    await stage.apply(
        SECOND, {"steps": [FINAL], "analysis": limits}, batching={"maxBatchSize": 64, "maxQueueDelay": "400ms"}
    )
    return "AnalysisFailed"


async def requests_queue(stage: Stage) -> str:
    stage.happens()
    limits = {"minRequests": 20, "maxQueueTime": "150ms", "onInconclusive": "Pause"}
    await stage.apply(
        SECOND, {"steps": [FINAL], "analysis": limits}, batching={"maxBatchSize": 128, "maxQueueDelay": "400ms"}
    )
    return "AnalysisFailed"


FAULTS: tuple[tuple[str, Case], ...] = (
    *((strategy, case) for case in (aborted, no_room) for strategy in STRATEGIES),
    ("Canary", triton_crashes),
    ("Canary", fails_once_it_is_asked_for_more),
    ("Canary", right_and_slow),
    ("Canary", requests_queue),
)
"""What sends a candidate back; each returns the reason. Only a canary has requests while it is a candidate."""
AT_ONCE = (triton_crashes, fails_once_it_is_asked_for_more)
"""Faults after which seconds are counted: all else takes as many requests as tell."""
HURTS = (triton_crashes, fails_once_it_is_asked_for_more)
"""Faults by which requests fail."""


@pytest.mark.parametrize(("strategy", "case"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
async def test_it_goes_back_by_itself(served: Workplace, strategy: str, case: Case) -> None:
    loser = SHORT if case is fails_once_it_is_asked_for_more else SECOND
    stage = Stage(served, strategy, f"{strategy}-{case.__name__}", loser)
    async with stage:
        reason = await case(stage)
        await stage.goes_back(reason)
    last, seconds = stage.last_answer, stage.ended - stage.injected
    name = case.__name__.replace("_", " ")
    table.add(Row(strategy, name, f"goes back: {reason}", stage.requests, len(stage.failures), seconds, last))
    told = await asyncio.to_thread(rollouts.rejected, served, stage.candidate)
    assert told["reason"] == reason
    assert any(given == reason for given, _ in await asyncio.to_thread(served.events, NAME))
    assert case in HURTS or stage.interrupts or not stage.failures, stage.failures[:3]
    assert strategy == "Canary" or last is None, "it never had a request"
    if case in AT_ONCE:
        assert last is None or last <= READING_SECONDS + ALLOWED_SECONDS


def delete_pod(workplace: Workplace, revision: str) -> None:
    """Delete a pod of a revision, and return when it is gone."""
    name = a_pod(workplace, revision)["metadata"]["name"]
    kubectl.run("kubectl", "delete", "pod", name, f"--namespace={workplace.namespace}", "--timeout=120s")


def drain_a_pod(workplace: Workplace, revision: str) -> None:
    """Close the node, evict a pod of a revision, see that another one waits for a node, and open the node again."""
    pod = a_pod(workplace, revision)["metadata"]["name"]
    machine = kubectl.get(workplace.namespace, "pod", pod)["spec"]["nodeName"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{workplace.namespace}/pods/{pod}/eviction"

    def evicted() -> bool:
        try:
            kubectl.run("kubectl", "create", "--raw", path, "--filename=-", stdin=json.dumps(eviction))
        except kubectl.CommandError as error:
            if "disruption budget" in str(error):
                return False  # another pod is not back yet
            raise
        return True

    def waits() -> bool:
        found = kubectl.get(workplace.namespace, "pods")["items"]
        return any(item["status"]["phase"] == "Pending" and not item["spec"].get("nodeName") for item in found)

    kubectl.run("kubectl", "cordon", machine)
    try:
        wait_for(evicted, f"leave to evict {pod}")
        wait_for(waits, "a pod that waits for a node", explain=lambda: workplace.explain(NAME))
    finally:
        kubectl.run("kubectl", "uncordon", machine)
