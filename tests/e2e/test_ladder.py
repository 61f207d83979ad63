"""The first rung of a ladder whose result passes the gates is served, and the story tells of the one before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.sources import batch_normalized_mlp
from tests.support.workplace import Workplace, sparing

pytestmark = pytest.mark.long


def test_a_rung_that_fails_its_gate_is_followed_by_the_next_which_is_served(
    workplace: Workplace, tmp_path: Path
) -> None:
    model = batch_normalized_mlp()
    model.write(tmp_path)
    workplace.put(tmp_path, model.name)
    wanted = model.manifest(workplace.namespace)
    del wanted["spec"]["compression"]["stages"]
    eight_bits = [{"fuse": {}}, {"quantize": {"preset": "INT8_DYNAMIC"}}]
    wanted["spec"]["compression"]["ladder"] = [
        {"stages": eight_bits},  # of a model that nobody trained: it cannot reach the threshold
        {"stages": [{"finetune": {"epochs": 10}}, *eight_bits]},
    ]
    workplace.apply(sparing(wanted))
    status = workplace.await_ready(model.name, seconds=600)
    assert status["compression"]["rung"] == 2
    assert status["compression"]["metrics"][0]["compressed"] > 0.6
    told = [f"{reason}: {message}" for reason, message in workplace.events(model.name)]
    assert any("accuracy" in line and "ung 1" in line for line in told), told
    features = model.data["test"]["features"][:16]
    answers = workplace.ask(model.name, {"features": features}, ["scores"])["scores"]
    assert (answers.argmax(1) == model.data["test"]["kind"][:16]).mean() > 0.6
