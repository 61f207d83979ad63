"""Samples as calls of a module, for training and ranking."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..datasets import Samples
from ..models import ModuleModel, tensors
from ..signature import calls
from .criterion import Outputs


def device() -> str:
    """Return where training runs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def batches(
    model: ModuleModel, samples: Samples, chosen: np.ndarray, where: str = "cpu"
) -> Iterator[tuple[dict[str, torch.Tensor], np.ndarray]]:
    """Yield (inputs of a call, their samples): the chosen samples at once, or one by one if there is no batch."""
    columns = {name: column[chosen] for name, column in samples.inputs.items()}
    for position, arguments in enumerate(calls(columns, model.signature, len(chosen))):
        part = chosen if model.signature.batched else chosen[position : position + 1]
        yield tensors(arguments, where), part


def batched(model: ModuleModel, outputs: Outputs) -> Outputs:
    """Return the outputs with a first axis that counts samples."""
    return outputs if model.signature.batched else tuple(output[None] for output in outputs)
