"""Pruning that makes up for what went: importance Reconstruction, and layers fitted anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import CASES, columns, model, samples_of
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import layer_inputs, prune, reconstructing
from modelpress.compress.stages.compensating import Consumer, eliminate


def channel(amount: float, **more: Any) -> Prune:
    return Prune.model_validate({"structure": "Channel", "amount": {"channels": amount}, **more})


def inputs_of(name: str) -> Samples:
    return samples_of({item: column for item, column in columns(name).items() if item in CASES[name].inputs})


def off(found: ModuleModel, original: ModuleModel, samples: Samples) -> float:
    """Return how far the outputs are off, relative to their size."""
    part = {name: column if found.signature.batched else column[0] for name, column in samples.inputs.items()}
    wanted, got = original.run(part), found.run(part)
    floats = [name for name in wanted if wanted[name].dtype.kind == "f"]
    error = sum(float(np.square(wanted[name] - got[name]).sum()) for name in floats)
    return error / sum(float(np.square(wanted[name]).sum()) for name in floats)


def built(module: nn.Module, *axes: int | str) -> ModuleModel:
    named = Signature((TensorSpec(name="x", shape=("batch", *axes)),), (TensorSpec(name="y"),))
    return ModuleModel(module.eval(), named)


@pytest.mark.parametrize("name", CASES)
def test_layers_fitted_anew_answer_more_like_the_original(name: str, make_context: MakeContext) -> None:
    samples, errors = inputs_of(name), {}
    for reconstruct in (False, True):
        found, context = model(name), make_context({"calibration": samples})
        prune.run(found, channel(0.4, reconstruct=reconstruct), context)
        errors[reconstruct] = off(found, model(name), samples)
    assert errors[True] < 0.8 * errors[False]
    assert any("fitted anew" in note for note in context.notes)


@pytest.mark.parametrize("name", CASES)
def test_ranked_by_reconstruction_less_is_lost_than_by_chance(name: str, make_context: MakeContext) -> None:
    samples, errors = inputs_of(name), {}
    for importance in ("Random", "Reconstruction"):
        found, context = model(name), make_context({"calibration": samples})
        prune.run(found, channel(0.4, importance=importance, reconstruct=True), context)
        errors[importance] = off(found, model(name), samples)
    assert errors["Reconstruction"] < errors["Random"]


def test_few_samples_are_not_fitted_at_the_cost_of_others(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def network() -> ModuleModel:
        torch.manual_seed(0)
        return built(nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 8)), 24)

    mixing = np.random.default_rng(1).normal(size=(24, 24)) / np.arange(1, 25)
    drawn = (np.random.default_rng(0).normal(size=(600, 24)) @ mixing).astype(np.float32)
    errors = {}
    for ridges in (reconstructing.RIDGES[:1], reconstructing.RIDGES):
        monkeypatch.setattr(reconstructing, "RIDGES", ridges)
        found = network()
        prune.run(found, channel(0.3, reconstruct=True), make_context({"calibration": samples_of({"x": drawn[:32]})}))
        errors[len(ridges)] = off(found, network(), samples_of({"x": drawn[32:]}))
    assert errors[4] < 0.9 * errors[1]


@pytest.mark.parametrize(("samples", "times"), [(24, 9), (400, None)])
def test_few_samples_are_told_with_how_many_to_bring(
    samples: int, times: int | None, make_context: MakeContext
) -> None:
    given = samples_of({"x": np.random.default_rng(0).normal(size=(samples, 6)).astype(np.float32)})
    network = nn.Sequential(nn.Linear(6, 65), nn.ReLU(), nn.Linear(65, 2))
    context = make_context({"calibration": given})
    prune.run(built(network, 6), channel(0.2, reconstruct=True), context)
    told = [text for text in context.warnings if "fitted anew to few samples" in text]
    assert len(told) == (times is not None)
    assert all(f"at least {times} times as many samples" in text for text in told)


def test_a_layer_that_no_fit_does_good_stays_as_it_is() -> None:
    one, other = (reconstructing.Fit.empty(torch.zeros(2, 1).double()) for _ in range(2))
    rows = torch.eye(2).double()
    one.add(rows, torch.ones(2, 1).double())
    other.add(rows, -torch.ones(2, 1).double())
    assert not reconstructing.best_change(one, other).any()
    assert reconstructing.best_change(one, reconstructing.Fit.empty(torch.zeros(2, 1).double())).any()


class Twins(nn.Module):
    """Each hidden channel is there twice, at another scale: half of them say nothing new."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.kind = kind
        self.first: Any
        self.second: Any
        if kind == "linear":
            self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 4)
        elif kind == "line":
            self.first, self.second = nn.Conv1d(6, 16, 3, padding="same"), nn.Conv1d(16, 4, 5, stride=2, padding=1)
        else:
            self.first, self.second = (
                nn.Conv2d(6, 16, 3),
                nn.Conv2d(16, 4, 3, padding=1, padding_mode="reflect", dilation=2),
            )
        with torch.no_grad():
            self.first.weight[8:] = 3 * self.first.weight[:8]
            self.first.bias[8:] = 3 * self.first.bias[:8]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.second(torch.relu(self.first(x)))
        return answer


