"""A language model of any size with random weights, written tensor by tensor: it never lies in memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "tinylm"
REPEATED = 2**22 + 1
"""Random numbers that weights consist of, over and over."""
SIZES = {"characters": 32000, "longest": 512, "width": 2048, "heads": 16, "layers": 8}
"""Of a decoder with 2.1 GB of float32 weights."""


def write(folder: Path, **sizes: int) -> int:
    """Write source/ (the decoder of examples/tinylm in other sizes); return the bytes of its weights."""
    source = folder / "source"
    source.mkdir(parents=True)
    shutil.copyfile(EXAMPLE / "model.py", source / "model.py")
    with torch.device("meta"):
        tensors = _build(SIZES | sizes).state_dict()
    path = source / "weights.safetensors"
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    some = np.random.default_rng(0).standard_normal(REPEATED, np.float32) * np.float32(0.02)
    with path.open("wb") as opened:
        opened.write(len(words).to_bytes(8, "little") + words)
        for name, tensor in tensors.items():
            norm = "norm" in name or "first" in name or "second" in name
            values = np.resize(some, tensor.numel())
            opened.write((values + np.float32(norm and name.endswith("weight"))).data)
    return path.stat().st_size


def spec(preset: str, **sizes: int) -> dict[str, Any]:
    """Return the spec that quantizes the weights of what `write` wrote, for a file beside source/."""
    return {
        "source": {
            "uri": "source/",
            "format": "torch",
            "entrypoint": "model:build",
            "trustCode": True,
            "kwargs": SIZES | sizes,
            "inputs": [{"name": "input_ids", "dtype": "int64", "shape": ["batch", "sequence"]}],
            "outputs": [{"name": "logits"}],
        },
        "compression": {"stages": [{"quantize": {"preset": preset}}]},
        "evaluation": {"latency": {"batchSizes": [1]}},
    }


def _build(sizes: dict[str, int]) -> torch.nn.Module:
    scope: dict[str, Any] = {"__name__": "model"}
    exec(compile((EXAMPLE / "model.py").read_text(), "model.py", "exec"), scope)
    module: torch.nn.Module = scope["build"](**sizes)
    return module
