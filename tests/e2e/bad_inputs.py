"""Every kind of broken input, as data: what is broken, and what the user must be told."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

GOOD_CODE = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
"""


def write_good(folder: Path) -> None:
    """Write a small working model and its test data."""
    rng = np.random.default_rng(0)
    (folder / "source").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "source" / "net.py").write_text(GOOD_CODE)
    shapes = {"0.weight": (16, 4), "0.bias": (16,), "2.weight": (3, 16), "2.bias": (3,)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "source" / "weights.safetensors")
    columns = {"row": rng.normal(size=(60, 4)).astype(np.float32), "label": rng.integers(0, 3, 60)}
    np.savez(folder / "data" / "test.npz", **columns)


def rewrite_test(folder: Path, **columns: Any) -> None:
    """Replace columns of the test data."""
    path = folder / "data" / "test.npz"
    with np.load(path) as data:
        kept = dict(data)
    np.savez(path, **(kept | columns))


@dataclass(frozen=True)
class BadInput:
    """One way to go wrong."""

    name: str
    reason: str
    """Reason of the condition and of the Event."""
    says: str
    """Words that the sentence must hold."""
    break_files: Callable[[Path], None] = lambda folder: None
    source: Mapping[str, Any] = field(default_factory=dict)
    compression: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    passing: bool = False
    """Whether the input is a surrounding's fault: tried again, so Stalled stays False."""
    long: bool = False
    """Whether only `make test-long` tries it here, as another one goes the same way."""


def _code(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "source" / "net.py").write_text(text)

    return write


def _truncate(folder: Path) -> None:
    path = folder / "source" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def _pickle(folder: Path) -> None:
    (folder / "source" / "weights.safetensors").write_bytes(pickle.dumps({"0.weight": [1.0]}))


def _objects(folder: Path) -> None:
    rewrite_test(folder, row=np.array([{"a": 1}] * 60, dtype=object))


def _infinite_weights(folder: Path) -> None:
    shapes = {"0.weight": (16, 4), "0.bias": (16,), "2.weight": (3, 16), "2.bias": (3,)}
    save_file(
        {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in shapes.items()},
        folder / "source" / "weights.safetensors",
    )


def _drop_row(folder: Path) -> None:
    path = folder / "data" / "test.npz"
    with np.load(path) as data:
        np.savez(path.with_suffix(".new.npz"), label=data["label"])
    path.with_suffix(".new.npz").rename(path)


def _few_right_answers(folder: Path) -> None:
    """Eight samples: no interval is narrow enough to say on which side of 0.3 it lies."""
    path = folder / "data" / "test.npz"
    with np.load(path) as data:
        kept = {name: column[:8] for name, column in data.items()}
    kept["label"] = np.arange(8) % 3
    np.savez(path, **kept)


ACCURACY = {"metrics": [{"name": "top1", "type": "accuracy"}]}

BAD_INPUTS = (
    BadInput("source-missing", "SourceNotFound", "nothing-here", source={"uri": "s3://models/nothing-here/"}),
    BadInput("wrong-key", "AccessDenied", "wrong-key", source={"secretName": "wrong-key"}, passing=True),
    BadInput("no-secret", "SecretNotFound", "no-such-secret", source={"secretName": "no-such-secret"}, passing=True),
    BadInput("wrong-digest", "DigestMismatch", "sha256:", source={"digest": "sha256:" + "0" * 64}),
    BadInput("truncated", "SourceInvalid", "weights.safetensors", _truncate, long=True),
    BadInput("pickled", "PickleRefused", "safetensors", _pickle),
    BadInput(
        "raises", "EntrypointFailed", "no such luck", _code("def build():\n    raise RuntimeError('no such luck')\n")
    ),
    BadInput("no-function", "EntrypointFailed", "assemble", source={"entrypoint": "net:assemble"}, long=True),
    BadInput(
        "loops",
        "CompressionTimeout",
        "20 s",
        _code("def build():\n    while True:\n        pass\n"),
        compression={"job": {"timeout": "20s", "retries": 0}},
    ),
    BadInput(
        "greedy",
        "OutOfMemory",
        "memory",
        _code("def build():\n    hoard = []\n    while True:\n        hoard.append(bytearray(b'x') * 50_000_000)\n"),
        compression={"job": {"retries": 0, "resources": {"limits": {"memory": "900Mi"}}}},
    ),
    BadInput(
        "exits",
        "EntrypointFailed",
        "exit",
        _code("import os\n\ndef build():\n    os._exit(0)\n"),
        compression={"job": {"retries": 0}},
    ),
    BadInput("missing-column", "DatasetDoesNotFit", "row", _drop_row, long=True),
    BadInput(
        "wrong-shape",
        "DatasetDoesNotFit",
        "row",
        lambda folder: rewrite_test(folder, row=np.zeros((60, 5), dtype=np.float32)),
    ),
    BadInput("objects", "DatasetInvalid", "pickle", _objects, long=True),
    BadInput("not-finite", "NotFinite", "NaN", _infinite_weights, long=True),
    BadInput(
        "labels",
        "LabelsOutOfRange",
        "7",
        lambda folder: rewrite_test(folder, label=np.full(60, 7)),
        long=True,
    ),
    BadInput(
        "gate-fails",
        "GateFailed",
        "top1",
        evaluation={**ACCURACY, "gates": [{"metric": "top1", "goal": "Threshold", "value": 0.999}]},
    ),
    BadInput(
        "gate-unclear",
        "GateInconclusive",
        "top1",
        _few_right_answers,
        evaluation={**ACCURACY, "gates": [{"metric": "top1", "goal": "Threshold", "value": 0.3}]},
        long=True,
    ),
)


def manifest(bad: BadInput, namespace: str) -> dict[str, Any]:
    """Return the CompressedModel that asks for the broken input."""
    spec: dict[str, Any] = {
        "source": {
            "uri": f"s3://models/{namespace}/{bad.name}/",
            "format": "torch",
            "entrypoint": "net:build",
            "trustCode": True,
            "secretName": "models-read",
            "inputs": [{"name": "row", "shape": ["batch", 4]}],
            "outputs": [{"name": "scores"}],
            **bad.source,
        },
        "compression": {"stages": [], **bad.compression},
        "evaluation": {
            "test": {"uri": f"s3://data/{namespace}/{bad.name}/test.npz", "secretName": "models-read"},
            **(bad.evaluation or ACCURACY),
        },
        "rollout": {"strategy": "BlueGreen"},
    }
    return {
        "apiVersion": "modelpress.io/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": bad.name, "namespace": namespace},
        "spec": spec,
    }
