"""Stage prune on modules of all kinds: what goes, what must stay, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import CASES, model

from modelpress.api.reasons import Reason
from modelpress.api.stages import Prune
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
