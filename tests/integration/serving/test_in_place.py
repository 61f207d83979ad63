"""One pod of real processes goes from one version of its model to the next: no request is lost, and none waits for it.

What was measured here chose the design, see docs/rollouts.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.load import Load, Question, Tally
from tests.support.servingpod import Pod, wait_until

from modelpress.api.servingpod import HIGHEST_VERSION as TOP
from modelpress.api.servingpod import ServedModel
from modelpress.store import manifest

from .conftest import MakePod
from .small_models import INPUTS, NAME, answers, publish

OLD, NEW = "old", "new"
CONNECTIONS, INTERVAL = 25, 0.2


def load_on(pod: Pod) -> Load:
    """Keep-alive connections of both protocols that ask without naming a version."""
    question = Question(NAME, INPUTS, {OLD: answers(1.0), NEW: answers(2.0)})
    addresses = {"http": f"127.0.0.1:{pod.ports.http}", "grpc": f"127.0.0.1:{pod.ports.grpc}"}
    return Load(question, **addresses, connections=CONNECTIONS, interval=INTERVAL)


def versions(store: Path, **more: Any) -> tuple[ServedModel, ServedModel, ServedModel]:
    """Return the old version as a pod starts with it, as it is when another one comes, and that other one."""
    old = publish(store, factor=1.0)
    new = publish(store, factor=2.0, **more)
    return (
        old,
        old.model_copy(update={"version": TOP, "revision": OLD}),
        new.model_copy(update={"version": TOP - 1, "revision": NEW}),
    )


@pytest.fixture
def start(make_pod: MakePod) -> Iterator[Callable[[ServedModel], Pod]]:
    """Start a pod that serves a model; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(model: ServedModel) -> Pod:
            pod = make_pod(model)
            stack.callback(pod.kill_all)
            pod.start()
            pod.await_ready()
            return pod

        yield start


def candidate(pod: Pod) -> dict[str, Any]:
    """Return what the pod says of the version that it loads beside the other."""
    found = pod.status()["candidates"]
    return found[0] if found else {}


async def told(look: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(wait_until, look, what)


def serves(pod: Pod, revision: str) -> bool:
    """Say whether the pod answers with `revision` and holds no other."""
    (model,) = pod.status()["models"]
    return model["revision"] == revision and bool(model["serves"])


@pytest.mark.parametrize("requests", [1_000, pytest.param(5_000, marks=pytest.mark.long)], ids=["short", "long"])
async def test_no_request_is_lost_while_the_next_version_is_loaded_proved_and_switched_to(
    start: Callable[[ServedModel], Pod], artifact_store: Path, requests: int
) -> None:
    """`requests` of each protocol, at least."""
    first, old, new = versions(artifact_store)
    pod = start(first)
    async with load_on(pod) as load:
        await load.until_sent(requests // 5)
        pod.hold([old], (new,))
        await told(lambda: candidate(pod).get("verified"), "the new version to be proved")
        await load.until_sent(requests // 5)
        for tally in (load.http, load.grpc):
            assert set(tally.answers) == {OLD}, f"nobody reaches what is not told to take over: {tally}"
        pod.hold([new])
        await told(lambda: serves(pod, NEW), "the new version to answer")
        switched = [tally.answers[OLD] for tally in (load.http, load.grpc)]
        await load.until_sent(requests // 5)
        assert [tally.answers[OLD] for tally in (load.http, load.grpc)] == switched, "the old version is gone"
        await load.until_sent(max(1, requests - min(load.http.sent, load.grpc.sent)), seconds=300)
        assert pod.probe("ready")
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
        assert min(tally.answers[OLD], tally.answers[NEW]) >= requests // 5, str(tally)
    print(f"\nHTTP: {percentiles(load.http)}\ngRPC: {percentiles(load.grpc)}")


def percentiles(tally: Tally) -> str:
    """Return a tally with what half of the requests, and all but one in a hundred, took at most."""
    seconds = sorted(tally.seconds)
    half, most = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    return f"{tally}, median {half * 1000:.0f} ms, 99 % within {most * 1000:.0f} ms"


async def test_a_version_that_triton_cannot_load_or_that_answers_differently_leaves_the_old_one_alone(
    start: Callable[[ServedModel], Pod], artifact_store: Path, tmp_path: Path
) -> None:
    first, old, wrong = versions(artifact_store, judged=3.0)
    pod = start(first)
    async with load_on(pod) as load:
        for new, reason in ((unreadable(tmp_path), "ModelLoadFailed"), (wrong, "AnswersDiffer")):
            pod.hold([old], (new,))
            await told(lambda: candidate(pod).get("failure"), "the failure")
            assert candidate(pod)["failure"]["reason"] == reason, candidate(pod)
            pod.hold([old])
            await told(lambda: not candidate(pod) and serves(pod, OLD), "the candidate to be gone")
        await load.until_sent(100)
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
        assert set(tally.answers) == {OLD}, str(tally)


async def test_a_version_that_overtakes_one_that_was_proved_is_proved_in_its_place_and_takes_over(
    start: Callable[[ServedModel], Pod], artifact_store: Path
) -> None:
    first, old, new = versions(artifact_store)
    overtaken = publish(artifact_store, factor=3.0).model_copy(update={"version": TOP - 1, "revision": "overtaken"})
    pod = start(first)
    async with load_on(pod) as load:
        pod.hold([old], (overtaken,))
        await told(lambda: candidate(pod).get("verified"), "the overtaken version to be proved")
        pod.hold([old], (new,))
        proved = (NEW, True)
        await told(
            lambda: (candidate(pod)["revision"], candidate(pod)["verified"]) == proved, "the new one to be proved"
        )
        for tally in (load.http, load.grpc):
            assert set(tally.answers) == {OLD}, str(tally)
        pod.hold([new])
        await told(lambda: serves(pod, NEW), "the new version to answer")
        await load.until_sent(100)
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)


def unreadable(store: Path) -> ServedModel:
    """Publish a model whose file is none, but is what its manifest says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.integration.serving.small_models.write_onnx", lambda path, _: spoil(path))
        found = publish(store, factor=4.0)
    return found.model_copy(update={"version": TOP - 1, "revision": NEW})


def spoil(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert path.name == manifest.MODEL_FILE
    path.write_bytes(b"not a model")


async def test_processes_that_end_in_the_middle_come_back_with_what_is_said_to_answer(
    start: Callable[[ServedModel], Pod], artifact_store: Path
) -> None:
    first, old, new = versions(artifact_store)
    pod = start(first)
    pod.hold([old], (new,))
    await told(lambda: candidate(pod).get("verified"), "the new version to be proved")
    pod.kill("triton")
    await told(lambda: not pod.probe("ready"), "the pod to be not ready")
    pod.start("triton")
    await told(lambda: pod.probe("ready"), "the pod to be ready again")
    assert "ended while it held two versions" in candidate(pod)["failure"]["message"]
    assert serves(pod, OLD)
    pod.kill("agent")
    pod.hold([new])
    pod.start("agent")
    await told(lambda: pod.probe("ready") and serves(pod, NEW), "the new version to answer")
