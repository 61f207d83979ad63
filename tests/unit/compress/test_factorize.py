"""Stage factorize: layers become two thin ones, answers stay near, and what cannot be factorized stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import columns, layout, model, samples_of, task, write_data, write_source
from torch import nn
from torch.nn.utils import parametrizations
from transformers.pytorch_utils import Conv1D

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Factorize, Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.export import distance, export
from modelpress.compress.models import ModuleModel
from modelpress.compress.run import Compression
from modelpress.compress.signature import Signature, example
from modelpress.compress.stages import factorize, prune
from modelpress.compress.stages.thin import Factorized
from modelpress.compress.structure import describe, rebuild, tensors_of

ROW = Signature((TensorSpec(name="row", shape=("batch", 16)),), (TensorSpec(name="scores"),))


def thin(module: nn.Module) -> list[str]:
    return [name for name, layer in module.named_modules() if isinstance(layer, Factorized)]


def row_model(module: nn.Module) -> ModuleModel:
    return ModuleModel(module.eval(), ROW)


def training(name: str) -> dict[str, Samples]:
    return {"train": samples_of({key: value for key, value in columns(name).items() if key in signature(name)})}


def signature(name: str) -> list[str]:
    return [spec.name for spec in model(name).signature.inputs]


class Convolutions(nn.Module):
    """Kernels, strides, padding and dilation of every sort, of weights whose rank is two."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 12, 3, padding=1, padding_mode="reflect")
        self.two = nn.Conv2d(12, 12, (3, 5), stride=2, padding=(0, 2), bias=False)
        self.three = nn.Conv2d(12, 12, 3, padding="same", dilation=2)
        self.apart = nn.Conv2d(12, 12, 3, groups=4)
        for layer in (self.one, self.two, self.three):
            left, middle, right = torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False)
            layer.weight.data.copy_(((left[:, :2] * middle[:2]) @ right[:2]).view_as(layer.weight))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """image [batch, 3, height, width] → [batch, 12]."""
        found: torch.Tensor = self.apart(self.three(torch.relu(self.two(torch.relu(self.one(image)))))).mean((2, 3))
        return found


@pytest.mark.parametrize("seen", [True, False])
def test_convolutions_of_low_rank_answer_as_before(seen: bool, tmp_path: Path, make_context: MakeContext) -> None:
    torch.manual_seed(0)
    images = Signature((TensorSpec(name="image", shape=("batch", 3, 16, 16)),), (TensorSpec(name="means"),))
    found = ModuleModel(Convolutions().eval(), images)
    inputs = example(images, 5, 1)
    expected = found.run(inputs)["means"]
    context = make_context({"train": samples_of(example(images, 20, 2))} if seen else {})
    factorize.run(found, Factorize(rank=2), context)
    assert thin(found.module) == ["one", "two", "three"]
    np.testing.assert_allclose(found.run(inputs)["means"], expected, atol=1e-4)
    export(found, tmp_path / "model.onnx", tmp_path, None, 0)
    assert context.notes[0].startswith("Factorized 3 of 3 layers, ")
    assert len(context.notes) == (1 if seen else 2)


def test_every_output_stays_near_and_the_parameters_go(make_context: MakeContext) -> None:
    found = model("Pair")
    inputs = example(found.signature, 50, 1)
    expected, before = found.run(inputs), sum(item.numel() for item in found.module.parameters())
    factorize.run(found, Factorize(parameters=0.2), make_context(training("Pair")))
    assert sum(item.numel() for item in found.module.parameters()) <= 0.8 * before
    for name, value in found.run(inputs).items():
        assert distance(expected[name], value) < 0.5


def test_data_of_the_model_leaves_less_of_an_error_than_weights_alone(make_context: MakeContext) -> None:
    generator = np.random.default_rng(0)
    rows = (generator.standard_normal((400, 3)) @ generator.standard_normal((3, 16))).astype(np.float32)
    errors = []
    for samples in ({"train": samples_of({"row": rows[:300]})}, {}):
        torch.manual_seed(1)
        found = row_model(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)))
        expected = found.run({"row": rows[300:]})["scores"]
        factorize.run(found, Factorize(rank=3, targets=("0",)), make_context(samples))
        errors.append(float(np.abs(found.run({"row": rows[300:]})["scores"] - expected).max()))
    assert errors[0] < 1e-3
    assert errors[1] > 0.1


def test_an_error_gives_each_layer_the_least_rank_that_keeps_it(make_context: MakeContext) -> None:
    torch.manual_seed(0)
    found = row_model(nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)))
    context = make_context({"train": samples_of(example(ROW, 200, 1))})
    factorize.run(found, Factorize(error=0.3, round_to=4), context)
    for name in thin(found.module):
        layer: Any = found.module.get_submodule(name)
        assert layer.inner.out_features % 4 == 0
    assert "error 0.2" in context.notes[0]


