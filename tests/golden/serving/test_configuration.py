"""What the agent writes for Triton and for Envoy, to be read by people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.golden import assert_golden

from modelpress.agent.envoy import config as envoy_config
from modelpress.agent.settings import Settings
from modelpress.store.manifest import ONNX, Manifest, Tensor
from modelpress.triton.config import Backend, config

BATCHED = Manifest(
    artifact="a",
    files=(),
    variants={ONNX: ONNX},
    batched=True,
    inputs=(Tensor(name="tokens", dtype="int64", shape=(-1, -1)), Tensor(name="weight", dtype="float32", shape=(-1,))),
    outputs=(
        Tensor(name="logits", dtype="float16", shape=(-1, 10)),
        Tensor(name="words", dtype="string", shape=(-1, 3)),
    ),
)
UNBATCHED = BATCHED.model_copy(
    update={
        "batched": False,
        "inputs": (Tensor(name="image", dtype="uint8", shape=(28, -1)), Tensor(name="gain", dtype="float64", shape=())),
        "outputs": (Tensor(name="bright", dtype="bool", shape=(28,)),),
    }
)


@pytest.mark.parametrize(
    ("name", "manifest", "backend", "threads"),
    [
        ("batched-python", BATCHED, Backend.PYTHON, 2),
        ("batched-onnxruntime", BATCHED, Backend.ONNXRUNTIME, None),
        ("unbatched-onnxruntime", UNBATCHED, Backend.ONNXRUNTIME, 4),
    ],
)
def test_triton_is_configured_as_reviewed(name: str, manifest: Manifest, backend: Backend, threads: int | None) -> None:
    text = config(
        "digits", manifest, backend, versions=(1,), max_batch_size=32, queue_delay_microseconds=2000, threads=threads
    )
    assert_golden(Path(__file__).parent / f"{name}.pbtxt", text)


def test_envoy_is_configured_as_reviewed() -> None:
    assert_golden(Path(__file__).parent / "envoy.json", json.dumps(envoy_config(Settings()), indent=1) + "\n")
