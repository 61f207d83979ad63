"""Small models as users would lay them out, and data for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from modelpress.api.source import TensorSpec
from modelpress.api.tasks import CompressTask
from modelpress.compress.datasets import Samples
from modelpress.compress.layout import Layout
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature

CODE = """
import torch
from torch import nn


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 10))

    def forward(self, image):
        return self.classifier(self.features(image).flatten(1))


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5),
        )

    def forward(self, row):
        return self.layers(row)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(8, 16), nn.Linear(4, 16)
        self.value, self.gate = nn.Linear(32, 24), nn.Linear(32, 24)
        self.kind, self.amount = nn.Linear(24, 3), nn.Linear(24, 1)

    def forward(self, left, right):
        both = torch.relu(torch.cat([self.left(left), self.right(right)], 1))
        hidden = torch.relu(self.value(both)) * torch.sigmoid(self.gate(both))
        return {"amount": self.amount(hidden), "kind": self.kind(hidden)}


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.first = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.second = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.second(self.pointwise(torch.relu(self.first(self.depthwise(x))))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one = nn.Conv2d(3, 8, 3, padding=1), Block(8)
        self.down, self.two = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4), Block(16)
        self.head = nn.Linear(16, 7)

    def forward(self, image):
        return self.head(self.two(torch.relu(self.down(self.one(self.stem(image))))).mean((2, 3)))


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2, 12, 5, padding=2), nn.ReLU(), nn.Conv1d(12, 12, 5, padding=2), nn.BatchNorm1d(12),
            nn.ReLU(), nn.Conv1d(12, 1, 1),
        )

    def forward(self, signal):
        return self.layers(signal)


class Single(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 32), nn.Linear(32, 2)

    def forward(self, row):
        return self.second(torch.relu(self.first(row)))


def build(name):
    return globals()[name]()
"""
Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Case:
    inputs: dict[str, Shape]
    outputs: tuple[str, ...]
    classes: int | None
    """Number of classes of the first output; None: a regression."""

    @property
    def signature(self) -> Signature:
        return Signature(
            tuple(TensorSpec(name=name, shape=shape) for name, shape in self.inputs.items()),
            tuple(TensorSpec(name=name) for name in self.outputs),
        )


CASES = {
    "Digits": Case({"image": ("batch", 1, 8, 8)}, ("logits",), 10),
    "Normalized": Case({"row": ("batch", 12)}, ("scores",), 5),
    "Pair": Case({"left": ("batch", 8), "right": ("batch", 4)}, ("kind", "amount"), 3),
    "Residual": Case({"image": ("batch", 3, 8, 8)}, ("scores",), 7),
    "Wave": Case({"signal": ("batch", 2, "time")}, ("level",), None),
    "Single": Case({"row": (6,)}, ("scores",), 2),
}
SAMPLES = 96
TIME = 24


def columns(name: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return samples whose target can be learned: the class is the largest of the first values."""
    case, generator = CASES[name], np.random.default_rng(0)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for column, shape in case.inputs.items():
        sizes = [TIME if size == "time" else int(size) for size in shape if size != "batch"]
        found[column] = generator.random([SAMPLES, *sizes]).astype(np.float32)
    first = next(iter(found.values()))
    if case.classes is None:
        found["label"] = first.sum(1, keepdims=True)
    else:
        found["label"] = first.reshape(SAMPLES, -1)[:, : case.classes].argmax(1)
    return found


def module(name: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    scope: dict[str, Any] = {}
    exec(CODE, scope)
    built: torch.nn.Module = scope["build"](name).eval()
    return built


def model(name: str, seed: int = 0) -> ModuleModel:
    return ModuleModel(module(name, seed), CASES[name].signature)


def write_source(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE)
    save_file(module(name).state_dict(), folder / "weights.safetensors")


def write_data(folder: Path, name: str, roles: tuple[str, ...] = ("train", "validation")) -> None:
    for role in roles:
        (folder / role).mkdir(parents=True)
        np.savez(folder / role / f"{role}.npz", **columns(name))


def layout(root: Path) -> Layout:
    return Layout(
        source=root / "source",
        data=root / "data",
        out=root / "out",
        answers=root / "answers",
        scores=root / "scores",
        scratch=root / "scratch",
        message=root / "message",
        port=0,
    )


def task(name: str, stages: list[dict[str, Any]], **more: Any) -> CompressTask:
    case = CASES[name]
    return CompressTask.model_validate(
        {
            "source": {
                "uri": "s3://models/some",
                "format": "torch",
                "entrypoint": "model:build",
                "kwargs": {"name": name},
                "trustCode": True,
                "inputs": [{"name": item, "shape": shape} for item, shape in case.inputs.items()],
                "outputs": [{"name": item} for item in case.outputs],
            },
            "stages": stages,
            "objective": {"loss": "MSE" if case.classes is None else "CrossEntropy"},
            "datasets": {role: {"uri": f"s3://data/{role}.npz"} for role in ("train", "validation")},
            **more,
        }
    )


def samples_of(
    inputs: dict[str, np.ndarray[Any, Any]], targets: dict[str, np.ndarray[Any, Any]] | None = None
) -> Samples:
    return Samples(inputs, targets or {}, len(next(iter(inputs.values()))))
