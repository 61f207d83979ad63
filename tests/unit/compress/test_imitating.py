"""What a student imitates of a model with several outputs: all that can be, each as it can be compared."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import columns, model, samples_of
from torch import nn

from modelpress.api.defaults import with_defaults
from modelpress.api.objective import Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Distill, Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import distill, imitating, prune
from modelpress.compress.stages.context import Context
from modelpress.compress.stages.distances import divergence
from modelpress.compress.stages.features import Features
from modelpress.compress.stages.imitating import TeacherLoss

ROWS = 40


class Heads(nn.Module):
    """Scores of three classes, an amount in thousands, a share between 0 and 1, and the class itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.amount, self.share = nn.Linear(6, 3), nn.Linear(6, 4), nn.Linear(6, 1)

    def forward(self, row: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.scores(row)
        return {
            "scores": scores,
            "amount": 1000 * self.amount(row) + 50_000,
            "share": torch.sigmoid(self.share(row)).flatten(),
            "kind": scores.argmax(1),
        }


def heads(seed: int, *names: str, batched: bool = True) -> ModuleModel:
    torch.manual_seed(seed)
    shape = ("batch", 6) if batched else (1, 6)
    outputs = tuple(TensorSpec(name=name) for name in names or ("scores", "amount", "share", "kind"))
    return ModuleModel(Heads(), Signature((TensorSpec(name="row", shape=shape),), outputs))


def rows() -> Samples:
    return samples_of({"row": np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float32)})


def criterion(
    teacher: ModuleModel, student: ModuleModel, data: Samples, objective: dict[str, Any] | None = None, **more: Any
) -> tuple[TeacherLoss, float]:
    """Return what compares the two, checked, and how far they are apart on all samples."""
    settings = Distill.model_validate({"epochs": 1, "alpha": 1, **more})
    found = TeacherLoss(
        student.signature, teacher, with_defaults(settings), Objective.model_validate(objective) if objective else None
    )
    given = {"row": torch.from_numpy(data.inputs["row"])}
    with torch.no_grad():
        outputs = student.call(given)
        found.check(given, outputs, data, "train")
        return found, float(found.loss(given, outputs, data, np.arange(data.count)))


def answers(one: ModuleModel, data: Samples) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value).float() for name, value in one.run(data.inputs).items()}


def relative(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).square().mean() / wanted.double().var(unbiased=False))


def test_all_outputs_count_each_as_it_can_be_compared_and_no_unit_weighs_more() -> None:
    teacher, student, data = heads(0), heads(1), rows()
    found, loss = criterion(teacher, student, data)
    got, wanted = answers(student, data), answers(teacher, data)
    parts = (
        float(divergence(got["scores"], wanted["scores"], 4.0, 1)),
        float(divergence(got["amount"], wanted["amount"], 4.0, 1)),
    )
    assert loss == pytest.approx(sum(parts) + relative(got["share"], wanted["share"]), rel=1e-4)
    assert found.notes == ["Nothing was learned of the teacher's kind: kind holds int64, which has no gradient."]
    assert len(found.warnings) == 1
    assert "output share by its squared error: of the shape [40] it does not fit match Logits" in found.warnings[0]
    assert "objective.output" in found.warnings[0]

    found, loss = criterion(teacher, student, data, match="MSE")
    assert loss == pytest.approx(
        sum(relative(got[name], wanted[name]) for name in ("scores", "amount", "share")), rel=1e-4
    )
    assert not found.warnings
    scales = {each.name: each.scale for each in found.compared}
    assert scales["amount"] == pytest.approx(float(wanted["amount"].double().var(unbiased=False)), rel=1e-3)


def test_an_output_of_one_number_a_sample_is_never_compared_across_samples() -> None:
    """The last axis of a share is the batch: its direction would hang on who is in the batch."""
    found, _ = criterion(heads(0), heads(1), rows(), match="Cosine")
    assert {each.name: each.match for each in found.compared} == {
        "scores": "Cosine",
        "amount": "Cosine",
        "share": "MSE",
    }
    assert "directions along the last axis" in found.warnings[0]


def test_a_named_output_is_compared_alone_and_in_its_own_unit() -> None:
    teacher, student, data = heads(0), heads(1), rows()
    found, loss = criterion(teacher, student, data, {"loss": "MSE", "output": "amount"}, match="MSE")
    got, wanted = answers(student, data), answers(teacher, data)
    assert loss == pytest.approx(float((got["amount"] - wanted["amount"]).square().mean()), rel=1e-4)
    assert not found.notes


@pytest.mark.parametrize(
    ("names", "output", "match", "words"),
    [
        (("share",), None, "Logits", ["scores of classes, but output share has the shape [40]", "use match MSE"]),
        (("share", "scores"), "share", "Logits", ["output share has the shape [40]"]),
        (("share",), None, "Cosine", ["directions along the last axis, but output share", "use match MSE"]),
        (("kind",), None, "MSE", ["floating-point outputs; kind holds int64: take finetune instead"]),
        (("scores", "kind"), "kind", "MSE", ["kind holds int64: name another one in objective.output"]),
        (("scores", "share"), "lost", "MSE", ["objective.output is lost, the model has the outputs scores, share"]),
    ],
)
def test_what_cannot_be_compared_at_all_is_refused_with_what_to_write(
    names: tuple[str, ...], output: str | None, match: str, words: list[str]
) -> None:
    objective = {"loss": "MSE", "output": output} if output else None
    with pytest.raises(Judged) as caught:
        criterion(heads(0, *names), heads(1, *names), rows(), objective, match=match)
    assert caught.value.reason is Reason.RECIPE_INVALID
    for word in words:
        assert word in caught.value.message


