"""Distillation from a teacher of its own: another folder, another size, the same questions and answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import columns, layout, model, samples_of, task, write_data, write_source

from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.stages import Distill
from modelpress.api.tasks import CompressTask
from modelpress.compress import graph
from modelpress.compress.checkpoints import Checkpoints
from modelpress.compress.errors import Judged
from modelpress.compress.formats import transformers_source
from modelpress.compress.layout import COMPRESSED, ORIGINAL
from modelpress.compress.models import ModuleModel
from modelpress.compress.run import Compression
from modelpress.compress.stages import distill
from modelpress.compress.stages.context import Context

LARGE = """
from torch import nn

from layers import SCALE
from .more import hidden


class Net(nn.Module):
    def __init__(self, classes, key):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), hidden(64), nn.ReLU(), nn.Linear(64, classes))
        self.key = key

    def forward(self, image):
        from .more import nothing  # found while it runs, too
        answer = SCALE * self.layers(image) + nothing()
        return {self.key: answer} if self.key else answer


def build(classes=10, key=None):
    return Net(classes, key)
"""
MORE = """
from torch import nn


def hidden(width):
    return nn.Linear(64, width)


def nothing():
    return 0.0
"""
SOURCE: dict[str, Any] = {
    "uri": "s3://models/large/",
    "format": "torch",
    "entrypoint": "model:build",
    "trustCode": True,
    "inputs": [{"name": "image", "shape": ["batch", 1, 8, 8]}],
    "outputs": [{"name": "logits"}],
}


def stage(**more: Any) -> dict[str, Any]:
    settings = {"epochs": 30, "batchSize": 16, "learningRate": 0.01, "alpha": 1, "match": "MSE"}
    return {"distill": settings | {"teacher": {"name": "large"}} | more}


def write_teacher(folder: Path, seed: int = 3) -> torch.nn.Module:
    """Write a module whose files are called as those of the source, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("model.py", LARGE), ("more.py", MORE), ("layers.py", "SCALE = 2.0\n")):
        (folder / name).write_text(text)
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    ).eval()
    save_file({f"layers.{name}": value for name, value in layers.state_dict().items()}, folder / "weights.safetensors")
    return layers


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", "Digits")
    code = (tmp_path / "source/model.py").read_text()
    (tmp_path / "source/model.py").write_text(f"from layers import SCALE\nassert SCALE == 1\n{code}")
    (tmp_path / "source/layers.py").write_text("SCALE = 1\n")
    write_data(tmp_path / "data", "Digits")
    write_teacher(tmp_path / "data/teachers/large")
    return tmp_path


def asked(stages: list[dict[str, Any]], **teacher: Any) -> CompressTask:
    return task("Digits", stages, teachers={"large": SOURCE | teacher})


def test_a_model_of_another_folder_teaches_though_its_files_are_called_the_same(root: Path) -> None:
    teacher = write_teacher(root / "data/teachers/large")
    path, where = list(sys.path), layout(root)
    Compression(asked([stage()]), where, lambda _progress: None).run()
    images = columns("Digits")["image"]
    before, after = (
        graph.run(graph.open_session(where.out / path), {"image": images})["logits"] for path in (ORIGINAL, COMPRESSED)
    )
    with torch.no_grad():
        wanted = 2 * teacher(torch.from_numpy(images)).numpy()
    assert np.square(after - wanted).mean() < 0.2 * np.square(before - wanted).mean()
    assert [item for item in sys.path if item not in path] == [str((root / "source").resolve())]
    assert sys.modules["layers"].SCALE == 1


def test_what_was_learned_is_taken_over_as_long_as_the_teacher_is_the_same(root: Path) -> None:
    def keys(**teacher: Any) -> tuple[str, str]:
        found = Checkpoints(root / "cache", asked([{"fuse": {}}, stage()], **teacher), layout(root))
        return found.key(1), found.key(2)

    before = keys()
    assert keys(uri="s3://moved/") == before
    assert keys(kwargs={"classes": 10})[1] != before[1]
    write_teacher(root / "data/teachers/large", seed=4)
    fused, taught = keys()
    assert fused == before[0]
    assert taught != before[1]


def surroundings(make_context: MakeContext, root: Path, **teacher: Any) -> Context:
    found = columns("Digits")
    context = make_context({"train": samples_of({"image": found["image"]}, {"logits": found["label"]})})
    context.source = root / "source"
    context.teachers = {"large": (Source.model_validate(SOURCE | teacher), root / "data/teachers/large")}
    return context


def learn(context: Context, **more: Any) -> ModuleModel:
    return distill.run(model("Digits"), Distill.model_validate(stage(epochs=2, **more)["distill"]), context)


