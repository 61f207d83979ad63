"""Export: what differs between torch and onnxruntime, or cannot be exported, is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.compress.errors import Judged
from modelpress.compress.export import distance, export
from modelpress.compress.models import ModuleModel
from modelpress.compress.signature import Signature

SIGNATURE = Signature((TensorSpec(name="row", shape=("batch", 4)),), (TensorSpec(name="scores"),))


class Counting(nn.Module):
    """Answers depend on how many samples there are: the graph would remember two."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layer(row) * len(row.tolist()))


class Infinite(nn.Module):
    def forward(self, row: torch.Tensor) -> torch.Tensor:
        return row / 0


@pytest.mark.parametrize(
    ("module", "reason"),
    [(Counting(), Reason.EXPORT_FAILED), (Infinite(), Reason.NOT_FINITE)],
)
def test_modules_that_would_answer_wrongly_are_refused(module: nn.Module, reason: Reason, tmp_path: Path) -> None:
    data = {"row": np.ones((8, 4), np.float32)}
    with pytest.raises(Judged) as caught:
        export(ModuleModel(module.eval(), SIGNATURE), tmp_path / "model.onnx", tmp_path, data, 0)
    assert caught.value.reason is reason


class Deciding(nn.Module):
    def forward(self, row: torch.Tensor) -> torch.Tensor:
        return row * 2 if row.sum() > 3 else row


def test_a_module_that_decides_by_values_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Judged) as caught:
        export(ModuleModel(Deciding().eval(), SIGNATURE), tmp_path / "model.onnx", Path(__file__).parent, None, 0)
    assert caught.value.reason is Reason.EXPORT_FAILED
    assert f"at {Path(__file__).name}:" in caught.value.message
    assert "decides there by the values of its inputs" in caught.value.message
    assert "torch.where" in caught.value.message and "TORCH_LOGS" not in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "got", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([100.0, 0.0], [100.0, 1.0], 0.01),
        ([0.0, 0.5], [0.0, 0.75], 0.25),
        ([np.nan], [np.nan], 0.0),
        ([1.0], [np.nan], np.inf),
        ([np.inf], [1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_distance_is_relative_to_the_greatest_answer_or_one(
    wanted: list[float], got: list[float], expected: float
) -> None:
    assert distance(np.array(wanted, np.float32), np.array(got, np.float32)) == pytest.approx(expected)


class Twice(nn.Module):
    """A module that calls one layer twice, as ALBERT does, and another that is as large."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(32, 32)
        self.other = nn.Linear(32, 32)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Three axes, so that weights become constants that are transposed."""
        return self.other(torch.relu(self.shared(torch.relu(self.shared(values)))))


def test_weights_of_a_layer_that_is_called_twice_lie_in_the_file_once(tmp_path: Path) -> None:
    signature = Signature((TensorSpec(name="x", shape=("batch", 3, 32)),), (TensorSpec(name="y"),))
    found = export(ModuleModel(Twice(), signature), tmp_path / "model.onnx", tmp_path, None, 0)
    matrices = [item for item in onnx.load(found.path).graph.initializer if list(item.dims) == [32, 32]]
    assert len(matrices) == 2
