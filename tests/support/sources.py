"""Models that no example knows, each written to a folder as a user would lay it out: source/ and data/."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file as save_arrays

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class UnseenModel:
    """A model's code, data, and the spec that asks for it."""

    name: str
    code: str
    """Source of model.py, with `build`."""
    data: Mapping[str, Mapping[str, Array]]
    """Columns by split."""
    source: Mapping[str, Any]
    """inputs, outputs, kwargs of spec.source."""
    compression: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write source/ and data/ below `folder`; weights come from the code's own seeded initialization."""
        import torch
        from safetensors.torch import save_file

        (folder / "source").mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir(exist_ok=True)
        (folder / "source" / "model.py").write_text(self.code)
        names: dict[str, Any] = {"__name__": "model"}
        exec(compile(self.code, "model.py", "exec"), names)  # the test's own text
        torch.manual_seed(0)
        module = names["build"](**self.source.get("kwargs", {}))
        save_file(module.state_dict(), folder / "source" / "weights.safetensors")
        for split, columns in self.data.items():
            save_arrays(
                {key: np.ascontiguousarray(value) for key, value in columns.items()},
                folder / "data" / f"{split}.safetensors",
            )

    def manifest(self, namespace: str, **changes: Any) -> dict[str, Any]:
        """Return the CompressedModel for `namespace`; `changes` replace parts of the spec."""

        def located(role: str) -> dict[str, str]:
            return {"uri": f"s3://data/{namespace}/{self.name}/{role}.safetensors"}

        compression = dict(self.compression)
        roles = [role for role in ("train", "validation", "calibration") if role in self.data]
        compression["data"] = {role: located(role) | dict(compression.get("columns", {})) for role in roles}
        compression.pop("columns", None)
        evaluation = dict(self.evaluation)
        evaluation["test"] = located("test") | dict(evaluation.pop("columns", {}))
        source = {
            "uri": f"s3://models/{namespace}/{self.name}/",
            "format": "torch",
            "entrypoint": "model:build",
            "trustCode": True,
            "secretName": "models-read",
            **self.source,
        }
        spec = {"source": source, "compression": compression, "evaluation": evaluation} | changes
        return {
            "apiVersion": "modelpress.io/v1alpha1",
            "kind": "CompressedModel",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": spec,
        }


def _splits(columns: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, dict[str, Array]]:
    found, start = {}, 0
    for role, size in sizes.items():
        found[role] = {key: value[start : start + size] for key, value in columns.items()}
        start += size
    return found


def batch_normalized_mlp() -> UnseenModel:
    """Three blobs in 12 dimensions; dense layers with batch normalization."""
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 3, 900)
    features = (rng.normal(size=(3, 12))[kind] * 2 + rng.normal(size=(900, 12))).astype(np.float32)
    return UnseenModel(
        name="normalized-mlp",
        code=textwrap.dedent(
            """
            import torch
            from torch import nn

            def build(width: int = 64) -> nn.Module:
                return nn.Sequential(
                    nn.Linear(12, width), nn.BatchNorm1d(width), nn.ReLU(),
                    nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(),
                    nn.Linear(width, 3),
                )
            """
        ),
        data=_splits(
            {"features": features, "kind": kind.astype(np.int64)}, {"train": 500, "validation": 100, "test": 300}
        ),
        source={
            "kwargs": {"width": 96},
            "inputs": [{"name": "features", "shape": ["batch", 12]}],
            "outputs": [{"name": "scores"}],
        },
        compression={
            "columns": {"targets": {"scores": "kind"}},
            "objective": {"loss": "CrossEntropy"},
            "stages": [
                {"finetune": {"epochs": 10}},
                {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}},
                {"finetune": {"epochs": 10}},
                {"fuse": {}},
                {"quantize": {"preset": "INT8_DYNAMIC"}},
            ],
        },
        evaluation={
            "columns": {"targets": {"scores": "kind"}},
            "metrics": [{"name": "accuracy", "type": "accuracy"}],
            "gates": [
                {"metric": "accuracy", "goal": "Threshold", "value": 0.6},
                {"metric": "size", "goal": "PercentMinImprovement", "value": 50},
            ],
        },
    )


