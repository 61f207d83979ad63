"""What the tests of autoscaling share: a model that is slow enough to be busy, its load, and who set its pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import kubectl
import numpy as np
from safetensors.numpy import save_file
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.audit import Write
from tests.support.load import Load, Question
from tests.support.workplace import Workplace, sparing, wait_for

NAME, WEIGHTS = "elastic", "weights.safetensors"
ROW = {"row": np.linspace(-1, 1, 128, dtype=np.float32).reshape(32, 4)}
WIDTH = 768
"""Of the network: a request takes a millisecond or more, so that load is told from idling on a busy machine, too."""
CODE = """
from torch import nn

def build(width):
    first, second, last = nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
"""
REQUESTS = {"cpu": "40m", "memory": "300Mi"}
"""Of each pod's Triton: with `target.cpu` 60, a pod is added for every 24m that are used."""
BUSY, CALM = 0.5, 10.0
"""Seconds from one request of a client to its next: 100 requests a second take 100m, 5 a second next to nothing."""
T = TypeVar("T")


def wanted(workplace: Workplace, batch: int = 64, width: int = WIDTH, **serving: object) -> dict[str, Any]:
    """A small model with `serving`; another `batch` is another revision that gives the same answers."""
    found = manifest(BadInput(NAME, "", ""), workplace.namespace)
    found["spec"]["source"]["kwargs"] = {"width": width}
    found["spec"]["serving"] = {"batching": {"maxBatchSize": batch}, "resources": {"requests": REQUESTS}, **serving}
    return sparing(found)


def upload(workplace: Workplace, folder: Path, width: int = WIDTH) -> None:
    """Put the model into the store; a request takes as long as the square of `width`."""
    write_good(folder)
    source = folder / "source"
    rng = np.random.default_rng(0)
    shapes = {"0": (width, 4), "2": (width, width), "4": (3, width)}
    weights = {f"{name}.weight": rng.normal(size=shape) / shape[1] ** 0.5 for name, shape in shapes.items()}
    biases = {f"{name}.bias": np.zeros(shape[0]) for name, shape in shapes.items()}
    save_file({name: array.astype(np.float32) for name, array in (weights | biases).items()}, source / WEIGHTS)
    (source / "net.py").write_text(CODE)
    workplace.put(folder, NAME)


async def under_load(
    workplace: Workplace, act: Callable[[], T], interval: float = BUSY, connections: int = 25
) -> tuple[Load, T]:
    """Ask over `connections` of each protocol before, while and after `act` runs; return what it returned, too."""
    answer = await asyncio.to_thread(workplace.ask, NAME, ROW, ["scores"])
    load = Load(
        Question(NAME, ROW, {"any": answer}),
        http=workplace.service_address(NAME, 8000),
        grpc=workplace.service_address(NAME, 8001),
        connections=connections,
        interval=interval,
    )
    async with load:
        await load.until_sent(50)
        result = await asyncio.to_thread(act)
        await load.until_sent(50)
    return load, result


def serve(workplace: Workplace, **serving: object) -> None:
    """Change how the model is served, but not its revision."""
    spec = workplace.model(NAME)["spec"]
    batch, width = spec["serving"]["batching"]["maxBatchSize"], spec["source"]["kwargs"]["width"]
    workplace.apply(wanted(workplace, batch, width, **serving))


def assert_clean(load: Load) -> None:
    """No request was lost, and none got a wrong answer."""
    print(f"HTTP: {load.http}", f"gRPC: {load.grpc}", sep="\n")
    assert load.http.clean, f"HTTP: {load.http}"
    assert load.grpc.clean, f"gRPC: {load.grpc}"


def current(workplace: Workplace) -> str:
    return str(workplace.model(NAME)["status"]["currentRevision"])


def deployment(workplace: Workplace) -> dict[str, Any]:
    """The Deployment of the revision that serves."""
    return kubectl.get(workplace.namespace, "deployment", current(workplace))


def await_pods(workplace: Workplace, count: int, seconds: float = 300.0) -> None:
    """Wait until what serves has `count` pods, all answer, no other pod is left, and the status says so."""

    def look() -> bool:
        status = workplace.model(NAME)["status"]
        told = (status.get("replicas"), status.get("readyReplicas"))
        asked = deployment(workplace)["spec"]["replicas"]
        selector = f"--selector=modelpress.io/model={NAME},modelpress.io/role=serve"
        return asked == count and told == (count, count) and len(_pods(workplace, selector)) == count

    wait_for(look, f"{count} pods that serve", seconds, lambda: explain(workplace))


def _pods(workplace: Workplace, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = kubectl.get(workplace.namespace, "pods", selector)["items"]
    return found


def explain(workplace: Workplace) -> str:
    """Say what the cluster knows of the model and its autoscaler, for a failed test."""
    described = kubectl.run("kubectl", "describe", "horizontalpodautoscalers", "--namespace", workplace.namespace)
    return f"{workplace.explain(NAME)}\n{described}"


def shown(workplace: Workplace, column: str) -> str:
    """Return what `kubectl get cmodel` shows in `column`."""
    heads, cells = kubectl.run("kubectl", "get", "cmodel", NAME, "--namespace", workplace.namespace).splitlines()
    return cells[heads.index(column) :].split()[0]


def scaled_by(found: list[Write], user: str) -> list[Write]:
    return [write for write in found if write.user == user and write.resource == "deployments/scale"]
