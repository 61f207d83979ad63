"""Models that no example knows work at the first try."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.sources import UNSEEN
from tests.support.workplace import Workplace, sparing


@pytest.mark.parametrize("unseen", UNSEEN, ids=lambda unseen: unseen.__name__)
def test_an_unseen_model_is_compressed_and_answers_as_measured(workplace: Workplace, unseen, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = unseen()
    model.write(tmp_path)
    workplace.put(tmp_path, model.name)
    workplace.apply(sparing(model.manifest(workplace.namespace)))
    status = workplace.await_ready(model.name, seconds=600)
    assert status["compression"]["compressedBytes"] < status["compression"]["originalBytes"]
    test = model.data["test"]
    inputs = {declared["name"]: test[declared["name"]][:16] for declared in model.source["inputs"]}
    outputs = [declared["name"] for declared in model.source["outputs"]]
    for protocol in ("http", "grpc"):
        answers = workplace.ask(model.name, inputs, outputs, protocol)
        assert all(len(answers[name]) == 16 for name in outputs)
    metric = status["compression"]["metrics"][0]
    if metric["higherIsBetter"]:
        target = model.evaluation.get("columns", {}).get("targets", {}).get(outputs[0], "label")
        right = (answers[outputs[0]].argmax(1) == test[target][:16]).mean()
        assert right > 0.3, f"the judge measured {metric['compressed']}, the server answers {right}"
    workplace.delete(model.name)
