"""How long a stage that trains takes, by the time of the exported original's answers to the data at hand."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from modelpress.api.defaults import with_defaults
from modelpress.api.stages import Distill, Finetune
from modelpress.api.tasks import DATA_FOLDER, OUT_FOLDER, SOURCE_FOLDER, TEST_FOLDER
from modelpress.compress import graph, layout
from modelpress.compress.datasets import read
from modelpress.compress.judge.judging import random_samples
from modelpress.compress.judge.latency import Arrays, request
from modelpress.compress.judge.models import Model

from .asking import Asked
from .workspace import Workspace

TRAINING = 4.0
"""Time of a training step by that of onnxruntime's answer to the same samples: forward and backward in torch, eager."""
OPERATOR_SECONDS = 0.2e-3
"""What a training step takes for each operator of the graph besides, however few numbers it computes with."""
BATCH = 32
ROLES = ("calibration", "train", "test")
"""Data that the answers are timed on: the first that is there."""


@dataclass(frozen=True)
class Pace:
    """How fast the original is on this machine."""

    answer: float
    """Seconds of one sample's answer."""
    operators: int
    """Operators of its graph."""


def pace_of(asked: Asked, place: Workspace, model: Model) -> Pace:
    """Return how fast the original is, `model`, exported into `place`. Raises Judged if the data does not fit it."""
    operators = len(graph.load(place.folder(OUT_FOLDER) / layout.ORIGINAL).graph.node)
    return Pace(_answer_seconds(model, _inputs(asked, model, place)), operators)


def training_seconds(settings: Finetune | Distill, pace: Pace, samples: int) -> float:
    """Return what the epochs of a stage take."""
    full = with_defaults(settings)
    steps = math.ceil(samples / full.batch_size)
    return float(full.epochs) * (TRAINING * pace.answer * samples + OPERATOR_SECONDS * pace.operators * steps)


def folder_of(role: str, place: Workspace) -> Path:
    """Return where the data of a role lies."""
    return place.folder(TEST_FOLDER) if role == "test" else place.folder(DATA_FOLDER) / role


def _inputs(asked: Asked, model: Model, place: Workspace) -> Arrays:
    """Return inputs as long as those of the data are; without any, made-up ones."""
    datasets = asked.datasets()
    role = next((role for role in ROLES if role in datasets), None)
    if role is None:
        return random_samples(model, 0).inputs
    specs, source = (model.input_specs(), model.output_specs()), place.folder(SOURCE_FOLDER)
    return read(datasets[role], folder_of(role, place), *specs, 0, tokenizer=source).inputs


def _answer_seconds(model: Model, inputs: Arrays) -> float:
    """Return the time of one sample's answer, in seconds."""
    size = BATCH if model.batched else 1
    feeds = request(inputs, size, batched=model.batched)
    model.run(feeds)
    begin, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - begin < 0.3:
        model.run(feeds)
        rounds += 1
    return (time.perf_counter() - begin) / rounds / size