def two_inputs_two_outputs() -> UnseenModel:
    """Two inputs of different shape, outputs by name: one classifies, one regresses."""
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(600, 6)).astype(np.float32), rng.normal(size=(600, 4, 5)).astype(np.float32)
    total = (left.sum(1, keepdims=True) + right.sum((1, 2))[:, None]).astype(np.float32)
    sign = (total[:, 0] > 0).astype(np.int64)
    return UnseenModel(
        name="pair",
        code=textwrap.dedent(
            """
            import torch
            from torch import nn

            class Pair(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.left, self.right = nn.Linear(6, 32), nn.Linear(20, 32)
                    self.body = nn.Sequential(nn.ReLU(), nn.Linear(64, 48), nn.ReLU())
                    self.sign, self.total = nn.Linear(48, 2), nn.Linear(48, 1)

                def forward(self, left, right):
                    hidden = self.body(torch.cat([self.left(left), self.right(right.flatten(1))], dim=1))
                    return {"total": self.total(hidden), "sign": self.sign(hidden)}

            def build() -> nn.Module:
                return Pair()
            """
        ),
        data=_splits(
            {"left": left, "right": right, "sum": total, "positive": sign},
            {"train": 350, "calibration": 50, "test": 200},
        ),
        source={
            "inputs": [{"name": "left", "shape": ["batch", 6]}, {"name": "right", "shape": ["batch", 4, 5]}],
            "outputs": [{"name": "sign"}, {"name": "total"}],
        },
        compression={
            "columns": {"targets": {"total": "sum"}},
            "objective": {"loss": "MSE", "output": "total"},
            "stages": [{"finetune": {"epochs": 5}}, {"quantize": {"preset": "INT8"}}],
        },
        evaluation={
            "columns": {"targets": {"sign": "positive", "total": "sum"}},
            "metrics": [
                {"name": "error", "type": "mse", "output": "total"},
                {"name": "signs", "type": "accuracy", "output": "sign"},
            ],
            "gates": [{"metric": "size", "goal": "MinImprovement", "value": 1}],
        },
    )


def residual_depthwise() -> UnseenModel:
    """Residual blocks with depthwise convolutions on small images."""
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 4, 500)
    images = rng.normal(size=(500, 3, 12, 12)).astype(np.float32) * 0.5
    for number, place in enumerate(kind):
        row, column = divmod(int(place), 2)
        images[number, :, row * 6 : row * 6 + 6, column * 6 : column * 6 + 6] += 1.0
    return UnseenModel(
        name="residual-depthwise",
        code=textwrap.dedent(
            """
            import torch
            from torch import nn

            class Block(nn.Module):
                def __init__(self, channels):
                    super().__init__()
                    self.body = nn.Sequential(
                        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
                        nn.BatchNorm2d(channels), nn.ReLU(),
                        nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels),
                    )

                def forward(self, x):
                    return torch.relu(x + self.body(x))

            class Net(nn.Module):
                def __init__(self, channels, blocks):
                    super().__init__()
                    self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, stride=2, padding=1), nn.ReLU())
                    self.blocks = nn.Sequential(*[Block(channels) for _ in range(blocks)])
                    self.head = nn.Linear(channels * 4, 4)

                def forward(self, picture):
                    return self.head(nn.functional.adaptive_avg_pool2d(self.blocks(self.stem(picture)), 2).flatten(1))

            def build(channels=32, blocks=2):
                return Net(channels, blocks)
            """
        ),
        data=_splits(
            {"picture": images, "label": kind.astype(np.int64)}, {"train": 300, "calibration": 40, "test": 160}
        ),
        source={
            "inputs": [{"name": "picture", "shape": ["batch", 3, 12, 12]}],
            "outputs": [{"name": "places"}],
        },
        compression={
            "objective": {"loss": "CrossEntropy"},
            "stages": [
                {"prune": {"structure": "Channel", "importance": "L2", "amount": {"macs": 0.4}}},
                {"finetune": {"epochs": 8}},
                {"fuse": {}},
                {"quantize": {"preset": "INT8"}},
            ],
        },
        evaluation={
            "metrics": [
                {"name": "top1", "type": "accuracy"},
                {"name": "f1", "type": "f1", "args": {"average": "macro"}},
            ],
            "gates": [
                {"metric": "top1", "goal": "Threshold", "value": 0.5},
                {"metric": "size", "goal": "PercentMinImprovement", "value": 30},
            ],
        },
    )


UNSEEN = (batch_normalized_mlp, two_inputs_two_outputs, residual_depthwise)
