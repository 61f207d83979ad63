"""Stage prune on modules of all kinds: what goes, what must stay, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import CASES, columns, model, samples_of
from transformers.pytorch_utils import Conv1D

from modelpress.api.reasons import Reason
from modelpress.api.stages import Prune
from modelpress.compress.datasets import Samples
from modelpress.compress.errors import Judged
from modelpress.compress.models import ModuleModel, tensors
from modelpress.compress.signature import example
from modelpress.compress.stages import prune
from modelpress.compress.stages.channels import count_macs, count_parameters


def channel(amount: dict[str, float], **more: Any) -> Prune:
    return Prune.model_validate({"structure": "Channel", "amount": amount, **more})


def unstructured(sparsity: float, **more: Any) -> Prune:
    return Prune.model_validate({"structure": "Unstructured", "amount": {"sparsity": sparsity}, **more})


def shapes(found: ModuleModel) -> dict[str, tuple[int, ...]]:
    outputs = found.run(example(found.signature, 3, 0))
    return {name: value.shape for name, value in outputs.items()}


def macs(found: ModuleModel) -> int:
    return count_macs(found, found.module, tensors(example(found.signature, 2, 0)))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "settings", [channel({"channels": 0.5}), channel({"parameters": 0.4}, scope="Global", importance="L2")]
)
def test_channels_go_and_the_outputs_keep_their_shapes(name: str, settings: Prune, make_context: MakeContext) -> None:
    found = model(name)
    before, parameters, operations = shapes(found), count_parameters(found.module), macs(found)
    prune.run(found, settings, make_context())
    assert shapes(found) == before
    assert macs(found) < operations
    left = count_parameters(found.module) / parameters
    assert left < 0.6 if settings.amount.channels else abs(left - 0.6) < 0.08


def test_depthwise_and_grouped_convolutions_stay_what_they_are(make_context: MakeContext) -> None:
    found = model("Residual")
    prune.run(found, channel({"channels": 0.5}), make_context())
    module: Any = found.module
    assert (module.one.depthwise.groups, module.one.depthwise.out_channels) == (4, 4)
    assert (module.down.groups, module.down.in_channels, module.down.out_channels) == (4, 4, 8)
    assert module.stem.out_channels == module.one.pointwise.out_channels == 4


def test_macs_are_met_as_nearly_as_whole_channels_allow(make_context: MakeContext) -> None:
    found = model("Digits")
    before = macs(found)
    prune.run(found, channel({"macs": 0.5}), make_context())
    assert abs(macs(found) / before - 0.5) < 0.1


def test_channels_that_stay_are_multiples_and_ignored_layers_keep_theirs(make_context: MakeContext) -> None:
    found = model("Normalized")
    prune.run(found, channel({"channels": 0.4}, roundTo=8, ignore=["re:layers\\.4"]), make_context())
    module: Any = found.module
    assert [module.layers[index].out_features for index in (0, 4, 7)] == [16, 16, 5]


def test_the_weakest_channels_go(make_context: MakeContext) -> None:
    found = model("Single")
    module: Any = found.module
    with torch.no_grad():
        module.first.weight[::2].mul_(0.01)
        module.second.weight[:, ::2].mul_(0.01)
    strong = module.first.weight[1::2].clone()
    prune.run(found, channel({"channels": 0.5}), make_context())
    torch.testing.assert_close(module.first.weight.detach(), strong.detach())


@pytest.mark.parametrize(
    ("settings", "reason", "words"),
    [
        (channel({"channels": 0.5}, ignore=["frist"]), Reason.RECIPE_INVALID, "first"),
        (channel({"channels": 0.5}, ignore=["re:("]), Reason.RECIPE_INVALID, "no regular expression"),
        (channel({"channels": 0.5}, ignore=["re:.*"]), Reason.STAGE_FAILED, "removed no channel"),
        (channel({"channels": 0.1}, roundTo=64), Reason.STAGE_FAILED, "removed no channel"),
        (channel({"parameters": 0.9}, ignore=["first"]), Reason.STAGE_FAILED, "at most 0%"),
        (unstructured(0.5, ignore=["re:.*"]), Reason.STAGE_FAILED, "no weight to remove"),
    ],
)
def test_what_would_change_nothing_is_refused(
    settings: Prune, reason: Reason, words: str, make_context: MakeContext
) -> None:
    with pytest.raises(Judged) as caught:
        prune.run(model("Single"), settings, make_context())
    assert caught.value.reason is reason
    assert words in caught.value.message


@pytest.mark.parametrize("amount", [{"channels": 0.5}, {"parameters": 0.5}])
def test_layers_through_which_channels_are_not_followed_are_named(
    amount: dict[str, float], make_context: MakeContext
) -> None:
    found = model("Single")
    module: Any = found.module
    module.first, module.second = Conv1D(32, 6), Conv1D(2, 32)
    with pytest.raises(Judged, match=r"the kind Conv1D: first and 1 more\. Ask for less, prune with structure Unstr"):
        prune.run(found, channel(amount), make_context())


@pytest.mark.parametrize("scope", ["Global", "Layer"])
def test_exactly_the_given_fraction_of_the_weights_is_zero_the_smallest_first(
    scope: str, make_context: MakeContext
) -> None:
    found = model("Normalized")
    before = {name: item.clone() for name, item in found.module.named_parameters()}
    prune.run(found, unstructured(0.75, scope=scope), make_context())
    after = {name: item for name, item in found.module.named_parameters() if item.ndim > 1}
    zeros = {name: int((item == 0).sum()) for name, item in after.items()}
    total = sum(item.numel() for item in after.values())
    assert sum(zeros.values()) == round(0.75 * total)
    if scope == "Layer":
        assert all(zeros[name] == round(0.75 * item.numel()) for name, item in after.items())
    else:
        gone = torch.cat([before[name][item == 0].abs() for name, item in after.items()])
        assert gone.max() <= min(item[item != 0].abs().min() for item in after.values())


def test_masks_follow_weights_whose_channels_went(make_context: MakeContext) -> None:
    found = model("Normalized")
    prune.run(found, unstructured(0.5), make_context())
    prune.run(found, channel({"channels": 0.5}), make_context())
    weights = dict(found.module.named_parameters())
    assert found.masks
    assert all(torch.equal(mask, weights[name] != 0) for name, mask in found.masks.items())


def learnable(name: str) -> Samples:
    found = columns(name)
    label = found.pop("label")
    return samples_of(found, {CASES[name].outputs[0]: label})


@pytest.mark.parametrize("importance", ["L1", "L2", "Taylor", "LossChange", "Random"])
@pytest.mark.parametrize("name", ["Residual", "Wave"])
def test_every_importance_removes_the_same_amount(name: str, importance: str, make_context: MakeContext) -> None:
    loss = "MSE" if CASES[name].classes is None else "CrossEntropy"
    found = model(name)
    parameters = count_parameters(found.module)
    context = make_context({"train": learnable(name)}, loss)
    prune.run(found, channel({"bytes": 0.5}, importance=importance), context)
    assert abs(count_parameters(found.module) / parameters - 0.5) < 0.08
    assert all(item.grad is None for item in found.module.parameters())


@pytest.mark.parametrize(("importance", "offset"), [("Taylor", 1), ("LossChange", 0)])
def test_what_the_objective_does_not_need_goes_first_however_large_it_is(
    importance: str, offset: float, make_context: MakeContext
) -> None:
    found = model("Single")
    module: Any = found.module
    with torch.no_grad():
        module.first.weight.abs_()  # none is dead
        module.first.weight[::2] *= 50.0
        module.second.weight[:, ::2] = 0.0  # nothing takes what they give
    before = module.first.weight[1::2].clone()
    rows = columns("Single")["row"]
    answers = np.stack([found.run({"row": row})["scores"] for row in rows]) + np.float32(offset)
    context = make_context({"train": samples_of({"row": rows}, {"scores": answers})}, "MSE")
    prune.run(found, channel({"channels": 0.5}, importance=importance), context)
    torch.testing.assert_close(module.first.weight.detach(), before.detach())


def test_an_amount_in_steps_ends_where_one_step_does_and_trains_between(make_context: MakeContext) -> None:
    sizes = {}
    for steps in (1, 3):
        found = model("Residual")
        context = make_context({"train": learnable("Residual")}, "CrossEntropy")
        more = {"steps": steps, "recovery": {"epochs": 1}} if steps > 1 else {}
        prune.run(found, channel({"macs": 0.6}, scope="Global", **more), context)
        sizes[steps] = macs(found)
        assert sum("first epoch" in note for note in context.notes) == steps - 1
    assert abs(sizes[1] - sizes[3]) < 0.1 * macs(model("Residual"))


@pytest.mark.parametrize("importance", ["L1", "Taylor", "Random"])
def test_zeros_in_steps_stay_and_add_up(importance: str, make_context: MakeContext) -> None:
    found = model("Normalized")
    context = make_context({"train": learnable("Normalized")}, "CrossEntropy")
    settings = unstructured(0.8, steps=3, importance=importance, recovery={"epochs": 1})
    prune.run(found, settings, context)
    weights = [item for item in found.module.parameters() if item.ndim > 1]
    zeros = sum(int((item == 0).sum()) for item in weights)
    assert zeros == round(0.8 * sum(item.numel() for item in weights))


@pytest.mark.parametrize("importance", ["L2", "Random"])
def test_two_of_every_four_neighbours_become_zero(importance: str, make_context: MakeContext) -> None:
    found = model("Digits")
    before = {name: item.detach().clone() for name, item in found.module.named_parameters()}
    context = make_context()
    prune.run(found, Prune.model_validate({"structure": "SemiStructured2x4", "importance": importance}), context)
    left = found.module.get_parameter("features.0.weight")
    assert torch.equal(left, before["features.0.weight"])  # a single input channel
    assert "features.0.weight" in context.warnings[0]
    for name in ("features.4.weight", "classifier.0.weight", "classifier.2.weight"):
        weight = found.module.get_parameter(name).detach()
        groups = weight.movedim(1, -1).reshape(-1, 4)
        assert ((groups != 0).sum(1) == 2).all()
        if importance == "L2":
            whole = before[name].movedim(1, -1).reshape(-1, 4).abs()
            assert (groups.abs().sum(1) >= whole.topk(2, 1).values.sum(1) - 1e-6).all()


def test_two_of_four_neighbours_are_inputs_where_weights_lie_the_other_way_round(make_context: MakeContext) -> None:
    """GPT-2's layers hold [inputs, outputs]."""
    found = model("Digits")
    module: Any = found.module
    module.classifier[0] = Conv1D(24, 32)
    prune.run(found, Prune.model_validate({"structure": "SemiStructured2x4"}), make_context())
    rows = found.module.get_parameter("classifier.0.weight").detach().T
    assert ((rows.reshape(-1, 4) != 0).sum(1) == 2).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (channel({"channels": 0.95}), "would remove all 8 channels of layer"),
        (unstructured(0.9), "weights of classifier.2.weight to zero"),
        (unstructured(0.999, scope="Layer"), "weights of features.0.weight to zero"),
    ],
)
def test_an_amount_that_leaves_nothing_of_a_layer_is_refused(
    settings: Prune, words: str, make_context: MakeContext
) -> None:
    found = model("Digits")
    module: Any = found.module
    with torch.no_grad():
        module.classifier[2].weight.mul_(1e-6)
    with pytest.raises(Judged) as caught:
        prune.run(found, settings, make_context())
    assert caught.value.reason is Reason.RECIPE_INVALID
    assert words in caught.value.message


def test_weights_that_are_computed_are_refused_with_what_to_do(make_context: MakeContext) -> None:
    found = model("Wave")
    module: Any = found.module
    torch.nn.utils.parametrizations.weight_norm(module.layers[2])
    with pytest.raises(Judged, match=r"through layers\.2, whose .*remove_parametrizations") as caught:
        prune.run(found, channel({"channels": 0.5}), make_context())
    assert caught.value.reason is Reason.STAGE_FAILED
