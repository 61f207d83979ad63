"""Every example does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.support.workplace import Workplace

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("example", "column", "output"), [("digits", "image", "logits"), ("digits-onnx", "pixels", "scores")]
)
def test_an_example_is_compressed_and_its_server_answers_as_the_judge_measured(
    workplace: Workplace, tmp_path: Path, example: str, column: str, output: str
) -> None:
    subprocess.run([sys.executable, str(EXAMPLES / example / "prepare.py"), str(tmp_path)], check=True)
    manifest = _in_namespace((EXAMPLES / example / "model.yaml").read_text(), example, workplace.namespace)
    workplace.put(tmp_path, example)
    workplace.apply(manifest)
    status = workplace.await_ready(example, seconds=600)
    compression = status["compression"]
    with np.load(tmp_path / "data" / "test.npz") as test:
        samples, labels = test[column], test["label"]
    assert compression["metrics"][0]["samples"] == len(labels)
    assert compression["compressedBytes"] < 0.4 * compression["originalBytes"]
    for protocol in ("grpc", "http"):
        parts = np.split(samples, range(32, len(samples), 32))
        with_port = [workplace.ask(example, {column: part}, [output], protocol)[output] for part in parts[:4]]
        right = np.concatenate(with_port).argmax(1) == labels[: sum(len(part) for part in parts[:4])]
        assert right.mean() > compression["metrics"][0]["compressed"] - 0.08
    workplace.delete(example)


def _in_namespace(text: str, example: str, namespace: str) -> dict[str, object]:
    manifest: dict[str, object] = yaml.safe_load(text.replace(f"/{example}/", f"/{namespace}/{example}/"))
    return manifest
