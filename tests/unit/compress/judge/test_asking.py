"""A server's own answers, measured as the judge measures a file's: here the server is a session behind the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import pytest
from tests.support import lookup

from modelpress.api.evaluation import Evaluation
from modelpress.api.reasons import Reason
from modelpress.api.results import MESSAGE_LIMIT, AskResult
from modelpress.api.tasks import OUT_FOLDER, TEST_FOLDER, AskTask, Comparison
from modelpress.api.verification import Compare
from modelpress.compress.errors import Judged
from modelpress.compress.judge import asking
from modelpress.compress.judge.served import LEAST_REQUESTS, measure
from modelpress.tasks.messages import encode
from modelpress.triton.client import TritonAwayError, TritonError

EVALUATION = {
    "test": {"uri": "s3://data/test.npz"},
    "metrics": [{"name": "top1", "type": "accuracy"}, {"name": "same", "type": "agreement"}],
    "latency": {"batchSizes": [1, 64]},
}
ASKED = 6
"""Rows that the test data ask for, ten times each."""
LARGEST = 7
"""Most samples of one request."""


class Sessions:
    """Stands in for the network: each address is a model file."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.sizes: list[int] = []
        self.away: set[str] = set()

    def __call__(self, address: str, model: str, version: int | None = None) -> Client:
        return Client(self, address)


