"""GPTQ and AWQ in the stage: at equal bits both answer nearer to the original than rounding to nearest does."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.quantize.conftest import Press, loss
from tests.unit.compress.quantize.sentences import sentences
from tests.unit.compress.sources import samples_of

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize
from modelpress.compress.errors import Judged
from modelpress.compress.models import GraphModel
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize import activations


@pytest.mark.parametrize("group", [32, 64])
def test_both_beat_rounding_to_nearest_on_sentences_that_they_have_not_seen(
    group: int, original: GraphModel, press: Press
) -> None:
    losses = {}
    for algorithm in ("RTN", "GPTQ", "AWQ"):
        after, context = press(weights={"bits": 4, "groupSize": group}, embeddings={"bits": 8}, algorithm=algorithm)
        losses[algorithm] = loss(original, after)
        assert {item.bits for item in context.layers if item.operator != "Gather"} == {4 + 16 / group}
    assert losses["GPTQ"] < losses["RTN"] / 5
    assert losses["AWQ"] < losses["RTN"] * 0.75


@pytest.mark.parametrize("algorithm", ["GPTQ", "AWQ"])
def test_tables_without_outliers_get_ranges_of_less_error(algorithm: str, original: GraphModel, press: Press) -> None:
    proto = onnx.load(original.path)
    table = next(item for item in proto.graph.initializer if item.name == "table")
    values = onnx.numpy_helper.to_array(table).copy()
    values[:, [3, 17]] /= 25
    table.CopyFrom(onnx.numpy_helper.from_array(values, "table"))
    onnx.save(proto, original.path)
    found = {}
    for rounding in ("RTN", algorithm):
        after, _ = press(weights={"bits": 4}, targets=["embedding"], algorithm=rounding)
        found[rounding] = (loss(original, after), after.path.stat().st_size)
    assert found[algorithm][0] < found["RTN"][0] * 0.97
    assert found[algorithm][1] == found["RTN"][1]


@pytest.mark.parametrize("algorithm", ["GPTQ", "AWQ"])
def test_of_few_sentences_they_say_how_little_those_tell_and_lose_no_more(
    algorithm: str, original: GraphModel, make_context: MakeContext, press: Press, tmp_path: Path
) -> None:
    few = {name: column[:2] for name, column in sentences().items()}
    context = make_context({"calibration": samples_of(few)})
    context.scratch = tmp_path / "few"
    fields = {"weights": {"bits": 4}, "embeddings": {"bits": 8}}
    after = quantize.run(original, Quantize.model_validate({**fields, "algorithm": algorithm}), context)
    assert loss(original, after) < loss(original, press(**fields)[0])
    assert f"so {algorithm} rounds them nearly to nearest" in " ".join(context.warnings)
    assert not any("nearly to nearest" in warning for warning in press(**fields, algorithm=algorithm)[1].warnings)


def test_without_data_they_are_refused(original: GraphModel, make_context: MakeContext) -> None:
    with pytest.raises(Judged) as caught:
        quantize.run(original, Quantize.model_validate({"preset": "W4A16", "algorithm": "GPTQ"}), make_context())
    assert caught.value.reason is Reason.RECIPE_INVALID
    assert "algorithm GPTQ needs compression.data.calibration" in caught.value.message


def test_padding_says_nothing_about_activations(original: GraphModel) -> None:
    data = sentences()
    longer = {name: column.repeat(1, axis=0) for name, column in data.items()}
    longer["input_ids"] = longer["input_ids"] + (1 - longer["attention_mask"]) * 7  # other padding
    found = [
        activations.collect(original.path, {"embedded": 64}, columns, original.signature)["embedded"]
        for columns in (data, longer)
    ]
    assert (found[0].second == found[1].second).all()
    assert found[0].second.any()


def test_second_moments_that_exceed_the_budget_are_gathered_in_several_runs(
    original: GraphModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = {"embedded": 64, "inner": 128, "pooled": 64}
    whole = activations.collect(original.path, widths, sentences(), original.signature)
    monkeypatch.setattr(activations, "BUDGET", 64 * 64 * 4)
    parts = activations.collect(original.path, widths, sentences(), original.signature)
    assert list(parts) == list(whole)
    assert all((parts[name].second == whole[name].second).all() for name in widths)
