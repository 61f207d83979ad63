"""Channels that forward puts into another order: what torch-pruning's numbers would mix up is left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Prune
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import prune

HALF = Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}})
IMAGE, SIGNAL, ROW = ("batch", 1, 8, 8), ("batch", 3, 7), ("batch", 6)


class Shuffled(nn.Module):
    """Grouped convolutions with a channel shuffle between them, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 12, 1, groups=3)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.second, self.head = nn.Conv2d(12, 12, 1, groups=3), nn.Linear(12, 4)

    def forward(self, image: torch.Tensor) -> Any:
        found = torch.relu(self.first(torch.relu(self.stem(image))))
        batch, channels, height, width = found.shape
        found = found.view(batch, 3, channels // 3, height, width).transpose(1, 2).reshape(found.shape)
        return self.head(torch.relu(self.second(self.depthwise(found))).mean((2, 3)))


class ChannelsLast(nn.Module):
    """A flatten that counts places first and channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.dense, self.head = nn.Linear(12 * 64, 20), nn.Linear(20, 5)

    def forward(self, image: torch.Tensor) -> Any:
        found = torch.relu(self.two(torch.relu(self.one(image)))).permute(0, 2, 3, 1).flatten(1)
        return self.head(torch.relu(self.dense(found)))


class TimeFirst(nn.Module):
    """The same over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense, self.head = nn.Conv1d(3, 12, 3, padding=1), nn.Linear(12 * 7, 20), nn.Linear(20, 5)

    def forward(self, signal: torch.Tensor) -> Any:
        found = torch.relu(self.conv(signal)).transpose(1, 2).reshape(len(signal), -1)
        return self.head(torch.relu(self.dense(found)))


class Stacked(nn.Module):
    """Two answers, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 12), nn.Linear(6, 12)
        self.dense, self.head = nn.Linear(24, 10), nn.Linear(10, 3)

    def forward(self, row: torch.Tensor) -> Any:
        both = torch.stack([self.left(row), torch.relu(self.right(row))], 1).flatten(1)
        return self.head(torch.relu(self.dense(both)))


class Normalized(nn.Module):
    """A normalization in groups, a residual, and a gate over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.groups = nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16)
        self.body, self.batch, self.slope = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.PReLU(16)
        self.gate, self.head = nn.Conv2d(16, 16, 1), nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> Any:
        found = torch.relu(self.groups(self.stem(image)))
        found = found + self.slope(self.batch(self.body(found)))
        return self.head((found * torch.sigmoid(self.gate(found.mean((2, 3), keepdim=True)))).amax((2, 3)))


class Scaled(nn.Module):
    """A normalization over all channels, behind a permute and back, and a scale of each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 7, padding=3, groups=16)
        self.layers, self.scale, self.head = nn.LayerNorm(16), nn.Parameter(torch.rand(16)), nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> Any:
        found = self.stem(image)
        found = found + (self.layers(self.depthwise(found).permute(0, 2, 3, 1)) * self.scale).permute(0, 3, 1, 2)
        return self.head(found.mean((2, 3)))


class Flattened(nn.Module):
    """Transposed and grouped convolutions, joined, and a flatten that counts channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up = nn.Conv2d(1, 16, 3, padding=1), nn.ConvTranspose2d(16, 12, 2, stride=2)
        self.grouped, self.last = nn.Conv2d(12, 12, 3, stride=4, padding=1, groups=4), nn.Conv2d(28, 8, 1)
        self.dense, self.head = nn.Linear(8 * 16, 20), nn.Linear(20, 5)

    def forward(self, image: torch.Tensor) -> Any:
        found = torch.relu(self.stem(image))
        both = torch.cat([found[..., ::2, ::2], self.grouped(self.up(found))], 1)
        return self.head(torch.relu(self.dense(torch.relu(self.last(both)).flatten(1))))


def model(module: nn.Module, shape: tuple[int | str, ...]) -> ModuleModel:
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(layer.weight)
    return ModuleModel(module.eval(), Signature((TensorSpec(name="x", shape=shape),), (TensorSpec(name="y"),)))


def widths(found: ModuleModel) -> dict[str, int]:
    return {name: len(layer.weight) for name, layer in found.module.named_modules() if hasattr(layer, "weight")}


@pytest.mark.parametrize(
    ("kind", "shape", "kept", "lost"),
    [
        (Shuffled, IMAGE, {"first", "depthwise"}, {"second"}),
        (ChannelsLast, IMAGE, {"two"}, {"one", "dense"}),
        (TimeFirst, SIGNAL, {"conv"}, {"dense"}),
        (Stacked, ROW, {"left", "right"}, {"dense"}),
    ],
)
def test_channels_that_change_their_order_stay_and_are_named(
    kind: Any, shape: tuple[int | str, ...], kept: set[str], lost: set[str], make_context: MakeContext
) -> None:
    found = model(kind(), shape)
    before, context = widths(found), make_context()
    prune.run(found, HALF, context)
    after = widths(found)
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert {name: after[name] for name in lost} == {name: before[name] // 2 for name in lost}
    note = next(item for item in context.notes if "another order" in item)
    assert all(name in note for name in kept)
    assert "head" not in note


@pytest.mark.parametrize("kind", [Normalized, Scaled, Flattened])
def test_channels_whose_order_stays_go_everywhere(kind: Any, make_context: MakeContext) -> None:
    found = model(kind(), IMAGE)
    before, context = widths(found), make_context()
    prune.run(found, HALF, context)
    after = widths(found)
    assert {name for name in before if after[name] == before[name]} == {"head"}
    assert not any("another order" in item for item in context.notes)


class Noisy(nn.Module):
    """A forward that draws random numbers answers differently each time, whatever the order."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, row: torch.Tensor) -> Any:
        return self.second(torch.relu(self.first(row)) + torch.randn(len(row), 1))


def test_noise_is_taken_for_no_change_of_order(make_context: MakeContext) -> None:
    found = model(Noisy(), ROW)
    prune.run(found, HALF, make_context())
    assert widths(found)["first"] == 8
