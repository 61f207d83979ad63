"""Stage finetune: it learns, chooses, keeps zeros, and names what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import CASES, SAMPLES, columns, model, samples_of
from torch import nn

from modelpress.api.defaults import with_defaults
from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Finetune, Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import finetune, losses, prune, training

MSE = Objective(loss=Loss.MSE)


def samples(name: str, **changes: np.ndarray[Any, Any]) -> Samples:
    found = columns(name) | changes
    label = found.pop("label")
    return samples_of(found, {CASES[name].outputs[0]: label})


def settings(**more: Any) -> Finetune:
    return Finetune.model_validate({"epochs": 3, "batchSize": 16, "learningRate": 0.01, **more})


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_model_learns(name: str, make_context: MakeContext) -> None:
    context = make_context({"train": samples(name)}, "MSE" if CASES[name].classes is None else "CrossEntropy")
    means: list[float] = []
    context.report = lambda _fraction, detail: means.append(float(detail.rpartition(" ")[2]))
    finetune.run(model(name), settings(), context)
    assert means[-1] < means[0]


def test_the_epoch_that_is_best_on_validation_data_is_kept(make_context: MakeContext) -> None:
    train = samples("Single")
    other = samples_of(train.inputs, {"scores": 1 - train.targets["scores"]})
    context = make_context({"train": train, "validation": other}, "CrossEntropy")
    found: Any = model("Single")
    found.module.second.bias.data.copy_(torch.tensor([3.0, -3.0]))  # wrong on both: at first they get better together
    finetune.run(found, settings(epochs=6, patience=2, learningRate=0.2), context)
    assert "Epoch 2 was kept" in " ".join(context.notes)
    assert "Stopped after epoch 4" in " ".join(context.notes)


def test_training_that_makes_nothing_better_leaves_what_stood_before_and_says_so(make_context: MakeContext) -> None:
    data, found = samples("Normalized"), model("Normalized")
    context = make_context({"train": data, "validation": data}, "CrossEntropy")
    finetune.run(found, settings(epochs=20), context)
    assert not context.warnings
    before = {name: value.clone() for name, value in found.module.state_dict().items()}
    finetune.run(found, settings(epochs=1, learningRate=10), context)
    assert "CrossEntropy was not smaller on the validation data after training" in context.warnings[0]
    assert "lower finetune.learningRate" in context.warnings[0]
    assert all(torch.equal(value, before[name]) for name, value in found.module.state_dict().items())


def test_the_same_seed_gives_the_same_weights(make_context: MakeContext) -> None:
    found = []
    for _ in range(2):
        context = make_context({"train": samples("Normalized")}, "CrossEntropy")
        found.append(finetune.run(model("Normalized"), settings(epochs=2), context).module.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_pruned_weights_stay_zero(make_context: MakeContext) -> None:
    context = make_context({"train": samples("Normalized")}, "CrossEntropy")
    found = model("Normalized")
    prune.run(found, Prune.model_validate({"structure": "Unstructured", "amount": {"sparsity": 0.8}}), context)
    zeros = {name: item == 0 for name, item in found.module.named_parameters() if item.ndim > 1}
    finetune.run(found, settings(), context)
    weights = dict(found.module.named_parameters())
    assert all(bool((weights[name][where] == 0).all()) for name, where in zeros.items())
    assert any(not torch.equal(weights[name], model("Normalized").module.get_parameter(name)) for name in zeros)


def test_a_last_batch_of_one_sample_does_not_upset_batch_normalization(make_context: MakeContext) -> None:
    all_samples = samples("Normalized")
    few = samples_of(
        {name: value[:17] for name, value in all_samples.inputs.items()},
        {name: value[:17] for name, value in all_samples.targets.items()},
    )
    finetune.run(model("Normalized"), settings(), make_context({"train": few}, "CrossEntropy"))


def test_every_sample_is_learned_from_when_they_come_one_by_one(make_context: MakeContext) -> None:
    seen: list[int] = []
    found = model("Wave")
    found.module.layers[3] = nn.Identity()  # normalization needs more than one
    found.module.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if module.training else None
    )
    finetune.run(found, settings(epochs=2, batchSize=1), make_context({"train": samples("Wave")}, "MSE"))
    assert seen == [1] * 2 * SAMPLES


def test_an_output_that_the_model_has_not_is_named(make_context: MakeContext) -> None:
    context = make_context({"train": samples("Single")}, "CrossEntropy", "kind")
    with pytest.raises(Judged, match=r"objective\.output is kind, the model has the outputs scores") as caught:
        finetune.run(model("Single"), settings(), context)
    assert caught.value.reason is Reason.RECIPE_INVALID


def test_an_output_that_the_loss_does_not_look_at_is_named(make_context: MakeContext) -> None:
    context = make_context({"train": samples("Pair")}, "CrossEntropy", "kind")
    finetune.run(model("Pair"), settings(), context)
    assert "finetune looked at kind alone: nothing kept amount as before" in context.warnings[0]


def test_a_module_that_takes_no_gradient_is_named_as_such(make_context: MakeContext) -> None:
    found = model("Single")
    found.module.requires_grad_(requires_grad=False)
    with pytest.raises(Judged, match="finetune has nothing to train") as caught:
        finetune.run(found, settings(), make_context({"train": samples("Single")}, "CrossEntropy"))
    assert caught.value.reason is Reason.RECIPE_INVALID


@pytest.mark.parametrize(
    ("more", "shares"),
    [
        ({}, [1, 0.75, 0.25]),
        ({"schedule": "Linear"}, [1, 2 / 3, 1 / 3]),
        ({"schedule": "Constant", "warmup": 0.67}, [0.5, 1, 1]),
    ],
)
def test_the_learning_rate_goes_on_as_the_schedule_says(more: dict[str, Any], shares: list[float]) -> None:
    trainer = training.Trainer(
        model("Single"),
        with_defaults(settings(**more)),
        losses.TargetLoss(MSE, CASES["Single"].signature),
        0,
        "finetune",
    )
    assert [trainer.share(step, 3) for step in range(3)] == pytest.approx(shares)


def test_gradients_are_clipped_to_the_norm(make_context: MakeContext) -> None:
    """AdamW's first step is as long as the learning rate whatever the gradient: clipped to nothing, it is short."""
    moved = {}
    for limit in (None, 1e-12):
        found = model("Normalized")
        before = found.module.get_parameter("layers.0.weight").detach().clone()
        more = {"epochs": 1, "batchSize": 96, "weightDecay": 0, "maxGradientNorm": limit}
        finetune.run(found, settings(**more), make_context({"train": samples("Normalized")}, "CrossEntropy"))
        moved[limit] = float((found.module.get_parameter("layers.0.weight").detach() - before).abs().max())
    assert moved[1e-12] < 0.01 * moved[None]