class Shared(nn.Module):
    """Layers that must be left alone, and one that may change."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 16), nn.Linear(16, 16)
        self.two.weight = self.one.weight
        self.normed = parametrizations.weight_norm(nn.Linear(16, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.never, self.free = nn.Linear(16, 16), nn.Linear(16, 16)
        self.twice = nn.ModuleList([nn.Linear(16, 16)] * 2)

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        """row [batch, 16] → [batch, 16]."""
        hidden = self.normed(self.two(self.one(row)))[:, None]
        hidden = self.attention(hidden, hidden, hidden, need_weights=False)[0][:, 0]
        found: torch.Tensor = self.twice[1](self.twice[0](self.free(hidden)))
        return found * self.free.weight.mean()


def test_weights_that_others_need_stay_and_code_around_a_layer_still_finds_its_weight(
    make_context: MakeContext,
) -> None:
    torch.manual_seed(0)
    found, context = row_model(Shared()), make_context()
    factorize.run(found, Factorize(rank=4), context)
    assert thin(found.module) == ["free"]
    found.run(example(ROW, 3, 0))


def test_targets_that_must_stay_are_told(make_context: MakeContext) -> None:
    torch.manual_seed(0)
    found, context = row_model(Shared()), make_context()
    factorize.run(found, Factorize(rank=4, targets=("one", "normed", "free")), context)
    assert context.warnings == [
        "one was left alone: another layer has the same weight.",
        "normed was left alone: its weight is computed from others.",
    ]


def test_why_nothing_was_left_to_factorize_is_told(make_context: MakeContext) -> None:
    found, context = model("Single"), make_context()
    prune.run(found, Prune.model_validate({"structure": "Unstructured", "amount": {"sparsity": 0.5}}), context)
    with pytest.raises(Judged, match="first was left alone: its weights that were pruned to zero would come back"):
        factorize.run(found, Factorize(rank=2), context)


class Threefold(nn.Linear):
    """A layer whose class does more than torch's."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """input [batch, inputs] → [batch, outputs]."""
        return 3 * super().forward(input)


def test_a_layer_whose_class_computes_in_a_way_of_its_own_is_left_alone(make_context: MakeContext) -> None:
    torch.manual_seed(0)
    found, context = row_model(nn.Sequential(Threefold(16, 16), nn.ReLU(), nn.Linear(16, 16))), make_context()
    factorize.run(found, Factorize(rank=4, targets=("0", "2")), context)
    assert thin(found.module) == ["2"]
    assert context.warnings == ["0 was left alone: Threefold has a forward of its own."]