def test_outputs_that_never_change_are_compared_all_the_same() -> None:
    """Neither a variance of nothing nor of rounding errors makes one output all that counts."""
    teacher, student, data = heads(0, "scores", "share"), heads(1, "scores", "share"), rows()
    for value, scale in ((0.0, 0.25e-4), (-1000.0, 1.0)):  # shares of 0.5 and of 0
        assert isinstance(teacher.module, Heads)
        nn.init.zeros_(teacher.module.share.weight)
        nn.init.constant_(teacher.module.share.bias, value)
        found, loss = criterion(teacher, student, data, match="MSE")
        assert np.isfinite(loss)
        assert found.compared[1].scale == pytest.approx(scale, rel=1e-3)


@pytest.mark.parametrize(("remembered", "asked"), [(ROWS * 8, 1), (ROWS * 8 - 1, 2)])
def test_answers_to_all_outputs_together_stay_within_the_bound(
    remembered: int, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three scores, four amounts and a share are eight numbers a sample; whole numbers are not kept."""
    monkeypatch.setattr(imitating, "REMEMBERED", remembered)
    teacher, student, data = heads(0), heads(1), rows()
    found, first = criterion(teacher, student, data)
    seen: list[int] = []
    teacher.module.register_forward_hook(lambda _module, _inputs, output: seen.append(len(output["kind"])))
    given = {"row": torch.from_numpy(data.inputs["row"])}
    with torch.no_grad():
        outputs = student.call(given)
        order = np.arange(ROWS)[::-1].copy()
        turned = tuple(item.flip(0) for item in outputs)
        again = found.loss({"row": given["row"].flip(0)}, turned, data, order)
    assert float(again) == pytest.approx(first, rel=1e-5)
    assert len(seen) == asked - 1


def test_both_outputs_of_a_pruned_model_come_nearer_to_the_teachers(make_context: MakeContext) -> None:
    """Not the first alone: the second has no targets, and is learned of the teacher."""

    def trained(objective: Objective | None) -> tuple[ModuleModel, Context]:
        found = columns("Pair")
        found.pop("label")
        student = model("Pair")
        context = make_context({"train": samples_of(found)})
        context.teacher = ModuleModel(copy.deepcopy(student.module), student.signature)
        context.objective = objective
        half = {"structure": "Channel", "amount": {"channels": 0.5}}
        pruned = prune.run(student, Prune.model_validate(half), context)
        stage = {"epochs": 30, "batchSize": 16, "learningRate": 0.01, "alpha": 1}
        return distill.run(pruned, Distill.model_validate(stage), context), context

    errors = {}
    for output in (None, "kind"):
        student, context = trained(
            Objective.model_validate({"loss": "CrossEntropy", "output": output}) if output else None
        )
        assert context.teacher is not None
        inputs = {name: item for name, item in columns("Pair").items() if name != "label"}
        got, wanted = student.run(inputs), context.teacher.run(inputs)
        errors[output] = float(np.square(got["amount"] - wanted["amount"]).mean())
        (warning,) = context.warnings
        assert ("amount by its squared error" if output is None else "nothing kept amount as before") in warning
    assert errors[None] < 0.2 * errors["kind"]


class Words(nn.Module):
    """Scores of each token; what is answered to padding is `junk`."""

    def __init__(self, junk: float) -> None:
        super().__init__()
        self.table, self.inner, self.junk = nn.Embedding(20, 6), nn.Linear(6, 6), junk

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        padding = (mask == 0)[..., None] * self.junk
        found: torch.Tensor = self.inner(self.table(ids) + padding) + padding
        return found


@pytest.mark.parametrize("match", ["Logits", "MSE", "Cosine"])
def test_nothing_is_learned_of_what_the_teacher_answers_to_padding(match: str) -> None:
    names = ("input_ids", "attention_mask")
    signature = Signature(
        tuple(TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in names),
        (TensorSpec(name="scores"),),
    )

    def words(seed: int, junk: float) -> ModuleModel:
        torch.manual_seed(seed)
        return ModuleModel(Words(junk).eval(), signature)

    generator = np.random.default_rng(0)
    ids, mask = generator.integers(0, 20, (8, 5)), (np.arange(5) < generator.integers(1, 6, (8, 1))).astype(np.int64)
    data = samples_of({"input_ids": ids, "attention_mask": mask})
    inputs = {name: torch.from_numpy(column) for name, column in data.inputs.items()}
    settings = with_defaults(
        Distill.model_validate({"epochs": 1, "alpha": 1, "match": match, "features": [{"layer": "inner"}]})
    )
    losses = []
    for junk in (0.0, 50.0):
        student, teacher = words(1, junk), words(2, 0.0)
        features = Features(student.module, teacher.module, settings.features or ())
        found = TeacherLoss(signature, teacher, settings, features=features)
        outputs = student.call(inputs)
        found.check(inputs, outputs, data, "train")
        losses.append(found.loss(inputs, student.call(inputs), data, np.arange(8)).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0] > 0.01