def test_smoothed_labels_keep_the_scores_apart_less(make_context: MakeContext) -> None:
    spreads = []
    for smoothing in (None, 0.5):
        context = make_context({"train": samples("Normalized")}, "CrossEntropy")
        found = finetune.run(model("Normalized"), settings(epochs=30, labelSmoothing=smoothing), context)
        spreads.append(found.run(samples("Normalized").inputs)["scores"].std())
    assert spreads[1] < 0.7 * spreads[0]
    with pytest.raises(Judged, match="labelSmoothing needs an objective with loss CrossEntropy or CausalLM, not MSE"):
        finetune.run(model("Wave"), settings(labelSmoothing=0.1), make_context({"train": samples("Wave")}, "MSE"))


class Tokens(nn.Module):
    """Scores of the next token by the token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.table(tokens)
        return found


def test_a_language_model_learns_the_token_after_each(make_context: MakeContext) -> None:
    torch.manual_seed(0)
    inputs = (TensorSpec(name="tokens", shape=("batch", "time"), dtype="int64"),)
    found = ModuleModel(Tokens(), Signature(inputs, (TensorSpec(name="scores"),)))
    counting = (np.arange(40)[:, None] + np.arange(6)) % 5
    targets = np.where(np.arange(6) == 5, -100, counting)
    context = make_context({"train": samples_of({"tokens": counting}, {"scores": targets})}, "CausalLM")
    finetune.run(found, settings(epochs=30, learningRate=0.1), context)
    assert (found.run({"tokens": counting[:1]})["scores"].argmax(-1) == (counting[:1] + 1) % 5).all()
    broken = make_context({"train": samples_of({"tokens": counting}, {"scores": targets + 1})}, "CausalLM")
    with pytest.raises(Judged, match="holds the label 5 for scores, whose 5 classes are 0 to 4"):
        finetune.run(found, settings(), broken)
    with pytest.raises(Judged, match=r"CausalLM needs scores \[batch, tokens, vocabulary\]"):
        finetune.run(model("Single"), settings(), make_context({"train": samples("Single")}, "CausalLM"))


def test_augmented_training_sees_each_sample_in_many_forms(make_context: MakeContext) -> None:
    found = model("Residual")
    seen: list[torch.Tensor] = []
    found.module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach().clone()))
    context = make_context({"train": samples("Residual"), "validation": samples("Residual")}, "CrossEntropy")
    finetune.run(found, settings(epochs=2, batchSize=96, augment={"noise": 0.1, "flip": "Horizontal"}), context)
    original = torch.from_numpy(samples("Residual").inputs["image"])
    trained = [item for item in seen if len(item) == 96]
    assert sum(torch.equal(item, original) for item in trained) == 3  # validation, first and once an epoch
    assert len(trained) == 5


@pytest.mark.parametrize(
    ("name", "change", "loss", "reason", "words"),
    [
        (
            "Single",
            {"label": np.full(96, 2)},
            "CrossEntropy",
            Reason.LABELS_OUT_OF_RANGE,
            "label 2 for scores, whose 2 classes are 0 to 1",
        ),
        ("Single", {"label": np.full(96, -1)}, "CrossEntropy", Reason.LABELS_OUT_OF_RANGE, "label -1"),
        ("Single", {"label": np.full(96, 0.5)}, "CrossEntropy", Reason.DATASET_DOES_NOT_FIT, "whole numbers"),
        (
            "Single",
            {"label": np.zeros((96, 3))},
            "MSE",
            Reason.DATASET_DOES_NOT_FIT,
            "have shape [3] a sample, MSE needs [2]",
        ),
        (
            "Wave",
            {"label": np.full((96, 1, 24), 1e30, np.float32)},
            "MSE",
            Reason.TRAINING_DIVERGED,
            "lower finetune.learningRate",
        ),
    ],
)
def test_data_that_does_not_fit_is_named(
    name: str, change: dict[str, Any], loss: str, reason: Reason, words: str, make_context: MakeContext
) -> None:
    with pytest.raises(Judged) as caught:
        finetune.run(model(name), settings(), make_context({"train": samples(name, **change)}, loss))
    assert caught.value.reason is reason
    assert words in caught.value.message


def test_a_missing_target_is_named(make_context: MakeContext) -> None:
    found = columns("Single")
    del found["label"]
    with pytest.raises(Judged, match="no target for output scores"):
        finetune.run(model("Single"), settings(), make_context({"train": samples_of(found)}, "MSE"))
