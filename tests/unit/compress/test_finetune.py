"""Stage finetune: it learns, chooses, keeps zeros, and names what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import CASES, columns, model, samples_of

from modelpress.api.reasons import Reason
from modelpress.api.stages import Finetune, Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.stages import finetune, prune


def samples(name: str, **changes: np.ndarray[Any, Any]) -> Samples:
    found = columns(name) | changes
    label = found.pop("label")
    return samples_of(found, {CASES[name].outputs[0]: label})


def settings(**more: Any) -> Finetune:
    return Finetune.model_validate({"epochs": 3, "batchSize": 16, "learningRate": 0.01, **more})


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_model_learns(name: str, make_context: MakeContext) -> None:
    context = make_context({"train": samples(name)}, "MSE" if CASES[name].classes is None else "CrossEntropy")
    losses: list[float] = []
    context.report = lambda _fraction, detail: losses.append(float(detail.rpartition(" ")[2]))
    finetune.run(model(name), settings(), context)
    assert losses[-1] < losses[0]


def test_the_epoch_that_is_best_on_validation_data_is_kept(make_context: MakeContext) -> None:
    train = samples("Single")
    other = samples_of(train.inputs, {"scores": 1 - train.targets["scores"]})
    context = make_context({"train": train, "validation": other}, "CrossEntropy")
    finetune.run(model("Single"), settings(epochs=6, patience=2), context)
    assert "Epoch 1 was kept" in " ".join(context.notes)
    assert "Stopped after epoch 3" in " ".join(context.notes)


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
