"""Tables that ids are looked up in: exported as lookups, stored in 8 or 4 bits, and ids that they do not have."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.export import export
from modelpress.compress.judge.layers import layers_of
from modelpress.compress.models import GraphModel, ModuleModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize

ROWS, WIDTH = 300, 8
SIGNATURE = Signature(
    (
        TensorSpec(name="user", dtype="int64", shape=("batch",)),
        TensorSpec(name="bag", dtype="int64", shape=("batch", "length")),
    ),
    (TensorSpec(name="score"), TensorSpec(name="both")),
)


class Tables(nn.Module):
    def __init__(self, weighted: bool = False, **options: Any) -> None:
        super().__init__()
        self.users = nn.Embedding(ROWS, WIDTH)
        self.bags = nn.EmbeddingBag(ROWS, WIDTH, **options)
        self.weighted = weighted

    def forward(self, user: torch.Tensor, bag: torch.Tensor) -> dict[str, torch.Tensor]:
        weights = bag / ROWS if self.weighted else None
        found = torch.cat([self.users(user), self.bags(bag, per_sample_weights=weights)], 1)
        return {"both": found, "score": found.sum(1)}


def exported(module: nn.Module, folder: Path) -> GraphModel:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return export(ModuleModel(module.eval(), SIGNATURE), folder / "model.onnx", folder, None, 0)


def ids(batch: int, length: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(batch)
    bag = random.integers(0, ROWS, (batch, length))
    bag[0] = 0  # nothing but padding
    return {"user": random.integers(0, ROWS, batch), "bag": bag}


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "mean", "padding_idx": 0},
        {"mode": "max", "padding_idx": 0},
        {"mode": "sum", "padding_idx": 0, "weighted": True},
        {"mode": "mean"},
    ],
)
def test_bags_are_lookups_that_answer_alike_for_any_number_and_length(options: dict[str, Any], tmp_path: Path) -> None:
    module = Tables(**options)
    model = exported(module, tmp_path)
    operators = Counter(node.op_type for node in onnx.load(model.path).graph.node)
    assert operators["Gather"] == 2
    assert not operators & Counter(["Loop", "Scan", "If"])
    session = graph.open_session(model.path)
    for size in ((2, 16), (1, 1), (9, 3)):
        wanted = ModuleModel(module, SIGNATURE).run(ids(*size))
        for name, values in graph.run(session, ids(*size)).items():
            assert values == pytest.approx(wanted[name], abs=1e-5)


@pytest.mark.parametrize(("bits", "share", "error"), [(8, 0.33, 1e-4), (4, 0.22, 2e-2)])
def test_narrow_tables_are_stored_in_few_bits(
    bits: int, share: float, error: float, tmp_path: Path, make_context: MakeContext
) -> None:
    before = exported(Tables(mode="mean", padding_idx=0), tmp_path)
    context = make_context()
    after = quantize.run(before, Quantize.model_validate({"preset": "W8A16", "embeddings": {"bits": bits}}), context)
    tables = [ROWS * WIDTH * 4] * 2
    stored = [layer.size for layer in layers_of(after.path) if "Gather" in layer.operator]
    assert len(stored) == 2
    assert sum(stored) < share * sum(tables)
    inputs = ids(50, 7)
    wanted, got = (graph.run(graph.open_session(model.path), inputs)["both"] for model in (before, after))
    assert ((got - wanted) ** 2).sum() < error * (wanted**2).sum()
    assert [round(fact.bits) for fact in context.layers] == [bits + 2, bits + 2]  # 16 bits of scale for 8 weights


@pytest.mark.parametrize(
    ("column", "value", "table"), [("user", ROWS, "users"), ("bag", 999, "bags"), ("bag", -1, "bags")]
)
def test_ids_that_a_table_does_not_have_are_named(column: str, value: int, table: str) -> None:
    given = ids(4, 5)
    given[column][2] = value
    with pytest.raises(Judged) as caught:
        ModuleModel(Tables(), SIGNATURE).run(given)
    assert caught.value.reason is Reason.DATASET_DOES_NOT_FIT
    for word in (f"Table {table}", f"input {column} holds {value}", "0 to 299"):
        assert word in caught.value.message


def test_an_index_error_of_another_kind_is_left_alone() -> None:
    class Broken(nn.Module):
        def forward(self, user: torch.Tensor, bag: torch.Tensor) -> torch.Tensor:
            return torch.zeros(3)[5]

    with pytest.raises(IndexError):
        ModuleModel(Broken(), SIGNATURE).run(ids(2, 2))


def test_the_judge_names_an_id_that_the_table_does_not_have(tmp_path: Path) -> None:
    from modelpress.compress.judge.models import open_model

    folder = tmp_path / "original"
    folder.mkdir()
    exported(Tables(), folder)
    model = open_model(tmp_path, "original", "the original", 1)
    with pytest.raises(Judged, match=r"test data holds the id 700.*0 to 299") as caught:
        model.run(ids(4, 5) | {"user": np.array([1, 2, 700, 4])})
    assert caught.value.reason is Reason.DATASET_DOES_NOT_FIT
