"""What others make of the same jobs: onnxruntime's quantizers here, NNCF and torchao in an environment of their own.

A tool in another environment is a script that reads a JSON job, writes what it is asked for, and ends; so that no
version of theirs meets ours.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..digits import Compressor
from ..product import Columns
from ..protocol import Job
from . import onnxruntime_tools

HERE = Path(__file__).parent


def of_images(job: Job) -> dict[str, Compressor]:
    """Return who quantizes a small convolutional net after training, by name."""
    found: dict[str, Compressor] = {
        "onnxruntime, static int8": onnxruntime_tools.static,
        "onnxruntime, dynamic int8": onnxruntime_tools.dynamic,
    }
    if job.competitors is not None:
        found["NNCF, static int8"] = partial(nncf, job.competitors, "int8")
    return found


def of_transformers(job: Job) -> dict[str, Compressor]:
    """Return who quantizes a transformer's ONNX file, by name."""
    found: dict[str, Compressor] = {
        "onnxruntime, dynamic int8": onnxruntime_tools.dynamic,
        "onnxruntime, dynamic int8, a scale per channel": partial(onnxruntime_tools.dynamic, per_channel=True),
        "onnxruntime, MatMulNBits 4 bits": onnxruntime_tools.four_bits,
    }
    if job.competitors is not None:
        found |= {
            "NNCF, static int8": partial(nncf, job.competitors, "transformer"),
            "NNCF, 8-bit weights": partial(nncf, job.competitors, "weights8"),
            "NNCF, 4-bit weights": partial(nncf, job.competitors, "weights4"),
        }
    return found


def nncf(python: Path, kind: str, original: Path, calibration: Columns, folder: Path) -> Path:
    """Have NNCF write an ONNX file."""
    folder.mkdir(parents=True, exist_ok=True)
    data, target = folder / "calibration.npz", folder / f"nncf-{kind}.onnx"
    np.savez(data, allow_pickle=False, **calibration)
    run(python, "nncf_tool.py", {"kind": kind, "model": str(original), "data": str(data), "out": str(target)})
    return target


def run(python: Path, script: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run a script in its own environment; return the JSON of its last line. Raises CalledProcessError."""
    done = subprocess.run(
        [str(python), str(HERE / script), json.dumps(job)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CI": "true"},  # where tools that report home do not
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
