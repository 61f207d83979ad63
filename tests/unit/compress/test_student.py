"""Distillation with other modules of the source: a student that starts anew, a teacher that knows more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import columns, layout, model, samples_of, task, write_data, write_source

from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.stages import Distill
from modelpress.compress import graph
from modelpress.compress.checkpoints import AGAIN
from modelpress.compress.errors import Judged
from modelpress.compress.facts import CompressionFacts
from modelpress.compress.layout import COMPRESSED, ORIGINAL, Layout
from modelpress.compress.run import Compression
from modelpress.compress.stages import distill
from modelpress.compress.stages.context import Context

SMALL = """
from torch import nn


def build(width=8, classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))


def broken():
    return nn.Linear(3, 3)
"""
STUDENT = {"entrypoint": "small:build", "kwargs": {"width": 6}}


def stage(**more: Any) -> dict[str, Any]:
    return {"distill": {"epochs": 30, "batchSize": 16, "learningRate": 0.02, "alpha": 1, **more}}


def compress(root: Path, stages: list[dict[str, Any]]) -> tuple[CompressionFacts, Layout]:
    where = Layout(**{**vars(layout(root)), "cache": root / "cache"})
    asked = task("Digits", stages)
    return Compression(asked, where, lambda _progress: None).run(), where


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", "Digits")
    (tmp_path / "source" / "small.py").write_text(SMALL)
    write_data(tmp_path / "data", "Digits")
    return tmp_path


def test_a_student_of_its_own_is_trained_exported_and_taken_over_by_later_runs(root: Path) -> None:
    facts, where = compress(root, [stage(student=STUDENT, match="MSE")])
    small = 64 * 6 + 6 + 6 * 10 + 10
    assert (facts.stages[0].after.parameters, facts.stages[0].after.bytes) == (small, 4 * small)
    inputs = {"image": columns("Digits")["image"]}
    wanted, got = (graph.run(graph.open_session(where.out / path), inputs)["logits"] for path in (ORIGINAL, COMPRESSED))
    assert np.square(got - wanted).mean() < 0.05 * np.square(wanted).mean()
    again, _ = compress(root, [stage(student=STUDENT, match="MSE"), {"fuse": {}}])
    assert AGAIN in again.stages[0].notes
    np.testing.assert_array_equal(graph.run(graph.open_session(where.out / COMPRESSED), inputs)["logits"], got)


def surroundings(make_context: MakeContext, root: Path) -> Context:
    found = columns("Digits")
    context = make_context({"train": samples_of({"image": found["image"]}, {"logits": found["label"]})})
    context.source = root / "source"
    context.spec = Source.model_validate(
        {"uri": "s3://models/x", "format": "torch", "entrypoint": "model:build", "trustCode": True}
    )
    context.teacher = model("Digits")
    return context


def test_a_student_starts_from_weights_that_lie_in_the_source(root: Path, make_context: MakeContext) -> None:
    scope: dict[str, Any] = {}
    exec(SMALL, scope)
    first = scope["build"](6).state_dict()
    save_file(first, root / "source" / "small.safetensors")
    settings = stage(epochs=1, learningRate=1e-9, weightDecay=0, student=STUDENT | {"weights": "small.safetensors"})
    trained = distill.run(
        model("Digits"), Distill.model_validate(settings["distill"]), surroundings(make_context, root)
    )
    for name, value in trained.module.state_dict().items():
        torch.testing.assert_close(value, first[name], atol=1e-5, rtol=0)


def test_the_seed_decides_how_a_student_starts(root: Path, make_context: MakeContext) -> None:
    settings = Distill.model_validate(stage(epochs=1, student=STUDENT)["distill"])
    found = []
    for seed in (0, 0, 1):
        context = surroundings(make_context, root)
        context.seed = seed
        found.append(distill.run(model("Digits"), settings, context).module.state_dict()["1.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_another_teacher_is_learned_from(root: Path, make_context: MakeContext) -> None:
    scope: dict[str, Any] = {}
    exec(SMALL, scope)
    torch.manual_seed(5)
    teacher = scope["build"](32).eval()
    for parameter in teacher.parameters():
        parameter.data *= 3
    save_file(teacher.state_dict(), root / "source" / "large.safetensors")
    asked = {"entrypoint": "small:build", "kwargs": {"width": 32}, "weights": "large.safetensors"}
    settings = stage(epochs=150, student=STUDENT | {"kwargs": {"width": 24}}, teacher=asked, match="MSE")
    trained = distill.run(
        model("Digits"), Distill.model_validate(settings["distill"]), surroundings(make_context, root)
    )
    images = columns("Digits")["image"]
    got = trained.run({"image": images})["logits"]
    with torch.no_grad():
        wanted = teacher(torch.from_numpy(images)).numpy()
    assert np.square(got - wanted).mean() < 0.4 * np.square(wanted - wanted.mean(0)).mean()


@pytest.mark.parametrize(
    ("student", "reason", "words"),
    [
        ({"entrypoint": "small:build", "kwargs": {"classes": 4}}, Reason.RECIPE_INVALID, ["[2, 4]", "[2, 10]"]),
        ({"entrypoint": "small:broken"}, Reason.ENTRYPOINT_FAILED, ["forward of distill.student failed"]),
        ({"entrypoint": "large:build"}, Reason.SOURCE_INVALID, ["no large.py", "distill.student.entrypoint"]),
        (STUDENT | {"weights": "lost.safetensors"}, Reason.SOURCE_INVALID, ["no lost.safetensors"]),
        (STUDENT | {"weights": "weights.safetensors"}, Reason.WEIGHTS_DO_NOT_FIT, ["weights.safetensors does not fit"]),
    ],
)
def test_what_cannot_be_a_student_is_refused(
    student: dict[str, Any], reason: Reason, words: list[str], root: Path, make_context: MakeContext
) -> None:
    with pytest.raises(Judged) as caught:
        distill.run(
            model("Digits"),
            Distill.model_validate(stage(student=student)["distill"]),
            surroundings(make_context, root),
        )
    assert caught.value.reason is reason
    for word in words:
        assert word in caught.value.message
