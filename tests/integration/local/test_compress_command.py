"""`modelpress compress` from a file to an artifact, as somebody would call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelpress.store.manifest import Manifest, digest_of, parse, verify

MODELPRESS = (sys.executable, "-c", "from modelpress.cli.main import main; main()", "compress")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense network of two layers and 400 samples of its own answers."""
    folder = tmp_path_factory.mktemp("model")
    random = np.random.default_rng(5)
    first, second = (random.normal(size=shape).astype(np.float32) for shape in ((16, 64), (64, 3)))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "second"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    x = random.normal(size=(400, 16)).astype(np.float32)
    np.savez(folder / "test.npz", x=x, label=(np.maximum(x @ first, 0) @ second).argmax(1))
    return folder


def run(*arguments: str | Path) -> tuple[int, list[dict[str, object]], str]:
    done = subprocess.run(
        [*MODELPRESS, *map(str, arguments)], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_preset_makes_an_artifact_that_verifies(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    code, said, errors = run(
        model / "model.onnx",
        *("--preset", "INT8_DYNAMIC", "--test", model / "test.npz", "--metric", "accuracy", "--out", out),
    )
    assert code == 0, errors
    stages = list(dict.fromkeys(line["stage"] for line in said if line["event"] == "progress"))
    assert stages == ["resolve", "fetch", "load", "quantize", "judge", "publish"]
    assert said[-1]["event"] == "done"
    content = (out / "manifest.json").read_bytes()
    manifest: Manifest = parse(content, digest_of(content), str(out))
    verify(out, manifest.files, str(out))
    assert manifest.lineage["source"].startswith("sha256:")
    assert {"onnx/model.onnx", "original/model.onnx", "report.json"} <= {file.path for file in manifest.files}


def test_a_gate_that_does_not_pass_is_exit_code_10(model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        json.dumps(
            {
                "source": {"uri": str(model / "model.onnx"), "format": "onnx"},
                "compression": {"stages": [{"quantize": {"preset": "INT8_DYNAMIC"}}]},
                "evaluation": {"gates": [{"metric": "size", "goal": "PercentMinImprovement", "value": 99}]},
            }
        )
    )
    code, said, _ = run(tmp_path / "model.yaml", "--out", tmp_path / "small")
    assert (code, said[-1]["accepted"], said[-1]["reason"]) == (10, False, "GateFailed")
    assert (tmp_path / "small" / "report.json").is_file()


def test_what_is_not_there_is_said_in_a_sentence(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    code, said, _ = run(model / "model.onnx", "--preset", "INT8_DYNAMIC", "--test", tmp_path / "none.npz", "--out", out)
    assert (code, said[-1]["reason"]) == (10, "DatasetNotFound")
    assert "none.npz" in str(said[-1]["message"])
    assert list(tmp_path.iterdir()) == []


def test_a_terminated_run_leaves_nothing(model: Path, tmp_path: Path) -> None:
    command = [*MODELPRESS, str(model / "model.onnx"), "--preset", "INT8_DYNAMIC", "--out", str(tmp_path / "small")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert any('"stage": "load"' in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 143, errors
    assert list(tmp_path.iterdir()) == []
