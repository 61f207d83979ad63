"""What a model is, by its files."""

from __future__ import annotations

import json
from pathlib import Path

from modelpress.api.source import PICKLES

from .asked_error import AskedError

KNOWN = "an .onnx or .pt2 file, or config.json and model.safetensors of a transformer"
TASKS = {
    "ForSequenceClassification": "TextClassification",
    "ForTokenClassification": "TokenClassification",
    "ForMaskedLM": "MaskedLM",
    "ForCausalLM": "CausalLM",
    "LMHeadModel": "CausalLM",
}
"""What a transformer with such a class is used for."""


def source_format(path: Path) -> str:
    """Return the format of the model at `path`, by its files. Raises AskedError."""
    if not path.exists():
        raise AskedError(f"{path} is not there.")
    names = [path.name] if path.is_file() else sorted(item.name for item in path.iterdir())
    if any(name.endswith(".onnx") for name in names):
        return "onnx"
    if any(name.endswith(".pt2") for name in names):
        return "torch-export"
    if "config.json" in names:
        return "transformers"
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        raise AskedError(
            f"{pickles[0]} is a pickle, which runs code when it is read: save the weights with "
            "safetensors.torch.save_file, and say in a YAML file how the module is built."
        )
    if any(name.endswith(".safetensors") for name in names):
        raise AskedError(
            f"{path} holds weights without their module: a YAML file must say how it is built "
            "(source.format torch, entrypoint, inputs, outputs); see docs/local.md."
        )
    raise AskedError(f"{path} {'is' if path.is_file() else 'holds'} no model that is known here: {KNOWN}.")


def task_of(path: Path) -> str:
    """Return what a transformer is used for, by its class: the head that its weights are of."""
    if (path / "modules.json").is_file():  # as sentence-transformers lays it out
        return "SentenceEmbedding"
    try:
        found = json.loads((path / "config.json").read_text(encoding="utf-8"))
        classes = " ".join(map(str, found.get("architectures") or ()))
    except (OSError, ValueError, AttributeError) as error:
        raise AskedError(f"{path}/config.json cannot be read: {error}.") from error
    return next((task for end, task in TASKS.items() if end in classes), "FeatureExtraction")
