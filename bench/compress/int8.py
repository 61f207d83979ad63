"""Row: time of one image in a residual net whose arithmetic is in 8 bits, on one thread.

The residual net of the row on multiplications, four times as wide, on digits enlarged to 32x32: what several operators
take, at the ends of residual connections, is where quantizers differ.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch
from examples import common
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from . import competitors
from .competitors import onnxruntime_tools
from .digits import CALIBRATION, FOLDS, MODELS, Compressor, splits
from .models import residual
from .product import Columns, press, write_data
from .protocol import Contestant, Job, Row, bytes_of, digest, interleave, milliseconds, session
from .statistics import loss_of, speedup

RECIPE, CLASSES, WIDTH, EPOCHS, ENLARGED = "int8", 10, 64, 2, 4
ALIKE = 0.95
"""What share of the fastest one's speed counts as the same: the bounds of two runs are further apart."""
BEYOND, LOSS = 3.0, 0.005


def measure(job: Job) -> Row:
    """Run it."""
    train, test = _data(job)
    prepared = job.work / "int8" / "prepared"
    checkpoint = _prepare(prepared, train, 1 if job.smoke else EPOCHS)
    product = press(RECIPE, prepared, job.work / "int8" / "work")
    others: dict[str, Compressor] = {
        "onnxruntime, static int8": onnxruntime_tools.static,
        "onnxruntime, static int8, unsigned activations": partial(onnxruntime_tools.static, unsigned=True),
    }
    if job.competitors is not None:
        others["NNCF, static int8"] = partial(competitors.nncf, job.competitors, "int8")
    calibration = {name: column[:CALIBRATION] for name, column in train.items()}
    paths = {"original": product.original, RECIPE: product.compressed}
    for name, compress in others.items():
        paths[name] = compress(product.original, calibration, job.work / "int8-others" / name.replace(", ", "-"))
    sessions = {name: session(path) for name, path in paths.items()}
    feeds = {"image": test["image"][:1]}
    times = interleave({name: partial(one.run, None, feeds) for name, one in sessions.items()}, job.blocks)
    right = {
        name: one.run(None, {"image": test["image"]})[0].argmax(1) == test["label"] for name, one in sessions.items()
    }
    faster_by = {name: speedup(times["original"], found) for name, found in times.items()}
    fastest = max(found.point for name, found in faster_by.items() if name in others)
    contestants, kept = [], {"reach": False, "beyond": False}
    for name, path in paths.items():
        faster = faster_by[name]
        loss = loss_of((right["original"].astype(float) - right[name])[None])
        figures: dict[str, float | str] = {
            "p50, ms": milliseconds(times[name]),
            "speedup": faster.point,
            "bound": faster.bound,
            "accuracy": float(right[name].mean()),
            "loss, points": 100 * loss.point,
            "95 % bound": 100 * loss.bound,
            "bytes": bytes_of(path),
        }
        if name == RECIPE and loss.bound <= LOSS:
            kept = {"reach": faster.point >= ALIKE * fastest, "beyond": faster.bound >= BEYOND}
        contestants.append(Contestant(name, figures, name == RECIPE))
    return Row(
        name="int8",
        title="Residual net in 8 bits, p50 of one image, one thread",
        reach="as fast as the fastest of the others, at a loss of at most 0.5 points",
        beyond="3x",
        contestants=contestants,
        reached=kept["reach"],
        surpassed=kept["beyond"],
        remarks=[
            f"{job.blocks} interleaved blocks; losses on {len(test['label'])} images that nobody was trained on.",
            f"The checkpoint is {digest(checkpoint)}.",
        ],
    )


def _data(job: Job) -> tuple[Columns, Columns]:
    """Return the training data and the test data: one fold of five."""
    found = load_digits()
    images = (found.images[:, None] / 16.0).astype(np.float32).repeat(ENLARGED, 2).repeat(ENLARGED, 3)
    labels = found.target.astype(np.int64)
    if job.smoke:
        images, labels = images[:120], labels[:120]
    rows = next(splits(0, FOLDS, len(images)))
    train, test = ({"image": images[part], "label": labels[part]} for part in rows)
    return train, test


def _prepare(prepared: Path, train: Columns, epochs: int) -> Path:
    """Train the model, write it as a source with its data, and return its frozen checkpoint."""
    shutil.rmtree(prepared, ignore_errors=True)
    source = prepared / "source"
    source.mkdir(parents=True)
    shutil.copy(MODELS / "residual.py", source)
    torch.manual_seed(0)
    module = residual.build(CLASSES, WIDTH)
    given, wanted = torch.from_numpy(train["image"]), torch.from_numpy(train["label"])

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(given[rows]), wanted[rows])

    common.train(module, loss, len(wanted), epochs)
    save_file(module.state_dict(), source / "weights.safetensors")
    write_data(prepared, {"calibration": {name: column[:CALIBRATION] for name, column in train.items()}})
    return source / "weights.safetensors"
