"""Real Triton behind Envoy is asked over gRPC before it gets requests: metrics, disagreement, latency, failures."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from tests.integration.serving.small_models import ROWS, answers, publish, write_onnx
from tests.support.servingpod import Pod

from modelpress.api.evaluation import Evaluation
from modelpress.api.reasons import Reason
from modelpress.api.results import AskResult
from modelpress.api.tasks import OUT_FOLDER, TEST_FOLDER, AskTask, Comparison
from modelpress.api.verification import Compare
from modelpress.compress.errors import Judged
from modelpress.compress.judge.asking import ask_server
from modelpress.triton import grpc_client

from .conftest import MakePod

NAME = "linear"
SAMPLES = 48


@pytest.fixture(scope="module")
def right(make_pod: MakePod, artifact_store: Path) -> Pod:
    """A pod that answers as the original does."""
    return _serving(make_pod, artifact_store, 1.0)


@pytest.fixture(scope="module")
def wrong(make_pod: MakePod, artifact_store: Path) -> Pod:
    """A pod that answers the other way round: as fast, the same as its judge wrote down, and wrong."""
    return _serving(make_pod, artifact_store, -1.0)


def _serving(make_pod: MakePod, artifact_store: Path, factor: float) -> Pod:
    pod = make_pod(publish(artifact_store, NAME, factor=factor))
    pod.start()
    pod.await_ready()
    return pod


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The disks of the asking container: the original, and test data."""
    monkeypatch.setenv("MODELPRESS_ROOT", str(tmp_path))
    write_onnx(tmp_path / OUT_FOLDER.lstrip("/") / "original" / "model.onnx", 1.0)
    rows = numpy.random.default_rng(0).normal(size=(SAMPLES, ROWS.shape[1])).astype(numpy.float32)
    test = tmp_path / TEST_FOLDER.lstrip("/")
    test.mkdir(parents=True)
    numpy.savez(test / "test.npz", rows=rows, label=answers(1.0, rows)["best"])
    return tmp_path


def ask(pod: Pod, stable: Pod | None = None, model: str = NAME) -> AskResult:
    evaluation = {
        "test": {"uri": "s3://data/test.npz"},
        "metrics": [{"name": "top1", "type": "accuracy"}],
        "latency": {"batchSizes": [1, 32]},
    }
    comparison = None
    if stable is not None:
        comparison = Comparison(revision="stable", address=_address(stable), compare=Compare.ARGMAX)
    asked = Evaluation.model_validate(evaluation)
    return ask_server(AskTask(address=_address(pod), model=model, evaluation=asked, comparison=comparison))


def _address(pod: Pod) -> str:
    return f"127.0.0.1:{pod.ports.grpc}"


def test_a_right_server_and_a_fast_and_wrong_one_are_told_apart(right: Pod, wrong: Pod, root: Path) -> None:
    good, bad = ask(right), ask(wrong)
    assert good.figures.metrics[0].compressed == 1.0
    assert good.figures.agreement == 1.0
    assert bad.figures.metrics[0].original == 1.0
    assert bad.figures.metrics[0].compressed < 0.5
    assert [item.batch_size for item in good.figures.latency] == [1, 8], "its pod takes 8 at once"
    assert all(0 < item.p50 <= item.p99 < 10_000 for item in good.figures.latency)
    print(good.figures.latency, bad.figures.metrics)


def test_two_servers_are_compared_sample_by_sample(right: Pod, wrong: Pod, root: Path) -> None:
    same, other = ask(right, stable=right).disagreement, ask(wrong, stable=right).disagreement
    assert same is not None
    assert (same.samples, same.different) == (SAMPLES, 0)
    assert other is not None
    assert (other.samples, other.unanswered) == (SAMPLES, 0)
    assert other.different > SAMPLES / 2


def test_nobody_there_is_the_surroundings_fault(right: Pod, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_client.GrpcClient.wait_until_ready, "__defaults__", (1.0,))
    with pytest.raises(Judged) as away:
        ask(right, model="another")
    assert away.value.reason is Reason.SERVER_UNAVAILABLE