class Client:
    def __init__(self, network: Sessions, address: str) -> None:
        self._network, self._address = network, address
        self._session = onnxruntime.InferenceSession(network.files[address])

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def wait_until_ready(self) -> None:
        if self._address in self._network.away:
            raise TritonAwayError(f"{self._address} does not answer")

    def max_batch_size(self) -> int:
        return LARGEST

    def axes(self) -> dict[str, int]:
        return {item.name: len(item.shape) for item in self._session.get_inputs()}

    def infer(self, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
        self._network.sizes.append(len(next(iter(inputs.values()))))
        try:
            return dict(zip(outputs, self._session.run(outputs, inputs), strict=True))
        except Exception as error:
            raise TritonError("an index is beyond the table") from error


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """`good` answers as the original does, `wrong` from another table, `short` lacks a row that is asked for."""
    monkeypatch.setenv("MODELPRESS_ROOT", str(tmp_path))
    tables = {"good": lookup.table(1), "wrong": lookup.table(2), "short": lookup.table(1)[: ASKED - 1]}
    for name, rows in tables.items():
        lookup.write(tmp_path / name, rows)
    original, test = tmp_path / OUT_FOLDER.lstrip("/") / "original", tmp_path / TEST_FOLDER.lstrip("/")
    for folder in (original, test):
        folder.mkdir(parents=True)
    (tmp_path / "good" / "source" / "model.onnx").rename(original / "model.onnx")
    index = numpy.arange(60).reshape(60, 1) % ASKED
    numpy.savez(test / "test.npz", index=index, label=tables["good"][index[:, 0]].argmax(axis=1))
    files = {name: tmp_path / name / "source" / "model.onnx" for name in ("wrong", "short")}
    found = Sessions({"good": original / "model.onnx", **files})
    monkeypatch.setattr(asking, "GrpcClient", found)
    return found


def ask(address: str, stable: str | None = None, **how: Any) -> AskResult:
    comparison = None
    if stable is not None:
        comparison = Comparison(revision=f"model-{stable}", address=stable, compare=Compare.ARGMAX)
        comparison = comparison.model_copy(update=how)
    evaluation = Evaluation.model_validate(EVALUATION)
    return asking.ask_server(AskTask(address=address, model="lookup", evaluation=evaluation, comparison=comparison))


def test_answers_of_a_server_are_scored_beside_the_original(network: Sessions) -> None:
    good, wrong = ask("good"), ask("wrong")
    assert [(item.name, item.original, item.compressed) for item in good.figures.metrics] == [
        ("top1", 1.0, 1.0),
        ("same", 1.0, 1.0),
    ]
    right = (lookup.table(1)[:ASKED].argmax(axis=1) == lookup.table(2)[:ASKED].argmax(axis=1)).mean()
    top1, same = wrong.figures.metrics
    assert (top1.original, top1.compressed) == (1.0, right)
    assert top1.pairs is not None
    assert top1.pairs.original_only == round(60 * (1 - right))
    assert same.compressed == right
    assert (good.figures.samples, good.figures.agreement, wrong.disagreement) == (60, 1.0, None)
    assert good.answers_digest != wrong.answers_digest
    assert good.answers_digest == ask("good").answers_digest


def test_no_request_is_larger_than_the_server_takes(network: Sessions) -> None:
    result = ask("good")
    assert max(network.sizes) == LARGEST
    assert [item.batch_size for item in result.figures.latency] == [1, LARGEST]
    assert all(0 < item.p50 <= item.p95 <= item.p99 for item in result.figures.latency)


def test_two_servers_that_differ_are_counted_sample_by_sample(network: Sessions) -> None:
    found = ask("good", "wrong").disagreement
    assert found is not None
    differing = (lookup.table(1)[:ASKED].argmax(axis=1) != lookup.table(2)[:ASKED].argmax(axis=1)).sum()
    assert differing > 0
    assert (found.stable, found.samples, found.different) == ("model-wrong", 60, 10 * differing)
    exact = ask("good", "wrong", compare=Compare.EXACT_MATCH).disagreement
    assert exact is not None
    assert exact.different == 60
    close = ask("good", "good", compare=Compare.ALLCLOSE).disagreement
    assert close is not None
    assert close.different == 0


def test_what_the_version_that_serves_cannot_answer_is_left_out(network: Sessions) -> None:
    found = ask("good", "short").disagreement
    assert found is not None
    assert (found.samples, found.different, found.unanswered) == (50, 0, 10)


def test_a_server_that_fails_on_test_data_is_judged_and_one_that_is_away_is_not(network: Sessions) -> None:
    with pytest.raises(Judged, match="fails on the test data: an index is beyond the table") as judged:
        ask("short")
    assert judged.value.reason is Reason.EVALUATION_FAILED
    network.away.add("wrong")
    for asked in (("wrong",), ("good", "wrong")):
        with pytest.raises(Judged) as away:
            ask(*asked)
        assert away.value.reason is Reason.SERVER_UNAVAILABLE


def test_an_output_that_is_not_there_is_named(network: Sessions) -> None:
    with pytest.raises(Judged, match="the model has no output 'label'; it has scores"):
        ask("good", "wrong", output="label")


def test_the_answer_fits_into_a_termination_message(network: Sessions) -> None:
    result = ask("good", "wrong")
    five = tuple(result.figures.metrics[0].model_copy(update={"name": f"{number}" * 40}) for number in range(5))
    many = tuple(result.figures.latency[0] for _ in range(8))
    figures = result.figures.model_copy(update={"metrics": five, "latency": many})
    text = encode(result.model_copy(update={"figures": figures}))
    assert len(text.encode()) <= MESSAGE_LIMIT
    assert AskResult.model_validate(json.loads(text)).figures.metrics[4].name == "4" * 40


def test_latency_is_timed_until_the_time_is_over_but_often_enough() -> None:
    now = 0.0

    def run() -> None:
        nonlocal now
        now += 1.0

    found = measure(run, 1, lambda: now)
    assert (found.requests, found.p50, found.p99) == (LEAST_REQUESTS, 1000.0, 1000.0)


def test_a_tensor_without_axes_beside_the_batch_travels_with_one_more(network: Sessions) -> None:
    from modelpress.compress.judge.served import Served

    sent: dict[str, Any] = {}

    class Wire:
        def infer(self, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
            sent.update(inputs)
            return {"best": numpy.zeros((4, 1), numpy.int64)}

    served = Served("the server", Wire(), batched=True, axes={"best": 1}, sent={"bias": 2}, most=8)  # type: ignore[arg-type]
    answers = served.run({"bias": numpy.zeros(4, numpy.float32)})
    assert (sent["bias"].shape, answers["best"].shape) == ((4, 1), (4,))
