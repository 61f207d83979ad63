"""Training with channels last: the same to whoever looks at axes, and left alone where somebody looks at memory."""

from __future__ import annotations

import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Finetune
from modelpress.compress.datasets import Samples
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import finetune
from modelpress.compress.stages.channels_last import channels_last

SIGNATURE = Signature((TensorSpec(name="image", shape=("batch", 3, 8, 8)),), (TensorSpec(name="scores"),))


class Pooled(nn.Module):
    """Two convolutions; `flat` says how their answers become a row."""

    def __init__(self, flat: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, stride=2, bias=False)
        self.norm, self.head, self.flat = nn.BatchNorm2d(6), nn.Linear(54, 4), flat

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.norm(self.second(torch.relu(self.first(image)))))
        if self.flat == "view":
            return self.head(hidden.view(len(hidden), -1))
        if self.flat == "strides":
            return self.head(hidden.as_strided((len(hidden), 54), (54, 1)))
        return self.head(hidden.flatten(1))


def pooled(flat: str = "flatten") -> ModuleModel:
    return ModuleModel(Pooled(flat), SIGNATURE)


def images() -> Samples:
    generator = torch.Generator().manual_seed(1)
    found = torch.randn(40, 3, 8, 8, generator=generator)
    return samples_of({"image": found.numpy()}, {"scores": (found.mean((1, 2, 3)) > 0).long().numpy()})


def last(module: nn.Module) -> list[bool]:
    return [
        layer.weight.is_contiguous(memory_format=torch.channels_last) and not layer.weight.is_contiguous()
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    ]


@pytest.mark.parametrize(("flat", "wanted"), [("flatten", True), ("view", False), ("strides", False)])
def test_a_module_that_looks_at_memory_keeps_its_order(flat: str, wanted: bool, make_context: MakeContext) -> None:
    context = make_context({"train": images()}, "CrossEntropy")
    model = pooled(flat)
    seen: list[list[bool]] = []
    context.report = lambda _fraction, _detail: seen.append(last(model.module))
    finetune.run(model, Finetune.model_validate({"epochs": 2, "batchSize": 16}), context)
    assert seen == [[wanted, wanted]] * 2
    assert all(weight.is_contiguous() for weight in model.module.parameters())


def test_what_is_learned_is_what_another_order_learns(
    make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for order in (torch.channels_last, torch.contiguous_format):
        monkeypatch.setattr(torch, "channels_last", order)
        context = make_context({"train": images()}, "CrossEntropy")
        trained = finetune.run(pooled(), Finetune.model_validate({"epochs": 3, "learningRate": 0.01}), context)
        found.append(trained.run(images().inputs)["scores"])
    untrained = pooled().run(images().inputs)["scores"]
    assert abs(found[0] - found[1]).max() < 0.02 * abs(found[0] - untrained).max()


def test_weights_lie_as_before_whatever_happens() -> None:
    model = pooled()
    with pytest.raises(KeyError), channels_last(model, {"image": torch.zeros(2, 3, 8, 8)}):
        assert last(model.module) == [True, True]
        raise KeyError
    assert all(weight.is_contiguous() for weight in model.module.parameters())
