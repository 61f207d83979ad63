"""What stood after a stage is taken over by later runs, by nothing that differs, and only if it answers as before."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import layout, model, samples_of, task, write_data, write_source
from tests.unit.compress.transformers import Encoder, Fused, seeded

from modelpress.api.stages import Cut, Fuse, Prune
from modelpress.compress import recipe
from modelpress.compress.checkpoints import AGAIN, TENSORS, Checkpoints
from modelpress.compress.data import Data
from modelpress.compress.formats import torch_source
from modelpress.compress.layout import Layout
from modelpress.compress.models import GraphModel, Medium, ModuleModel
from modelpress.compress.recipe_run import RecipeRun
from modelpress.compress.signature import example
from modelpress.compress.stages import STAGES, WORKS_ON, cut, fuse, prune
from modelpress.compress.structure import DoesNotFitError, describe, rebuild, tensors_of

PRUNE = {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}}
ZERO = {"prune": {"structure": "Unstructured", "amount": {"sparsity": 0.5}}}
TRAIN = {"finetune": {"epochs": 1}}
Recipe = list[dict[str, Any]]


def half(**more: Any) -> Prune:
    return Prune.model_validate({"structure": "Channel", "amount": {"channels": 0.5}, **more})


def again(changed: ModuleModel, source: ModuleModel) -> ModuleModel:
    structure = json.loads(json.dumps(describe(changed)))
    rebuild(source, structure, tensors_of(changed))
    return source


def same(one: ModuleModel, other: ModuleModel) -> None:
    inputs = example(one.signature, 3, 0)
    expected, got = one.run(inputs), other.run(inputs)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value)
    assert str(one.module) == str(other.module)
    assert one.masks.keys() == other.masks.keys()
    assert all(torch.equal(mask, other.masks[name]) for name, mask in one.masks.items())


@pytest.mark.parametrize("name", ["Digits", "Residual", "Pair", "Normalized"])
def test_pruned_and_fused_modules_come_back_out_of_their_source(name: str, make_context: MakeContext) -> None:
    changed = model(name)
    prune.run(changed, Prune.model_validate(ZERO["prune"]), make_context())
    prune.run(changed, half(), make_context())
    fuse.run(changed, Fuse(), make_context())
    same(changed, again(changed, model(name)))


@pytest.mark.parametrize("make", [Encoder, Fused])
def test_cut_blocks_and_heads_come_back_too(make: Any, make_context: MakeContext) -> None:
    changed = seeded(make)
    blocks = "blocks" if make is Encoder else "encoder.layers"
    cut.run(changed, Cut(blocks=blocks, remove=(1,)), make_context())
    prune.run(changed, half(), make_context())
    if make is Encoder:
        cut.run(changed, Cut(blocks=blocks, remove=(0,)), make_context())
    same(changed, again(changed, seeded(make)))


def test_tied_weights_stay_tied() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = torch.nn.Linear(3, 5), torch.nn.Linear(3, 5)
            self.head.weight = self.stem.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = (self.stem(tokens) * self.head(tokens)).mean(1)
            return found

    changed = seeded(Tied)
    changed.module.get_submodule("stem").weight = changed.module.get_submodule("head").weight = torch.nn.Parameter(
        torch.ones(4, 3)
    )
    for layer in ("stem", "head"):
        changed.module.get_submodule(layer).bias = torch.nn.Parameter(torch.ones(4))
        changed.module.get_submodule(layer).out_features = 4  # type: ignore[assignment]
    found = again(changed, seeded(Tied))
    assert found.module.get_parameter("stem.weight") is found.module.get_parameter("head.weight")
    same(changed, found)


def test_another_source_is_not_bent_into_shape() -> None:
    with pytest.raises(DoesNotFitError):
        again(model("Normalized"), model("Digits"))


def laid_out(root: Path) -> Layout:
    write_source(root / "source", "Normalized")
    write_data(root / "data", "Normalized")
    return Layout(**{**vars(layout(root)), "cache": root / "cache"})


class Stages(RecipeRun):
    """A recipe without its exports, which take longer than all else."""

    result: ModuleModel

    def _exported(self, model: ModuleModel, original: Path) -> GraphModel:
        self.result = model
        return GraphModel(original, model.signature)


def compressed(where: Layout, stages: Recipe, **more: Any) -> Stages:
    work = task("Normalized", stages, **more)
    kept = Checkpoints(where.cache, work, where) if where.cache is not None else None
    data = Data(work, where.data, where.source)
    found = Stages(work, where, data, lambda _progress: None, kept)
    source = torch_source.load(work.source, where.source, where.scratch)
    data.signature = source.signature
    steps = recipe.plan(work.source, Medium.MODULE, work.stages, WORKS_ON, work.objective, work.datasets)
    found.run(source, steps, where.out)
    return found


def taken(found: Stages) -> list[bool]:
    return [AGAIN in fact.notes for fact in found.facts]


def test_a_killed_run_goes_on_where_it_stood_and_ends_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = laid_out(tmp_path)
    stages = [PRUNE, TRAIN, {"fuse": {}}]

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(STAGES["fuse"], Medium.MODULE, killed)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            compressed(where, stages)
    assert not list((tmp_path / "cache").glob(".*"))
    resumed = compressed(where, stages)
    assert taken(resumed) == [True, True, False]
    same(resumed.result, compressed(Layout(**{**vars(where), "cache": None}), stages).result)


def test_recipes_share_how_they_begin_and_nothing_that_differs(tmp_path: Path) -> None:
    where = laid_out(tmp_path)
    assert taken(compressed(where, [PRUNE, TRAIN])) == [False, False]
    assert taken(compressed(where, [PRUNE, TRAIN])) == [True, True]
    assert taken(compressed(where, [PRUNE, {"finetune": {"epochs": 2}}])) == [True, False]
    assert taken(compressed(where, [TRAIN])) == [False]
    assert taken(compressed(where, [PRUNE], seed=1)) == [False]
    assert taken(compressed(where, [PRUNE], objective={"loss": "MSE"})) == [False]
    train = where.data / "train/train.npz"
    columns = dict(np.load(train))
    np.savez(train, **{**columns, "label": columns["label"][::-1].copy()})
    assert taken(compressed(where, [PRUNE])) == [False]


def test_what_was_kept_is_not_trusted(tmp_path: Path) -> None:
    """Truncated, or answering otherwise than it did: it is thrown away and the stage is done again."""
    where = laid_out(tmp_path)
    compressed(where, [PRUNE])
    (kept,) = (tmp_path / "cache").iterdir()
    whole = (kept / TENSORS).read_bytes()
    tensors = {name: item * 2 for name, item in load_file(kept / TENSORS).items()}
    for spoiled in (whole[:100], save(tensors)):
        (kept / TENSORS).write_bytes(spoiled)
        assert taken(compressed(where, [PRUNE])) == [False]
        assert (kept / TENSORS).read_bytes() == whole
    assert taken(compressed(where, [PRUNE])) == [True]


def test_a_folder_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    where = laid_out(tmp_path)
    (tmp_path / "cache").write_text("a file")
    assert "could not be kept for later runs" in compressed(where, [PRUNE]).facts[0].warnings[0]


def test_a_disk_that_is_full_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("modelpress.compress.checkpoints.save_tensors", full)
    (warning,) = compressed(laid_out(tmp_path), [PRUNE]).facts[0].warnings
    assert "could not be kept for later runs" in warning and "No space left" in warning
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_source_is_left_as_it_is(tmp_path: Path, make_context: MakeContext) -> None:
    where = laid_out(tmp_path)
    work = task("Normalized", [PRUNE])
    compressed(where, [PRUNE])
    source = torch_source.load(work.source, where.source, where.scratch)
    before = copy.deepcopy(source.module.state_dict())
    steps = [recipe.Step(1, "prune", work.stages[0].settings, Medium.MODULE)]
    train = samples_of({"row": np.load(where.data / "train/train.npz")["row"]})
    found, facts = Checkpoints(tmp_path / "cache", work, where).restore(source, steps, train.inputs)
    assert len(facts) == 1
    assert found is not source
    assert all(torch.equal(item, before[name]) for name, item in source.module.state_dict().items())