def test_a_student_that_starts_anew_learns_from_it_beside_targets(root: Path, make_context: MakeContext) -> None:
    """The source is neither, and still says how the student's answers look."""
    (root / "source/small.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    context = surroundings(make_context, root)
    context.spec = asked([]).source
    context.teacher = model("Digits")
    context.objective = Objective(loss=Loss.CROSS_ENTROPY)
    student = learn(context, alpha=0.5, match="Logits", student={"entrypoint": "small:build"})
    assert sum(item.numel() for item in student.module.parameters()) == 650


OTHER_WIDTH = [{"name": "image", "shape": ["batch", 1, 16, 16]}]
OTHER_AXES = [{"name": "image", "shape": ["batch", 64]}]


@pytest.mark.parametrize(
    ("teacher", "reason", "words"),
    [
        ({"trustCode": False}, Reason.INVALID_SPEC, ["Teacher large:", "trustCode: true"]),
        ({"entrypoint": "lost:build"}, Reason.SOURCE_INVALID, ["Teacher large:", "no lost.py"]),
        ({"kwargs": {"classes": 12}}, Reason.WEIGHTS_DO_NOT_FIT, ["Teacher large:", "[10, 64] and should be [12, 64]"]),
        ({"kwargs": {"key": "scores"}}, Reason.SOURCE_INVALID, ["Teacher large:", "keys scores", "names logits"]),
        (
            {"inputs": [{"name": "picture", "shape": ["batch", 1, 8, 8]}]},
            Reason.RECIPE_INVALID,
            ["Teacher large: it takes picture, the source image", "the same inputs"],
        ),
        (
            {"inputs": [{"name": "image", "dtype": "float64", "shape": ["batch", 1, 8, 8]}]},
            Reason.RECIPE_INVALID,
            ["it takes image in float64, the source in float32"],
        ),
        (
            {"inputs": OTHER_WIDTH},
            Reason.RECIPE_INVALID,
            ["it takes image in the shape [batch, 1, 16, 16], the source in [batch, 1, 8, 8]"],
        ),
        ({"inputs": OTHER_AXES}, Reason.RECIPE_INVALID, ["it takes image in the shape [batch, 64]"]),
        (
            {"outputs": [{"name": "scores"}]},
            Reason.RECIPE_INVALID,
            ["it answers scores, and nothing called logits: name its outputs as the source's."],
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_training(
    teacher: dict[str, Any], reason: Reason, words: list[str], root: Path, make_context: MakeContext
) -> None:
    with pytest.raises(Judged) as caught:
        learn(surroundings(make_context, root, **teacher))
    assert caught.value.reason is reason
    for word in words:
        assert word in caught.value.message


def test_a_teacher_of_other_classes_is_refused_with_both_shapes(root: Path, make_context: MakeContext) -> None:
    path = root / "data/teachers/large/weights.safetensors"
    weights = load_file(path)
    wider = {name: value.new_zeros(12, *value.shape[1:]) if "3" in name else value for name, value in weights.items()}
    save_file(wider, path)
    with pytest.raises(Judged, match=r"it answers logits in the shape \[2, 12\], the source in \[2, 10\]") as caught:
        learn(surroundings(make_context, root, kwargs={"classes": 12}))
    assert caught.value.reason is Reason.RECIPE_INVALID


def test_a_teacher_whose_weights_are_not_there_is_refused(root: Path, make_context: MakeContext) -> None:
    (root / "data/teachers/large/weights.safetensors").unlink()
    with pytest.raises(Judged, match=r"Teacher large: The source has no weights\.safetensors"):
        learn(surroundings(make_context, root))


def test_a_name_that_nobody_has_is_refused(root: Path, make_context: MakeContext) -> None:
    with pytest.raises(Judged, match=r"distill\.teacher\.name is huge, compression\.teachers has large"):
        learn(surroundings(make_context, root), teacher={"name": "huge"})


def bert(folder: Path, width: int, words: dict[str, int], seed: int) -> None:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=16,
        num_labels=3,
    )
    transformers.BertForSequenceClassification(config).eval().save_pretrained(folder)
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))


def test_a_larger_transformer_teaches_a_smaller_one_with_the_same_vocabulary(
    tmp_path: Path, make_context: MakeContext
) -> None:
    words = {"[UNK]": 0, "one": 1, "two": 2}
    small, large = tmp_path / "source", tmp_path / "large"
    bert(small, 8, words, 0)
    bert(large, 32, words, 1)
    kind = Source.model_validate({"uri": "s3://models/x/", "format": "transformers", "task": "TextClassification"})
    ids = np.random.default_rng(0).integers(1, 40, (64, 6))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    context = make_context({"train": samples_of(inputs)})
    context.source = small
    context.teachers = {"large": (kind, large)}
    student = transformers_source.load(kind, small, tmp_path)
    untouched, wanted = student.run(inputs), transformers_source.load(kind, large, tmp_path).run(inputs)
    settings = Distill.model_validate(stage(epochs=40)["distill"])
    got = distill.run(student, settings, context).run(inputs)
    before, after = (np.square(answer["logits"] - wanted["logits"]).mean() for answer in (untouched, got))
    assert after < 0.3 * before

    bert(large, 32, words | {"one": 2, "two": 1}, 1)
    with pytest.raises(Judged, match=r"Teacher large: its tokenizer\.json numbers words in another way") as caught:
        distill.run(student, settings, context)
    assert caught.value.reason is Reason.RECIPE_INVALID
