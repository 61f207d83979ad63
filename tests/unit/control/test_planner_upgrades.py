"""A later version with other defaults: what was made for the same words is what these words still ask for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import a_spec, condition
from tests.support.world import World

from modelpress.api import defaults, keys
from modelpress.api.base import ApiType
from modelpress.api.compression import JobSettings
from modelpress.api.defaults import EFFECTIVE, EffectiveBatching, EffectiveJobSettings, EffectiveQuantize
from modelpress.api.serving import Batching
from modelpress.api.stages import Granularity, Quantize


class LaterBatching(EffectiveBatching):
    max_batch_size: int = 16


class LaterQuantize(EffectiveQuantize):
    granularity: Granularity = Granularity.TENSOR


class LaterJobSettings(EffectiveJobSettings):
    timeout: str = "2h"


LATER: dict[type[ApiType], type[ApiType]] = {
    Batching: LaterBatching,
    Quantize: LaterQuantize,
    JobSettings: LaterJobSettings,
}


def batches(**batching: Any) -> dict[str, Any]:
    return {"serving": {"batching": batching, "replicas": 2}}


def quantized(**settings: Any) -> dict[str, Any]:
    return {"compression": {"stages": [{"quantize": {"preset": "INT8_DYNAMIC", **settings}}]}}


def upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the defaults of the later version from here on."""
    for module in (keys, defaults):
        monkeypatch.setattr(module, "EFFECTIVE", {**EFFECTIVE, **LATER})


def serving(spec: dict[str, Any]) -> World:
    world = World({**a_spec(), **spec})
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"
    return world


@pytest.mark.parametrize(
    "spec",
    [
        batches(),
        batches(maxBatchSize=32),
        batches(maxBatchSize=16),
        quantized(),
        quantized(granularity="Channel"),
        quantized(granularity="Tensor"),
        {"compression": {"stages": [{"fuse": {}}], "job": {"timeout": "1h"}}},
    ],
    ids=str,
)
def test_a_changed_default_makes_nothing_again_whether_it_was_written_down_or_not(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any]
) -> None:
    world = serving(spec)
    created, status = len(world.created), world.status
    upgrade(monkeypatch)
    world.settle()
    assert world.created[created:] == []
    assert (world.status["artifact"], world.status["currentRevision"]) == (
        status["artifact"],
        status["currentRevision"],
    )
    monkeypatch.undo()
    world.settle()
    assert world.created[created:] == []


@pytest.mark.parametrize("spec", [batches(maxBatchSize=8), quantized(ignore=["head"])], ids=str)
def test_other_words_than_those_it_was_made_for_make_something_new(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any]
) -> None:
    world = serving({**batches(maxBatchSize=32), **quantized(granularity="Channel")})
    before = world.status["currentRevision"]
    upgrade(monkeypatch)
    world.edit(lambda old: old.update(spec))
    world.pass_time(60)
    assert world.status["currentRevision"] != before


def test_after_an_upgrade_a_return_to_older_words_finds_what_was_made_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = {**batches(maxBatchSize=32), **quantized(granularity="Channel")}
    world = serving(first)
    made = (world.status["artifact"], world.status["currentRevision"])
    world.edit(lambda old: old.update(quantized(ignore=["head"])))
    world.pass_time(60)
    assert world.status["artifact"] != made[0]
    upgrade(monkeypatch)
    world.edit(lambda old: old.update(first))
    world.pass_time(60)
    assert (world.status["artifact"], world.status["currentRevision"]) == made
