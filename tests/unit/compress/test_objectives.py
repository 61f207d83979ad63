"""The objective: a function of the source sees all outputs and targets, and what it does wrong is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import columns, model, samples_of

from modelpress.api.objective import Objective
from modelpress.api.reasons import Reason
from modelpress.api.stages import Distill, Finetune, Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel
from modelpress.compress.stages import distill, finetune, prune
from modelpress.compress.stages.context import Context

BOTH = """
from torch.nn import functional

from .weights import AMOUNT


def loss(outputs, targets):
    kind = functional.cross_entropy(outputs["kind"], targets["kind"])
    return kind + AMOUNT * functional.mse_loss(outputs["amount"], targets["amount"])


def number(outputs, targets):
    return 3.5


def each(outputs, targets):
    return outputs["amount"]


def constant(outputs, targets):
    return outputs["amount"].detach().mean()


def wrong(outputs, targets):
    return targets["nothing"]
"""


def samples() -> Samples:
    found = columns("Pair")
    label = found.pop("label")
    return samples_of(found, {"kind": label, "amount": found["right"].sum(1, keepdims=True)})


def test_without_a_named_output_the_loss_is_the_sum_over_all_that_have_targets(make_context: MakeContext) -> None:
    """A second head is not forgotten because the objective names none."""
    amounts = samples().targets["amount"]
    both = samples_of(samples().inputs, {"kind": np.eye(3)[samples().targets["kind"]], "amount": amounts})
    errors = {}
    for output in (None, "kind"):
        context = make_context({"train": both})
        context.objective = Objective.model_validate({"loss": "MSE", "output": output})
        found = finetune.run(model("Pair"), Finetune.model_validate({"epochs": 30, "learningRate": 0.01}), context)
        errors[output] = float(np.square(found.run(both.inputs)["amount"] - amounts).mean())
    assert errors[None] < 0.1 * errors["kind"]


def test_targets_of_two_outputs_that_one_loss_does_not_fit_are_refused_with_the_way_out(
    make_context: MakeContext,
) -> None:
    context = make_context({"train": samples()}, "CrossEntropy")
    with pytest.raises(Judged, match=r"whole numbers as targets of amount.*name one in objective.output"):
        finetune.run(model("Pair"), Finetune.model_validate({"epochs": 1}), context)


def test_the_direction_of_a_single_number_is_not_learned(make_context: MakeContext) -> None:
    """There is none: the loss would have no gradient, or be over the samples of a batch."""
    context = make_context({"train": samples()}, "Cosine", "amount")
    with pytest.raises(Judged, match=r"output amount has \[2, 1\]: use loss MSE"):
        finetune.run(model("Pair"), Finetune.model_validate({"epochs": 1}), context)


def surroundings(make_context: MakeContext, function: str = "loss") -> Context:
    context = make_context({"train": samples()})
    (context.source / "losses.py").write_text(BOTH)
    (context.source / "weights.py").write_text("AMOUNT = 0.5\n")
    context.objective = Objective.model_validate({"loss": "Entrypoint", "entrypoint": f"losses:{function}"})
    return context


def errors(pair: ModuleModel) -> tuple[float, float]:
    """Return the share of wrong kinds, and the mean squared error of the amounts."""
    data = samples()
    answers = pair.run(data.inputs)
    wrong = float((answers["kind"].argmax(1) != data.targets["kind"]).mean())
    return wrong, float(np.square(answers["amount"] - data.targets["amount"]).mean())


def test_all_outputs_are_learned_by_a_loss_of_the_source(make_context: MakeContext) -> None:
    pair, context = model("Pair"), surroundings(make_context)
    before = errors(pair)
    finetune.run(pair, Finetune.model_validate({"epochs": 40, "batchSize": 16, "learningRate": 0.01}), context)
    after = errors(pair)
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.2 * before[1]
    assert any(note.startswith("The loss of the training data went from") for note in context.notes)


@pytest.mark.parametrize("importance", ["Taylor", "LossChange"])
def test_channels_are_ranked_by_it(importance: str, make_context: MakeContext) -> None:
    pair, context = model("Pair"), surroundings(make_context)
    settings = {"structure": "Channel", "importance": importance, "amount": {"channels": 0.3}}
    pruned = prune.run(pair, Prune.model_validate(settings), context)
    assert pruned.module.get_submodule("value").out_features < 24


def test_a_student_learns_by_it_beside_the_teacher(make_context: MakeContext) -> None:
    pair, context = model("Pair"), surroundings(make_context)
    context.teacher = model("Pair", seed=1)  # it knows nothing, and is asked for kinds alone
    context.objective = Objective.model_validate({"loss": "Entrypoint", "entrypoint": "losses:loss", "output": "kind"})
    before = errors(pair)
    settings = {"epochs": 30, "batchSize": 16, "learningRate": 0.01, "alpha": 0.01}
    distill.run(pair, Distill.model_validate(settings), context)
    assert errors(pair)[1] < 0.3 * before[1]


@pytest.mark.parametrize(
    ("function", "reason", "words"),
    [
        ("number", Reason.ENTRYPOINT_FAILED, ["losses:number returned float", "one number"]),
        ("each", Reason.ENTRYPOINT_FAILED, ["losses:each returned a tensor of shape [2, 1]"]),
        ("constant", Reason.ENTRYPOINT_FAILED, ["losses:constant returned a tensor without a gradient"]),
        ("wrong", Reason.ENTRYPOINT_FAILED, ["losses:wrong failed at losses.py:25", "KeyError", "nothing"]),
        ("missing", Reason.ENTRYPOINT_FAILED, ["losses.py has no function missing", "objective.entrypoint"]),
    ],
)
def test_what_is_wrong_with_the_function_is_said_before_training(
    function: str, reason: Reason, words: list[str], make_context: MakeContext
) -> None:
    context = surroundings(make_context, function)
    with pytest.raises(Judged) as caught:
        finetune.run(model("Pair"), Finetune.model_validate({"epochs": 1}), context)
    assert caught.value.reason is reason
    for word in words:
        assert word in caught.value.message


def test_a_file_that_is_not_there_is_named(make_context: MakeContext, tmp_path: Path) -> None:
    context = surroundings(make_context)
    (tmp_path / "losses.py").unlink()
    with pytest.raises(Judged, match=r"no losses\.py, which objective\.entrypoint losses:loss names"):
        finetune.run(model("Pair"), Finetune.model_validate({"epochs": 1}), context)
