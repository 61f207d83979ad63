"""Bits by sensitivity: the pure choice, and what the stage makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.quantize.conftest import Press, loss
from tests.unit.compress.sources import samples_of

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize.mixed import FLOAT, Choice, Option, path, within_bits, within_loss


def options(loss_at_4: float, elements: int = 100, *, eight: float = 0.01) -> list[Option]:
    return [
        Option(4, 4.5 * elements, loss_at_4),
        Option(8, 8.5 * elements, loss_at_4 * eight),
        Option(FLOAT, FLOAT * elements, 0.0),
    ]


WIDTH = 128
NODES = {"calm": options(0.001), "touchy": options(0.1), "large": options(0.1, 1000)}
ELEMENTS = 1200


def test_bits_go_where_the_loss_falls_most_for_each() -> None:
    assert [(node, option.bits) for node, option in path(NODES)][:3] == [("touchy", 8), ("large", 8), ("calm", 8)]
    chosen = within_bits(NODES, 5.2 * ELEMENTS)
    assert chosen is not None
    assert {node: option.bits for node, option in chosen.items()} == {"calm": 8, "touchy": 8, "large": 4}
    assert sum(option.cost for option in chosen.values()) / ELEMENTS <= 5.2


def test_a_budget_below_the_fewest_bits_has_no_choice() -> None:
    assert within_bits(NODES, 4.4 * ELEMENTS) is None


def test_an_option_that_is_dearer_than_a_mixture_of_others_is_passed_over() -> None:
    useless = {"node": options(0.1, eight=0.999)}
    assert [option.bits for _, option in path(useless)] == [FLOAT]


@pytest.mark.parametrize("most", [0.5, 0.15, 0.01, 0.0])
def test_the_loss_is_measured_and_kept_under_the_budget_with_as_few_upgrades_as_possible(most: float) -> None:
    measured: list[float] = []

    def measure(choice: Choice) -> float:
        measured.append(sum(option.loss for option in choice.values()) * 1.3)  # losses interact
        return measured[-1]

    chosen = within_loss(NODES, most, measure)
    assert sum(option.loss for option in chosen.values()) * 1.3 <= most
    assert len(measured) <= np.ceil(np.log2(len(path(NODES)) + 1))
    ordered = path(NODES)
    taken = sum(chosen[node].cost >= option.cost for node, option in ordered)
    if taken:
        one_less = {node: choices[0] for node, choices in NODES.items()} | dict(ordered[: taken - 1])
        assert sum(option.loss for option in one_less.values()) * 1.3 > most


def rows(count: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs whose columns go together."""
    mixing, generator = np.random.default_rng(7).standard_normal((20, WIDTH)), np.random.default_rng(seed)
    together = generator.standard_normal((count, 20)) @ mixing
    return {"x": (together + 0.5 * generator.standard_normal((count, WIDTH))).astype(np.float32)}


def write_layers(folder: Path) -> GraphModel:
    """Write two products with a Relu in between."""
    generator = np.random.default_rng(0)
    weights = [
        onnx.numpy_helper.from_array((generator.standard_normal((WIDTH, WIDTH)) / 8).astype(np.float32), name)
        for name in ("v", "w")
    ]
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "v"], ["a"], name="first"),
        onnx.helper.make_node("Relu", ["a"], ["b"], name="relu"),
        onnx.helper.make_node("MatMul", ["b", "w"], ["y"], name="second"),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", WIDTH]) for name in "xy"]
    made = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=10,
    )
    folder.mkdir()
    onnx.save(made, folder / "model.onnx")
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", WIDTH))
    return GraphModel(folder / "model.onnx", Signature((spec,), (TensorSpec(name="y"),)))


def test_a_budget_of_bits_is_kept_and_pays(original: GraphModel, press: Press) -> None:
    after, context = press(mixed={"effectiveBits": 7}, algorithm="GPTQ")
    weights = sum(item.parameters for item in context.layers)
    bits = sum(item.bits * item.parameters for item in context.layers) / weights
    assert 5 < bits <= 7
    assert after.path.stat().st_size * 8 / weights < 8.5  # the rest is nodes and biases
    uniform, _ = press(preset="W4A16", algorithm="GPTQ")
    assert loss(original, after) < loss(original, uniform) / 5
    assert all(item.loss is not None and item.loss > 0 for item in context.layers)
    assert "Sensitivity of 5 weights took 6 passes" in context.notes[0]


def test_a_budget_of_loss_is_kept(original: GraphModel, press: Press) -> None:
    sizes = []
    for most in (0.05, 0.0005):
        after, _ = press(mixed={"maxLoss": most}, algorithm="GPTQ")
        assert loss(original, after) < most * 2
        sizes.append(after.path.stat().st_size)
    assert sizes[0] < sizes[1]


def test_a_budget_of_loss_holds_for_samples_that_weights_were_not_fitted_to(
    make_context: MakeContext, tmp_path: Path
) -> None:
    """Few samples of one row each: GPTQ fits these far better than others."""
    model = write_layers(tmp_path / "in")
    context = make_context({"calibration": samples_of(rows(128, seed=1))})
    asked = {"algorithm": "GPTQ", "mixed": {"maxLoss": 0.003}}
    after = quantize.run(model, Quantize.model_validate(asked), context)
    before, found = (
        graph.run(graph.open_session(item.path), rows(1000, seed=2))["y"].astype(np.float64) for item in (model, after)
    )
    assert ((found - before) ** 2).sum() / (before**2).sum() < 0.003
    assert "passes of 32 samples" in context.notes[0]


def test_what_the_user_fixed_is_not_measured(press: Press) -> None:
    _, context = press(
        mixed={"effectiveBits": 6},
        embeddings={"bits": 4},
        overrides=[{"targets": ["head"], "weights": {"bits": 8}}],
    )
    measured = {item.name: item.loss is not None for item in context.layers}
    assert measured == {"embedding": False, "up": True, "gate": True, "down": True, "head": False}
    assert context.layers[0].bits == 4.5
    assert context.layers[-1].bits == 8.25


@pytest.mark.parametrize(
    ("budget", "told"),
    [({"maxLoss": 1e-9}, "mixed.maxLoss of 1e-09"), ({"effectiveBits": 32}, "mixed.effectiveBits of 32")],
)
def test_a_budget_that_leaves_everything_in_float_is_refused(press: Press, budget: dict[str, float], told: str) -> None:
    with pytest.raises(Judged) as caught:
        press(mixed=budget)
    assert f"{told} leaves every weight in float" in caught.value.message
