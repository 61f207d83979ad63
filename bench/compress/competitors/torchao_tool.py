"""torchao on MiniLM in torch, which cannot write such weights to ONNX: cosines, bytes and time are measured in here.

`torchao_tool.py '{"source": …, "data": …, "lengths": […], "blocks": …}'`. Runs in its own environment.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from io import BytesIO
from typing import Any

import numpy as np
import torch
import torchao.quantization as ao
from transformers import AutoModel

CONFIGS = {
    "8-bit weights": ao.Int8WeightOnlyConfig,
    "dynamic int8": ao.Int8DynamicActivationInt8WeightConfig,
}


def embed(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return mean-pooled, normalized embeddings, as MiniLM's modules.json has it."""
    mask = inputs["attention_mask"][..., None].float()
    hidden = model(**inputs).last_hidden_state
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def main(job: dict[str, Any]) -> None:
    """Print what was measured, by configuration."""
    torch.set_num_threads(1)
    model = AutoModel.from_pretrained(job["source"], local_files_only=True).eval()
    columns = {name: torch.from_numpy(value) for name, value in np.load(job["data"]).items()}
    found: dict[str, Any] = {}
    with torch.inference_mode():
        wanted = _all(model, columns)
        models = {"fp32": model}
        for name, config in CONFIGS.items():
            models[name] = copy.deepcopy(model)
            ao.quantize_(models[name], config())
            cosines = (_all(models[name], columns) * wanted).sum(1)
            weights = BytesIO()
            torch.save(models[name].state_dict(), weights)
            found[name] = {
                "bytes": weights.tell(),
                "mean": float(cosines.mean()),
                "p1": float(np.percentile(cosines.numpy(), 1)),
            }
        found["seconds"] = {str(length): _times(models, length, job["blocks"]) for length in job["lengths"]}
    print(json.dumps(found))


def _all(model: torch.nn.Module, columns: dict[str, torch.Tensor]) -> torch.Tensor:
    count = len(columns["input_ids"])
    return torch.cat(
        [embed(model, {name: value[row : row + 32] for name, value in columns.items()}) for row in range(0, count, 32)]
    )


def _times(models: dict[str, torch.nn.Module], length: int, blocks: int) -> dict[str, float]:
    """Return the median seconds of one text of `length` tokens, all models in alternation."""
    inputs = {name: torch.ones(1, length, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        embed(model, inputs)
    for _ in range(blocks):
        for name in [*models, *reversed(models)]:
            start = time.perf_counter()
            embed(models[name], inputs)
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