class Asking(nn.Module):
    """Code around layers that asks for their sizes, calls them by keyword, and for one sample at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 32), nn.Conv1d(1, 12, 3, padding=1)
        self.three = nn.Conv1d(12, 12, 3)

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        """row [batch, 16] → [batch, 12]."""
        wide = self.one(input=row).view(-1, self.two.in_channels, self.one.out_features)
        each = [self.three(self.two(sample)).mean(-1) for sample in wide]
        found: torch.Tensor = torch.stack(each) / self.one.in_features / self.three.kernel_size[0]
        return found


def test_code_around_a_layer_finds_its_sizes_and_calls_it_as_it_likes(make_context: MakeContext) -> None:
    torch.manual_seed(0)
    found = row_model(Asking())
    inputs = example(ROW, 50, 1)
    expected = found.run(inputs)["scores"]
    factorize.run(found, Factorize(error=0.3), make_context({"train": samples_of(example(ROW, 50, 2))}))
    assert set(thin(found.module)) >= {"one", "three"}
    assert distance(expected, found.run(inputs)["scores"]) < 0.3


def test_what_is_a_product_already_is_factorized_again_as_one_layer(make_context: MakeContext) -> None:
    answers = []
    for ranks in ((8, 4), (4,)):
        torch.manual_seed(0)
        found = row_model(nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64)))
        for rank in ranks:
            context = make_context()
            factorize.run(found, Factorize(rank=rank), context)
        assert thin(found.module) == ["0", "2"]
        answers.append(found.run(example(ROW, 5, 1))["scores"])
    np.testing.assert_allclose(*answers, atol=1e-5)  # the best of rank 4 is that of the best of rank 8
    with pytest.raises(Judged, match="the greatest rank that does is 3, of 0"):
        factorize.run(found, Factorize(rank=4), make_context())


def test_layers_that_were_factorized_twice_come_back_out_of_their_source(make_context: MakeContext) -> None:
    changed, other = model("Pair"), model("Pair", seed=1)
    for rank in (6, 2):
        factorize.run(changed, Factorize(rank=rank), make_context())
    rebuild(other, json.loads(json.dumps(describe(changed))), tensors_of(changed))
    inputs = example(changed.signature, 3, 0)
    for output, value in changed.run(inputs).items():
        np.testing.assert_array_equal(other.run(inputs)[output], value)


def test_inputs_that_are_no_numbers_are_refused_by_the_layer_that_takes_them(make_context: MakeContext) -> None:
    rows = {"row": np.full((20, 16), np.nan, np.float32)}
    with pytest.raises(Judged, match="On the calibration data 0 takes NaN, infinity, or numbers too great"):
        factorize.run(
            row_model(nn.Sequential(nn.Linear(16, 16))), Factorize(rank=2), make_context({"train": samples_of(rows)})
        )


def test_layers_too_thin_for_any_rank_are_named(make_context: MakeContext) -> None:
    with pytest.raises(Judged, match="factorize makes no layer smaller: of 0 two layers of rank 1 would have as many"):
        factorize.run(row_model(nn.Sequential(nn.Linear(16, 1))), Factorize(rank=1), make_context())


def test_weights_that_were_pruned_to_zero_do_not_come_back(make_context: MakeContext) -> None:
    found, context = model("Single"), make_context()
    zero = {"structure": "Unstructured", "amount": {"sparsity": 0.5}, "ignore": ["second"]}
    prune.run(found, Prune.model_validate(zero), context)
    with pytest.raises(Judged, match=r"makes no layer smaller|found no layer"):
        factorize.run(found, Factorize(rank=2, targets=("first",)), context)
    assert context.warnings[-1].startswith("first was left alone: its weights that were pruned to zero")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 500}, "factorize with rank 500 makes no layer smaller; the greatest rank that does is 13, of value"),
        ({"error": 1e-6}, "factorize with an error of 1e-06 makes no layer smaller; the greatest rank that does is "),
        ({"parameters": 0.99}, r"factorize.parameters 0.99: at most 0\.\d+ of the parameters can go, were every layer"),
        ({"rank": 2, "targets": ["nowhere"]}, "targets: no layer is called nowhere; there are for example "),
        ({"rank": 2, "ignore": ["re:("]}, r"ignore: re:\( is no regular expression"),
        ({"rank": 2, "ignore": ["re:.*"]}, "factorize found no layer that it knows"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    settings: dict[str, Any], said: str, make_context: MakeContext
) -> None:
    with pytest.raises(Judged, match=said):
        factorize.run(model("Pair"), Factorize.model_validate(settings), make_context())


@pytest.mark.parametrize("name", ["Digits", "Pair", "Wave"])
def test_factorized_modules_come_back_out_of_their_source(name: str, make_context: MakeContext) -> None:
    changed, other = model(name), model(name, seed=1)
    factorize.run(changed, Factorize(rank=2), make_context())
    assert thin(changed.module)
    rebuild(other, json.loads(json.dumps(describe(changed))), tensors_of(changed))
    inputs = example(changed.signature, 3, 0)
    for output, value in changed.run(inputs).items():
        np.testing.assert_array_equal(other.run(inputs)[output], value)


def test_what_is_factorized_is_pruned_trained_and_quantized_as_any_other(tmp_path: Path) -> None:
    write_source(tmp_path / "source", "Digits")
    write_data(tmp_path / "data", "Digits")
    stages: list[dict[str, Any]] = [
        {"factorize": {"parameters": 0.3}},
        {"prune": {"structure": "Channel", "amount": {"channels": 0.25}}},
        {"distill": {"epochs": 1, "alpha": 1}},
        {"fuse": {}},
        {"quantize": {"preset": "INT8"}},
    ]
    work = layout(tmp_path)
    for folder in (work.out, work.scratch):
        folder.mkdir()
    facts = Compression(task("Digits", stages), work, lambda _: None).run()
    assert [stage.kind for stage in facts.stages] == ["factorize", "prune", "distill", "fuse", "quantize"]
    first = facts.stages[0]
    assert first.after.parameters <= 0.7 * first.before.parameters
    assert first.after.macs is not None and first.before.macs is not None
    assert first.after.macs < first.before.macs


def test_layers_of_gpt2_are_factorized_and_those_left_alone_stay_what_they_were(make_context: MakeContext) -> None:
    torch.manual_seed(0)
    found, other = (
        row_model(nn.Sequential(Conv1D(32, 16), nn.Tanh(), Conv1D(24, 32), Conv1D(4, 24))) for _ in range(2)
    )
    first: Any = found.module.get_submodule("0")
    first.weight.data.copy_(torch.randn(16, 3) @ torch.randn(3, 32))
    first.bias.data.normal_()
    inputs = example(ROW, 50, 1)
    expected = found.run(inputs)["scores"]
    last = found.module.get_submodule("3")
    context = make_context({"train": samples_of(example(ROW, 200, 2))})
    factorize.run(found, Factorize(rank=3, targets=("0", "3"), ignore=("3",)), context)
    assert thin(found.module) == ["0"]
    assert found.module.get_submodule("3") is last
    assert isinstance(found.module.get_submodule("2"), Conv1D)
    np.testing.assert_allclose(found.run(inputs)["scores"], expected, atol=1e-4)
    rebuild(other, json.loads(json.dumps(describe(found))), tensors_of(found))
    np.testing.assert_allclose(other.run(inputs)["scores"], found.run(inputs)["scores"], atol=1e-6)


def test_layers_of_gpt2_whose_weights_others_share_are_left_alone(make_context: MakeContext) -> None:
    found = row_model(nn.Sequential(Conv1D(16, 16), Conv1D(16, 16), nn.Linear(16, 64)))
    one, two = (found.module.get_submodule(name) for name in ("0", "1"))
    one.weight = two.weight
    factorize.run(found, Factorize(rank=2), make_context())
    assert thin(found.module) == ["2"]
    assert one.weight is two.weight
