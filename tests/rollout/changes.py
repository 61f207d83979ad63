"""What may happen half way from a version to the next; each case returns the version that is to serve in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import kubectl
from tests.e2e import rollouts
from tests.e2e.rollouts import NAME, current
from tests.rollout.stage import IN_PLACE, RECREATE, STRATEGIES, Stage
from tests.support.workplace import Workplace, wait_for

Case = Callable[[Stage], Awaitable[str]]
OPERATORS = ("--namespace=modelpress-system", "--selector=app.kubernetes.io/component=operator")


async def nothing(stage: Stage) -> str:
    return stage.second


async def a_third_version(stage: Stage) -> str:
    await stage.apply(stage.third)
    return stage.third


async def back_to_the_first(stage: Stage) -> str:
    await stage.apply(stage.first)
    return stage.first


async def back_and_forth(stage: Stage) -> str:
    await stage.apply(stage.first)
    await stage.apply(stage.second)
    return stage.second


async def abort_during_a_return(stage: Stage) -> str:
    await stage.apply(stage.first)
    await stage.apply(stage.first, {"action": {"revision": stage.candidate, "do": "Abort"}})
    return stage.first


async def promotion_of_the_overtaken(stage: Stage) -> str:
    """The word is about a revision that is not the candidate any more: the third one is not promoted by it."""
    await stage.apply(stage.third, {"action": {"revision": stage.candidate, "do": "Promote"}})
    third = await stage.another_candidate()
    if stage.strategy == "Canary":
        await asyncio.to_thread(stage.workplace.await_condition, NAME, "Ready", "False", "AwaitingPromotion")
        assert await asyncio.to_thread(current, stage.workplace) == stage.old
    assert third not in (stage.old, stage.candidate)
    return stage.third


async def a_pod_of_the_old_set_deleted(stage: Stage) -> str:
    """In place, one that holds both versions."""
    await asyncio.to_thread(delete_pod, stage.workplace, stage.own, stage.a_pod)
    return stage.second


async def a_pod_of_the_candidate_deleted(stage: Stage) -> str:
    """In place, one of those that were just told to switch."""
    if stage.strategy == IN_PLACE:

        def told() -> bool:
            return current(stage.workplace) == stage.candidate

        await asyncio.to_thread(wait_for, told, "the pods to be told to switch")
    pods = stage.own if stage.strategy == IN_PLACE else stage.candidate
    await asyncio.to_thread(delete_pod, stage.workplace, pods)
    return stage.second


async def the_operator_killed(stage: Stage) -> str:
    await asyncio.to_thread(kubectl.run, "kubectl", "delete", "pods", *OPERATORS, "--grace-period=0", "--force")
    return stage.second


async def more_replicas(stage: Stage) -> str:
    await stage.apply(stage.second, replicas=3)
    return stage.second


async def an_autoscaler_scales(stage: Stage) -> str:
    """Kubernetes' own HPA takes the stable set to the least that it may have."""
    await stage.apply(stage.second, autoscaling={"minReplicas": 3, "maxReplicas": 3, "target": {"cpu": 90}})
    return stage.second


async def paused_for_a_while(stage: Stage) -> str:
    await stage.apply(stage.second, {"paused": True})
    await asyncio.to_thread(stage.workplace.await_condition, NAME, "Ready", "False", "Paused")
    await stage.apply(stage.second)
    return stage.second


async def the_test_data_gone(stage: Stage) -> str:
    gone = stage.spec(stage.second)
    test = gone["spec"]["evaluation"]["test"]
    test["uri"] = test["uri"].replace("test.npz", "gone.npz")
    await asyncio.to_thread(stage.workplace.apply, gone)
    await asyncio.to_thread(stage.workplace.await_condition, NAME, "Stalled", "True", "DatasetNotFound")
    assert await asyncio.to_thread(current, stage.workplace) == stage.old
    await stage.apply(stage.second)
    return stage.second


async def another_strategy(stage: Stage) -> str:
    stage.strategy = {"Canary": "BlueGreen", "BlueGreen": IN_PLACE}.get(stage.strategy, "Canary")
    await stage.apply(stage.second)
    return stage.second


CHANGES: tuple[Case, ...] = (
    nothing,
    a_third_version,
    back_to_the_first,
    back_and_forth,
    abort_during_a_return,
    promotion_of_the_overtaken,
    a_pod_of_the_old_set_deleted,
    a_pod_of_the_candidate_deleted,
    more_replicas,
    an_autoscaler_scales,
    paused_for_a_while,
    the_test_data_gone,
    another_strategy,
)
WITHOUT_NEWS = (
    (RECREATE, a_pod_of_the_old_set_deleted),  # there is none
    *((RECREATE, case) for case in (paused_for_a_while, promotion_of_the_overtaken, more_replicas)),
    (IN_PLACE, promotion_of_the_overtaken),
)
"""What cannot happen, or brings nothing new on a cluster and is tried in memory only."""
CASES = [(name, case) for name in STRATEGIES for case in CHANGES if (name, case) not in WITHOUT_NEWS]


def delete_pod(workplace: Workplace, own: str, name: str = "") -> None:
    """Delete a pod of a set, the one that is named or any, and return when it is gone."""
    name = name or rollouts.a_pod(workplace, own)["metadata"]["name"]
    kubectl.run("kubectl", "delete", "pod", name, f"--namespace={workplace.namespace}", "--timeout=120s")
