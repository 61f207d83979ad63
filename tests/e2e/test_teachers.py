"""A model learns from a larger one that lies elsewhere, and is judged by a metric of its own, in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.support.workplace import Workplace, sparing
from torch import nn

NAME, LARGE = "pupil", "master"
CODE = """
from torch import nn


def build(width=8):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 4))
"""
METRICS = """
import numpy as np


def regret(outputs, targets, dearest=3.0):
    wrong = outputs["scores"].argmax(1) != targets["scores"]
    return wrong * np.where(targets["scores"] == 3, dearest, 1.0)
"""


def columns(count: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Points in six dimensions; their class is the quarter that two curved coordinates lie in."""
    rows = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    first, second = rows[:, 0] + np.sin(2 * rows[:, 1]), rows[:, 2] * rows[:, 3]
    return {"row": rows, "class": (2 * (first > 0) + (second > 0)).astype(np.int64)}


def built(width: int, epochs: int) -> nn.Module:
    """Return the module of CODE, trained for so long."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 4))
    data = columns(4000, 1)
    rows, classes = torch.from_numpy(data["row"]), torch.from_numpy(data["class"])
    optimizer = torch.optim.AdamW(module.parameters(), 0.01)
    for _ in range(epochs):
        for part in torch.randperm(len(rows)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(rows[part]), classes[part]).backward()
            optimizer.step()
    return module


def source(namespace: str, name: str, width: int) -> dict[str, Any]:
    return {
        "uri": f"s3://models/{namespace}/{name}/",
        "format": "torch",
        "entrypoint": "model:build",
        "kwargs": {"width": width},
        "trustCode": True,
        "secretName": "models-read",
        "inputs": [{"name": "row", "dtype": "float32", "shape": ["batch", 6]}],
        "outputs": [{"name": "scores"}],
    }


def wanted(namespace: str) -> dict[str, Any]:
    """The small model, to be taught by the large one without targets."""
    data = f"s3://data/{namespace}/{NAME}"
    spec: dict[str, Any] = {
        "source": source(namespace, NAME, 64),
        "compression": {
            "data": {"train": {"uri": f"{data}/train.npz", "secretName": "models-read"}},
            "teachers": {LARGE: source(namespace, LARGE, 256)},
            "stages": [
                {
                    "prune": {
                        "structure": "Channel",
                        "importance": "Reconstruction",
                        "reconstruct": True,
                        "amount": {"channels": 0.5},
                    }
                },
                {
                    "distill": {
                        "teacher": {"name": LARGE},
                        "match": "MSE",
                        "alpha": 1,
                        "epochs": 20,
                        "learningRate": 0.005,
                    }
                },
            ],
        },
        "evaluation": {
            "test": {"uri": f"{data}/test.npz", "secretName": "models-read", "targets": {"scores": "class"}},
            "metrics": [
                {"name": "top1", "type": "accuracy"},
                {
                    "name": "regret",
                    "type": "entrypoint",
                    "entrypoint": "metrics:regret",
                    "args": {"dearest": 5.0},
                    "higherIsBetter": False,
                },
            ],
            "gates": [
                {"metric": "top1", "goal": "MaxDegradation", "value": 0.02},
                {"metric": "regret", "goal": "MaxDegradation", "value": 0.05},
            ],
        },
    }
    spec["serving"] = {"batching": {"maxBatchSize": 1500}}  # the test data in one request
    identity = {"name": NAME, "namespace": namespace}
    return {"apiVersion": "modelpress.io/v1alpha1", "kind": "CompressedModel", "metadata": identity, "spec": spec}


def write(folder: Path, module: nn.Module) -> None:
    (folder / "source").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "source" / "model.py").write_text(CODE)
    (folder / "source" / "metrics.py").write_text(METRICS)
    save_file(module.state_dict(), folder / "source" / "weights.safetensors")


@pytest.fixture(scope="module")
def taught(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The small model, Ready."""
    folder = tmp_path_factory.mktemp(NAME)
    for name, width, epochs in ((NAME, 64, 1), (LARGE, 256, 20)):
        write(folder / name, built(width, epochs))
    np.savez(folder / NAME / "data" / "train.npz", **columns(4000, 1))
    np.savez(folder / NAME / "data" / "test.npz", **columns(1500, 2))
    for name in (NAME, LARGE):
        workplace.put(folder / name, name)
    workplace.apply(sparing(wanted(workplace.namespace)))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def test_it_answers_better_than_before_for_it_learned_from_a_better_one(taught: Workplace) -> None:
    figures = {item["name"]: item for item in taught.model(NAME)["status"]["compression"]["metrics"]}
    assert figures["top1"]["compressed"] > figures["top1"]["original"] + 0.02
    assert figures["regret"]["compressed"] < figures["regret"]["original"] - 0.05


def test_its_own_metric_is_what_its_function_says_of_the_served_answers(taught: Workplace) -> None:
    data = columns(1500, 2)
    wrong = taught.ask(NAME, {"row": data["row"]}, ["scores"])["scores"].argmax(1) != data["class"]
    regret = float((wrong * np.where(data["class"] == 3, 5.0, 1.0)).mean())
    figures = {item["name"]: item for item in taught.model(NAME)["status"]["compression"]["metrics"]}
    assert figures["regret"]["compressed"] == pytest.approx(regret, abs=0.02)


def test_the_teacher_is_pinned_by_its_digest(taught: Workplace) -> None:
    assert f"teacher.{LARGE}" in taught.model(NAME)["status"]["source"]["datasets"]
