"""Train a small language model on Python's reference and lay out source and data as modelpress reads them.

    python examples/tinylm/prepare.py build/tinylm

Characters are their ASCII numbers. A sample is 64 characters, and as `label` the one that follows each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import common  # type: ignore[import-not-found]
from model import build  # type: ignore[import-not-found]

LENGTH = 64
COUNTS = {"test": 300, "calibration": 100}


def perplexity(scores: np.ndarray, label: np.ndarray) -> float:
    """Return exp of the mean negative log-likelihood: scores (n, sequence, characters), label (n, sequence)."""
    shifted = scores - scores.max(-1, keepdims=True)
    likelihood = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return float(np.exp(-np.take_along_axis(likelihood, label[..., None], -1).mean()))


def main(folder: Path, epochs: int = 4, samples: int | None = None) -> None:
    """Write source and data below `folder`; train on so many samples, or all."""
    torch.manual_seed(0)
    text = " ".join(passage for _, passage in common.passages(200))
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64)
    windows = codes[: (len(codes) - 1) // LENGTH * LENGTH].reshape(-1, LENGTH)
    following = codes[1 : windows.size + 1].reshape(-1, LENGTH)
    order = np.random.default_rng(0).permutation(len(windows))
    parts = np.split(order, np.cumsum(list(COUNTS.values())))
    splits = {
        name: {"input_ids": windows[part], "label": following[part]}
        for name, part in zip([*COUNTS, "train"], parts, strict=True)
    }
    common.write_arrays(folder, splits)
    module = build()
    given, wanted = (torch.from_numpy(splits["train"][name][:samples]) for name in ("input_ids", "label"))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(given[rows]).flatten(0, 1), wanted[rows].flatten())

    common.train(module, loss, len(given), epochs, batch=32)
    common.write_source(folder, module, Path(__file__).parent)
    with torch.no_grad():
        scores = module(torch.from_numpy(splits["test"]["input_ids"])).numpy()
    print(f"trained: perplexity {perplexity(scores, splits['test']['label']):.3f} a character; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/tinylm"))
