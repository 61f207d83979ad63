"""Stage distill: the student comes nearer to its teacher, in outputs and inside, with and without targets."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import CASES, columns, model, samples_of
from tests.unit.compress.transformers import Encoder, seeded
from torch import nn

from modelpress.api.defaults import with_defaults
from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Cut, Distill, Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import cut, distill, prune
from modelpress.compress.stages.context import Context
from modelpress.compress.stages.distances import divergence
from modelpress.compress.stages.imitating import TeacherLoss


def samples(name: str, *, targets: bool = False) -> Samples:
    found = columns(name)
    label = found.pop("label")
    return samples_of(found, {CASES[name].outputs[0]: label} if targets else None)


def settings(**more: Any) -> Distill:
    return Distill.model_validate({"epochs": 8, "batchSize": 16, "learningRate": 0.01, "alpha": 1, **more})


def pruned(name: str, make_context: MakeContext, data: Samples, loss: str | None = None) -> tuple[ModuleModel, Context]:
    """Return a student with half the channels, and surroundings with its teacher."""
    student = model(name)
    context = make_context({"train": data}, loss)
    context.teacher = ModuleModel(copy.deepcopy(student.module), student.signature)
    half = {"structure": "Channel", "amount": {"channels": 0.5}}
    return prune.run(student, Prune.model_validate(half), context), context


def distance(student: ModuleModel, context: Context, data: Samples) -> float:
    assert context.teacher is not None
    output = student.signature.outputs[0].name
    inputs = data.inputs if student.signature.batched else {name: item[0] for name, item in data.inputs.items()}
    return float(np.square(student.run(inputs)[output] - context.teacher.run(inputs)[output]).mean())


@pytest.mark.parametrize("match", ["Logits", "MSE", "Cosine"])
@pytest.mark.parametrize("name", ["Normalized", "Residual", "Pair"])
def test_a_pruned_student_comes_nearer_to_its_teacher_without_any_targets(
    name: str, match: str, make_context: MakeContext
) -> None:
    data = samples(name)
    student, context = pruned(name, make_context, data)
    teacher = copy.deepcopy(context.teacher.module.state_dict()) if context.teacher else {}
    losses: list[float] = []
    context.report = lambda _fraction, detail: losses.append(float(detail.rpartition(" ")[2]))
    distill.run(student, settings(match=match), context)
    assert losses[-1] < 0.9 * losses[0]
    assert context.teacher is not None
    assert all(torch.equal(item, teacher[key]) for key, item in context.teacher.module.state_dict().items())


@pytest.mark.parametrize("name", ["Single", "Wave"])
def test_models_without_a_batch_and_with_free_axes_learn_too(name: str, make_context: MakeContext) -> None:
    data = samples(name)
    student, context = pruned(name, make_context, data)
    before = distance(student, context, data)
    distill.run(student, settings(match="MSE", epochs=25 if name == "Wave" else 2), context)
    assert distance(student, context, data) < before


def test_targets_count_by_what_alpha_leaves_them(make_context: MakeContext) -> None:
    data = samples("Normalized", targets=True)
    scores = {}
    for alpha in (0.05, 1):
        student, context = pruned("Normalized", make_context, data, "CrossEntropy")
        distill.run(student, settings(alpha=alpha, epochs=30), context)
        answers = student.run(data.inputs)["scores"]
        scores[alpha] = float((answers.argmax(1) == data.targets["scores"]).mean()), distance(student, context, data)
    assert scores[0.05][0] > scores[1][0]  # the untrained teacher knows nothing of the targets
    assert scores[0.05][1] > scores[1][1]


def test_the_teacher_sees_what_the_student_sees(make_context: MakeContext) -> None:
    """Remembered answers belong to the inputs as they are: with augmentation each epoch asks anew."""
    data = samples("Residual")
    calls = {}
    for augment in (None, {"shift": 1}):
        student, context = pruned("Residual", make_context, data)
        assert context.teacher is not None
        seen: list[int] = []
        context.teacher.module.register_forward_hook(
            lambda _module, _inputs, output, seen=seen: seen.append(len(output))
        )
        distill.run(student, settings(epochs=3, augment=augment), context)
        calls[augment is None] = sum(seen)
    assert (calls[True], calls[False]) == (data.count, 3 * data.count)


def test_layers_inside_are_imitated_through_whatever_width_and_after_a_cut(make_context: MakeContext) -> None:
    data = samples_of({"tokens": np.random.default_rng(0).normal(size=(48, 6, 3)).astype(np.float32)})
    student = seeded(Encoder, True)
    context = make_context({"train": data})
    context.teacher = ModuleModel(copy.deepcopy(student.module), student.signature)
    cut.run(student, Cut(blocks="blocks", remove=(1, 2)), context)
    prune.run(
        student,
        Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}}),
        context,
    )
    losses: list[float] = []
    context.report = lambda _fraction, detail: losses.append(float(detail.rpartition(" ")[2]))
    pairs = [{"layer": "blocks.1", "teacher": "blocks.3"}, {"layer": "stem"}]
    names = set(student.module.state_dict())
    distill.run(student, settings(features=pairs, featureWeight=10, match="MSE"), context)
    assert losses[-1] < 0.7 * losses[0]
    assert set(student.module.state_dict()) == names
    assert not any(module._forward_hooks for module in student.module.modules())


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("Normalized", {"features": [{"layer": "layers.9"}]}, "no layer of the student is called layers.9"),
        ("Normalized", {"features": [{"layer": "layers.0", "teacher": "x"}]}, "no layer of the teacher is called x"),
        ("Residual", {"features": [{"layer": "stem", "teacher": "head"}]}, "only one axis, the channels, may differ"),
        ("Normalized", {"alpha": 0.5}, "needs compression.objective"),
    ],
)
def test_what_cannot_be_compared_is_named(
    name: str, more: dict[str, Any], words: str, make_context: MakeContext
) -> None:
    student, context = pruned(name, make_context, samples(name))
    with pytest.raises(Judged) as caught:
        distill.run(student, settings(**more), context)
    assert caught.value.reason is Reason.RECIPE_INVALID
    assert words in caught.value.message


def test_scores_of_a_single_class_cannot_be_softened(make_context: MakeContext) -> None:
    data = samples("Pair")
    student, context = pruned("Pair", make_context, data)
    context.objective = Objective(loss=Loss.MSE, output="amount")
    with pytest.raises(Judged, match=r"output amount has the shape \[2, 1\]: use match MSE"):
        distill.run(student, settings(), context)


@pytest.mark.parametrize(
    ("loss", "scores", "targets", "axis"),
    [
        ("CrossEntropy", (4, 6, 9), (4, 6), 2),
        ("CrossEntropy", (4, 9, 6), (4, 6), 1),
        ("CrossEntropy", (4, 6, 9), None, 2),
        ("CrossEntropy", (4, 3, 8, 8), None, 1),
        ("CrossEntropy", (4, 8, 8, 3), (4, 8, 8), 3),
        ("CausalLM", (4, 6, 9), (4, 6), 2),
        (None, (4, 6, 9), None, 2),
        (None, (4, 9), None, 1),
        ("MSE", (4, 3, 8, 8), None, 1),
    ],
)
def test_scores_are_softened_over_the_classes(
    loss: str | None, scores: tuple[int, ...], targets: tuple[int, ...] | None, axis: int, make_context: MakeContext
) -> None:
    """The loss is the divergence over that axis and over no other."""
    generator = torch.Generator().manual_seed(0)
    got, wanted = (torch.randn(scores, generator=generator) for _ in range(2))
    signature = Signature((TensorSpec(name="row", shape=("batch", 1)),), (TensorSpec(name="scores"),))
    teacher = ModuleModel(nn.Identity(), signature)
    teacher.module.forward = lambda _row: wanted  # type: ignore[method-assign]
    data = samples_of(
        {"row": np.zeros((4, 1), np.float32)}, {} if targets is None else {"scores": np.zeros(targets, np.int64)}
    )
    criterion = TeacherLoss(signature, teacher, with_defaults(settings()), Objective(loss=Loss(loss)) if loss else None)
    rows = {"row": torch.zeros(4, 1)}
    criterion.check(rows, (got,), data, "train")
    found = criterion.loss(rows, (got,), data, np.arange(4))
    losses = [float(divergence(got, wanted, 4.0, each)) for each in range(1, len(scores))]
    assert float(found) == pytest.approx(losses[axis - 1])
    assert len({round(each, 6) for each in losses}) == len(losses)
