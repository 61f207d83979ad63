"""One serving pod of real processes: it answers over both protocols, and comes back whatever restarts."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tests.support.servingpod import Pod, wait_until
from tritonclient.utils import InferenceServerException

from modelpress.triton.metrics import COUNTERS, PENDING, InferenceCounters, inference_counters

from .small_models import INPUTS, LIMIT, NAME, answers, publish


def ask(pod: Pod, library: object, rows: np.ndarray = INPUTS["rows"]) -> dict[str, np.ndarray]:
    """Ask through Envoy with tritonclient, as users do."""
    port = pod.ports.http if library is triton_http else pod.ports.grpc
    client = library.InferenceServerClient(f"127.0.0.1:{port}")  # type: ignore[attr-defined]
    tensor = library.InferInput("rows", list(rows.shape), "FP32")  # type: ignore[attr-defined]
    tensor.set_data_from_numpy(rows)
    result = client.infer(NAME, [tensor])
    client.close()
    return {name: result.as_numpy(name) for name in ("scores", "best")}


@pytest.mark.parametrize("library", [triton_http, triton_grpc], ids=["http", "grpc"])
def test_the_model_gives_its_own_answers(pod: Pod, library: object) -> None:
    got = ask(pod, library)
    np.testing.assert_allclose(got["scores"], answers(1.0)["scores"], rtol=1e-5)
    assert got["best"].ravel().tolist() == answers(1.0)["best"].tolist()


@pytest.mark.parametrize("library", [triton_http, triton_grpc], ids=["http", "grpc"])
def test_a_bad_request_is_refused_in_words_and_the_next_one_answered(pod: Pod, library: object) -> None:
    with pytest.raises(InferenceServerException, match=r"unexpected shape for input 'rows'"):
        ask(pod, library, np.zeros((1, 5), dtype=np.float32))
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8"):
        ask(pod, library, np.zeros((9, 4), dtype=np.float32))
    ask(pod, library)


def counters(pod: Pod) -> InferenceCounters:
    """Return what the pod tells of its model."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.ports.metrics}/metrics", timeout=10) as response:
        return inference_counters(response.read().decode())[NAME, "1"]


def test_metrics_count_what_was_served(pod: Pod) -> None:
    before = counters(pod).requests
    ask(pod, triton_http)
    wait_until(lambda: counters(pod).requests > before, "the request to be counted")


def test_a_request_that_the_model_refuses_counts_as_one_failure(pod: Pod) -> None:
    before = counters(pod)
    with pytest.raises(InferenceServerException, match="the model refused the input"):
        ask(pod, triton_grpc, np.full((1, 4), LIMIT, dtype=np.float32))
    wait_until(lambda: counters(pod).asked > before.asked, "the request to be counted")
    after = counters(pod)
    assert (after.failures - before.failures, after.asked - before.asked) == (1, 1)


def test_every_figure_that_alerts_dashboard_and_autoscalers_ask_for_is_there(pod: Pod) -> None:
    ask(pod, triton_http)
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.ports.metrics}/metrics", timeout=10) as response:
        shown = {line.partition("{")[0] for line in response.read().decode().splitlines()}
    assert {*COUNTERS, PENDING} <= shown


def test_a_killed_triton_gets_its_model_again(pod: Pod) -> None:
    pod.kill("triton")
    wait_until(lambda: not pod.probe("ready"), "the pod to be not ready")
    pod.start("triton")
    pod.await_ready()
    ask(pod, triton_grpc)


def test_an_agent_that_restarts_beside_a_running_triton_needs_no_store_and_loads_nothing_again(
    pod: Pod, artifact_store: Path
) -> None:
    key, loads = pod.key, pod.log("triton").count("successfully loaded")
    away = artifact_store / "published.away"
    (artifact_store / "published").rename(away)
    try:
        pod.kill("agent")
        ask(pod, triton_http)
        pod.start("agent")
        pod.await_ready()
    finally:
        away.rename(artifact_store / "published")
    assert pod.key == key
    assert pod.log("triton").count("successfully loaded") == loads


def test_files_that_were_changed_in_the_pod_are_fetched_again(pod: Pod) -> None:
    (kept,) = pod.repository.parent.glob("fetched/*/onnx/model.onnx")
    content = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(b"something else")
    pod.kill("agent")
    pod.start("agent")
    pod.await_ready()
    assert kept.read_bytes() == content


def test_a_killed_proxy_makes_the_pod_not_ready_until_it_is_back(pod: Pod) -> None:
    pod.kill("proxy")
    wait_until(lambda: not pod.probe("ready"), "the pod to be not ready")
    pod.start("proxy")
    pod.await_ready()
    ask(pod, triton_http)


def test_a_model_that_is_added_is_served_and_one_that_is_taken_out_is_unloaded(pod: Pod, artifact_store: Path) -> None:
    first, second = publish(artifact_store), publish(artifact_store, "second", factor=2.0)
    pod.hold([first, second])
    wait_until(lambda: [m["name"] for m in pod.status()["models"] if m["verified"]] == [NAME, "second"], "both models")
    pod.hold([first])
    wait_until(lambda: [m["name"] for m in pod.status()["models"]] == [NAME], "the model to be gone")
    assert not (pod.repository / "second").exists()
    client = triton_http.InferenceServerClient(f"127.0.0.1:{pod.ports.http}")
    wait_until(lambda: not client.is_model_ready("second"), "Triton to notice")
    assert client.is_model_ready(NAME)
    assert pod.probe("ready")
