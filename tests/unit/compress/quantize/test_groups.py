"""Weights in groups: what is written, that it runs, how small and how near it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.graphs import executed, images
from tests.unit.compress.graphs import write as write_convolutions
from tests.unit.compress.quantize.conftest import Press, answers, loss
from tests.unit.compress.quantize.sentences import PRODUCTS, write
from tests.unit.compress.sources import samples_of

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.models import GraphModel
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize import stage


def products(model: GraphModel) -> list[tuple[int, int, int]]:
    """Return bits, block size and number of inputs of each MatMulNBits."""
    found = []
    for node in onnx.load(model.path).graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "MatMulNBits":
            found.append((attributes["bits"], attributes["block_size"], len([name for name in node.input if name])))
    return found


def operators(model: GraphModel) -> list[str]:
    return [node.op_type for node in onnx.load(model.path).graph.node]


@pytest.mark.parametrize(
    ("fields", "kind", "most_loss", "least_ratio"),
    [
        ({"preset": "W8A16"}, (8, 64, 3), 1e-3, 3.6),
        ({"preset": "W4A16"}, (4, 32, 3), 0.06, 6.5),
        ({"weights": {"bits": 4, "groupSize": 16, "symmetric": False}}, (4, 16, 4), 0.06, 6.0),
        ({"weights": {"bits": 8, "groupSize": 32, "symmetric": False}}, (8, 32, 4), 1e-3, 3.5),
        ({"weights": {"bits": 4}, "activations": {"bits": 8, "dynamic": True}}, (4, 32, 3), 0.06, 6.0),
    ],
)
def test_products_and_embeddings_are_stored_in_groups_and_the_answers_stay_near(
    fields: dict[str, Any], kind: tuple[int, int, int], most_loss: float, least_ratio: float, original: GraphModel,
    press: Press,
) -> None:  # fmt: skip
    after, context = press(**fields)
    assert {found[0::2] for found in products(after)} == {kind[0::2]}
    assert products(after)[0] == kind
    assert loss(original, after) < most_loss
    assert np.allclose(answers(after), answers(after, graph.BASIC), rtol=1e-3, atol=1e-3)
    assert original.path.stat().st_size / after.path.stat().st_size > least_ratio
    assert [item.name for item in context.layers] == ["embedding", *PRODUCTS]


@pytest.mark.parametrize("engine", [{"preset": "INT8"}, {"preset": "INT8_DYNAMIC"}, {"preset": "W8A16"}])
@pytest.mark.parametrize("bits", [4, 8])
def test_embeddings_have_bits_of_their_own_beside_every_engine(
    engine: dict[str, Any], bits: int, original: GraphModel, press: Press
) -> None:
    after, _ = press(**engine, embeddings={"bits": bits})
    assert operators(after).count("GatherBlockQuantized") == (bits == 4)
    assert "embedding" not in [node.name for node in onnx.load(after.path).graph.node]
    tables = [list(item.dims) for item in onnx.load(after.path).graph.initializer if item.data_type in (3, 22)]
    assert [300, 64] in tables
    assert loss(original, after) < 0.1


def test_targets_ignore_and_overrides_choose_nodes(press: Press) -> None:
    after, context = press(
        preset="W4A16",
        targets=["re:.*"],
        ignore=["head"],
        overrides=[
            {"targets": ["re:up|gate"], "weights": {"bits": 8}},
            {"targets": ["gate"], "weights": {"bits": 4, "groupSize": 64}},
        ],
    )
    assert products(after) == [(8, 64, 3), (4, 64, 3), (4, 32, 3)]
    assert [item.name for item in context.layers] == ["embedding", "up", "gate", "down"]
    only, _ = press(preset="W4A16", targets=["down"])
    assert operators(only).count("MatMulNBits") == 1
    assert "GatherBlockQuantized" not in operators(only)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preset": "W4A16", "targets": ["dwon"]}, "targets: no node is called dwon; there are for example down"),
        ({"preset": "W4A16", "overrides": [{"targets": ["sigmoid"], "weights": {"bits": 8}}]}, "overrides.targets"),
        (
            {"preset": "W4A16", "targets": ["sigmoid"], "overrides": [{"targets": ["up"], "weights": {"bits": 8}}]},
            "that is quantized is called up; there is none at all",
        ),
        ({"preset": "W4A16", "targets": ["sigmoid"]}, "stored no weight as integers"),
        ({"mixed": {"effectiveBits": 4}}, "mixed.effectiveBits is 4, but 4 bits and their scales take 4.50"),
    ],
)
def test_what_names_nothing_or_would_change_nothing_is_refused(
    fields: dict[str, Any], words: str, press: Press
) -> None:
    with pytest.raises(Judged) as caught:
        press(**fields)
    assert words in caught.value.message


def test_a_weight_that_was_left_as_it_is_without_a_word_is_noticed(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = stage.Writer.write

    def all_but_one(self: Any, stored: dict[str, Any]) -> None:
        write(self, dict(list(stored.items())[1:]))

    monkeypatch.setattr(stage.Writer, "write", all_but_one)
    with pytest.raises(Judged) as caught:
        press(preset="W4A16")
    assert caught.value.reason is Reason.STAGE_FAILED
    assert re.fullmatch(r"quantize was to store the weights of (\d+) nodes, and did of \d+\.", caught.value.message)


def test_an_old_graph_gets_what_four_bit_tables_need(tmp_path: Path, press: Press) -> None:
    after, _ = press(write(tmp_path / "old", opset=17, ir=8), preset="W4A16")
    assert onnx.load(after.path).ir_version == graph.IR_VERSION


def test_convolutions_are_stored_in_8_bits_beside_4_bit_products(tmp_path: Path, make_context: MakeContext) -> None:
    before = write_convolutions(tmp_path / "in")
    context = make_context({"calibration": samples_of({"image": images()})})
    with pytest.raises(Judged) as caught:  # the dense layer of 8 x 5 gains nothing
        quantize.run(before, Quantize.model_validate({"preset": "W4A16", "targets": ["dense"]}), context)
    assert caught.value.reason is Reason.STAGE_FAILED
    after = quantize.run(before, Quantize.model_validate({"preset": "W4A16"}), context)
    stored = [item for item in onnx.load(after.path).graph.initializer if len(item.dims) == 4]
    assert sum(item.data_type == onnx.TensorProto.INT8 for item in stored) == 2
    assert all(item.data_type == onnx.TensorProto.INT8 or min(item.dims[1:]) == 1 for item in stored), "scales"
    assert not {"Cast", "Mul", "DequantizeLinear"} & set(executed(after.path, tmp_path)), "kernels want constants"
    assert "compute in float" in context.warnings[0]


def sharing(folder: Path) -> GraphModel:
    """Write the small model with one weight for two products, of other activations: alike nodes would become one."""
    model = write(folder)
    proto = onnx.load(model.path)
    place, gate = next((place, node) for place, node in enumerate(proto.graph.node) if node.name == "gate")
    proto.graph.node.insert(place, onnx.helper.make_node("Neg", [gate.input[0]], ["negated"], name="negated"))
    gate.input[:] = ["negated", "up_weight"]
    graph.save(proto, model.path)
    return model


def test_a_weight_that_two_nodes_share_is_stored_once(tmp_path: Path, press: Press) -> None:
    shared = sharing(tmp_path / "shared")
    after, _ = press(shared, preset="W4A16", algorithm="AWQ")
    codes = [item for item in onnx.load(after.path).graph.initializer if len(item.dims) == 3]
    assert operators(after).count("MatMulNBits") == len(PRODUCTS)
    assert len(codes) == len(PRODUCTS) - 1
    assert loss(shared, after) < 0.06


def test_a_weight_that_stays_beside_its_integers_is_told(tmp_path: Path, press: Press) -> None:
    shared = sharing(tmp_path / "shared")
    told = "up shares its weight with gate, left as it was: the file holds it twice."
    assert told in press(shared, preset="W4A16", ignore=["gate"])[1].warnings
    assert told not in press(shared, preset="W4A16")[1].warnings
