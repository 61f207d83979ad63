"""Rows on scikit-learn's digits: several seeds, each with a k-fold over all 1,797 images, everybody on the same folds.

In each fold a baseline is trained and frozen by its digest. Candidates are recipes for it. The baseline also gets the
candidate's extra epochs, by a recipe that only trains, and the better of the two counts, over all folds together.
What a fold gave is kept in the working folder, so that a run that was killed goes on.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from examples import common
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from .product import Columns, press, write_data
from .protocol import Job, baseline_bytes, bytes_of, digest, session

SEEDS, FOLDS = 5, 5
CALIBRATION = 100
"""Images of the training part that ranges and rounding are calibrated with."""
MODELS = Path(__file__).parent / "models"
Compressor = Callable[[Path, Columns, Path], Path]
"""(baseline's ONNX file, calibration data, folder to write to) → ONNX file."""


@dataclass(frozen=True)
class Task:
    """One model on digits."""

    name: str
    """File of the model in `models/`, and the beginning of its recipes' names."""
    shape: Callable[[NDArray[Any]], NDArray[Any]]
    """Turns images (n, 1, 8, 8) in 0…1 into what the model takes."""
    epochs: int
    """Of the baseline."""
    recipes: tuple[str, ...]
    """Candidates."""
    longer: str
    """The recipe that gives the baseline the candidates' extra epochs."""


@dataclass
class Answers:
    """What one contestant got right, [seeds, images]; its bytes in each fold; other facts of each fold."""

    right: NDArray[Any]
    bytes: list[int]
    facts: list[dict[str, float]]


def splits(seed: int, folds: int, count: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield (training images, test images) of each fold; every image is tested once."""
    parts = np.array_split(np.random.default_rng(seed).permutation(count), folds)
    for number, test in enumerate(parts):
        yield np.concatenate([part for other, part in enumerate(parts) if other != number]), test


def measure(task: Task, job: Job, others: dict[str, Compressor]) -> tuple[dict[str, Answers], list[str]]:
    """Return the answers of the baseline (`original`, `original, trained on`), the recipes and the others.

    Also the digests of the frozen checkpoints, in the order of seeds and folds.
    """
    found = load_digits()
    images, labels = task.shape((found.images[:, None] / 16.0).astype(np.float32)), found.target.astype(np.int64)
    seeds, folds = (1, 2) if job.smoke else (SEEDS, FOLDS)
    if job.smoke:
        images, labels = images[:120], labels[:120]
    answers: dict[str, Answers] = {}
    digests = []
    for seed in range(seeds):
        for fold, (train, test) in enumerate(splits(seed, folds, len(images))):
            folder = job.work / task.name / f"{seed}-{fold}"
            kept = folder / "answers.json"
            if not kept.is_file():
                found_here = _fold(task, job, folder, seed * folds + fold, images, labels, train, test, others)
                kept.write_text(json.dumps(found_here))
            here = json.loads(kept.read_text())
            digests.append(here.pop("digest"))
            for name, one in here.items():
                whole = answers.setdefault(name, Answers(np.zeros((seeds, len(images))), [], []))
                whole.right[seed, test] = one["right"]
                whole.bytes.append(one["bytes"])
                whole.facts.append(one["facts"])
            print(f"{task.name}: seed {seed + 1} of {seeds}, fold {fold + 1} of {folds}", file=sys.stderr, flush=True)
    return answers, digests


def _fold(
    task: Task,
    job: Job,
    folder: Path,
    seed: int,
    images: NDArray[Any],
    labels: NDArray[Any],
    train: NDArray[Any],
    test: NDArray[Any],
    others: dict[str, Compressor],
) -> dict[str, Any]:
    """Train, compress and ask, in one fold."""
    shutil.rmtree(folder, ignore_errors=True)
    prepared = folder / "prepared"
    checkpoint = _baseline(
        task, prepared / "source", seed, images[train], labels[train], 1 if job.smoke else task.epochs
    )
    calibration = {"image": images[train[:CALIBRATION]], "label": labels[train[:CALIBRATION]]}
    write_data(prepared, {"train": {"image": images[train], "label": labels[train]}, "calibration": calibration})
    found: dict[str, Any] = {"digest": digest(checkpoint)}

    def keep(name: str, path: Path, size: int, facts: dict[str, float]) -> None:
        (scores,) = session(path).run(None, {"image": images[test]})
        found[name] = {"right": (scores.argmax(1) == labels[test]).tolist(), "bytes": size, "facts": facts}

    for recipe in (task.longer, *task.recipes):
        made = press(recipe, prepared, folder / "work", seed, epochs=1 if job.smoke else None)
        if recipe == task.longer:
            size = baseline_bytes(made.original, prepared / "source")
            keep("original", made.original, size, _macs(made.facts, last=False))
            keep("original, trained on", made.compressed, size, {})
            original = shutil.copyfile(made.original, folder / "original.onnx")
        else:
            keep(recipe, made.compressed, bytes_of(made.compressed), _macs(made.facts, last=True))
    for name, compress in others.items():
        path = compress(original, calibration, folder / "other")
        keep(name, path, bytes_of(path), {})
    for left in ("prepared", "work", "other"):
        shutil.rmtree(folder / left, ignore_errors=True)
    return found


def _macs(facts: Any, *, last: bool) -> dict[str, float]:
    """Return the multiply-accumulate operations of one image, where a stage counted them."""
    sizes = [stage.after if last else stage.before for stage in facts.stages if stage.works_on == "module"]
    return {"macs": float(sizes[-1 if last else 0].macs)} if sizes and sizes[0].macs else {}


def _baseline(task: Task, source: Path, seed: int, images: NDArray[Any], labels: NDArray[Any], epochs: int) -> Path:
    """Train the model, write it as a source, and return its frozen checkpoint."""
    source.mkdir(parents=True)
    shutil.copy(MODELS / f"{task.name}.py", source)
    torch.manual_seed(seed)
    module = importlib.import_module(f"bench.compress.models.{task.name}").build()
    given, wanted = torch.from_numpy(images), torch.from_numpy(labels)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(given[rows]), wanted[rows])

    common.train(module, loss, len(wanted), epochs)
    save_file(module.state_dict(), source / "weights.safetensors")
    return source / "weights.safetensors"


def better_baseline(answers: dict[str, Answers]) -> str:
    """Return which of the two baselines got more right."""
    return max(("original", "original, trained on"), key=lambda name: float(answers[name].right.mean()))