AXES: dict[str, tuple[int, ...]] = {"linear": (6,), "line": (6, 12), "plane": (6, 9, 9)}


@pytest.mark.parametrize("kind", AXES)
def test_channels_that_say_nothing_new_go_without_a_loss(kind: str, make_context: MakeContext) -> None:
    samples = samples_of({"x": np.random.default_rng(0).normal(size=(64, *AXES[kind])).astype(np.float32)})
    lost = {}
    for settings in (channel(0.5), channel(0.5, importance="Reconstruction", reconstruct=True)):
        found = built(Twins(kind), *AXES[kind])
        prune.run(found, settings, make_context({"calibration": samples}))
        assert found.module.get_submodule("first").weight.shape[0] == 8
        lost[settings.reconstruct] = off(found, built(Twins(kind), *AXES[kind]), samples)
    assert lost[True] < 1e-4
    assert lost[None] > 0.01


@pytest.mark.parametrize("importance", ["L2", "Reconstruction"])
def test_heads_of_attention_are_made_up_for(importance: str, make_context: MakeContext) -> None:
    def encoder() -> ModuleModel:
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
        return built(nn.Sequential(nn.Linear(3, 16), nn.TransformerEncoder(layer, 2), nn.Linear(16, 2)), "time", 3)

    samples = samples_of({"x": np.random.default_rng(0).normal(size=(64, 7, 3)).astype(np.float32)})
    errors = {}
    for reconstruct in (False, True):
        found = encoder()
        prune.run(
            found, channel(0.5, importance=importance, reconstruct=reconstruct), make_context({"calibration": samples})
        )
        errors[reconstruct] = off(found, encoder(), samples)
    assert errors[True] < 0.8 * errors[False]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 5),
        nn.Linear(6, 5, bias=False),
        nn.Conv1d(6, 5, 3, stride=2, padding=2, dilation=2),
        nn.Conv1d(6, 5, 4, padding="same", padding_mode="circular"),
        nn.Conv2d(6, 5, (1, 3), stride=(2, 1), padding=(0, 2)),
        nn.Conv2d(6, 5, 3, padding="same", dilation=2, padding_mode="replicate"),
    ],
    ids=str,
)
def test_rows_times_weights_are_what_a_layer_answers(layer: Any) -> None:
    shape = {nn.Linear: (2, 3, 6), nn.Conv1d: (2, 6, 11), nn.Conv2d: (2, 6, 9, 8)}[type(layer)]
    taken = torch.randn(*shape)
    answers = layer_inputs.rows(layer, taken) @ layer.weight.flatten(1).T + (0 if layer.bias is None else layer.bias)
    torch.testing.assert_close(answers, layer_inputs.answers(layer, layer(taken)))


def test_what_a_channel_costs_is_the_error_of_the_best_fit_without_it() -> None:
    generator = torch.Generator().manual_seed(0)
    taken = torch.randn(400, 5, generator=generator).double()
    taken[:, 1] += taken[:, 3]
    weight = torch.randn(5, 3, generator=generator).double()
    wanted = taken @ weight
    errors = []
    for index in range(5):
        rest = taken[:, [other for other in range(5) if other != index]]
        fitted = torch.linalg.lstsq(rest, wanted).solution
        errors.append(float((rest @ fitted - wanted).square().sum() / wanted.square().sum()))
    found = eliminate([Consumer(weight, torch.arange(5)[:, None], taken.T @ taken)])
    assert int(found.argmin()) == int(np.argmin(errors))
    assert float(found.min()) == pytest.approx(min(errors), rel=0.02)
    assert float(found.max()) == pytest.approx(1.0, rel=0.02)


def test_padding_says_nothing() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    found = layer_inputs.chosen(torch.zeros(2, 3, 8), 6, {"attention_mask": mask}, 0)
    assert found.tolist() == [0, 1, 3]


def test_channels_that_nothing_fittable_takes_are_refused(make_context: MakeContext) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(8, 2, 3))
    found = built(module, 3, 9, 9)
    samples = samples_of({"x": np.random.default_rng(0).normal(size=(8, 3, 9, 9)).astype(np.float32)})
    with pytest.raises(Judged) as caught:
        prune.run(found, channel(0.5, importance="Reconstruction"), make_context({"calibration": samples}))
    assert caught.value.reason is Reason.RECIPE_INVALID
    assert "name it in ignore, or rank by L2" in str(caught.value)
