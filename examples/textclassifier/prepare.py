"""Train a classifier of texts and lay out source and data as modelpress reads them.

    python examples/textclassifier/prepare.py build/textclassifier

Texts are passages of 24 words out of seven chapters of Python's reference; the class is the chapter.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import common  # type: ignore[import-not-found]
from model import build  # type: ignore[import-not-found]

WORDS, VOCABULARY = 24, 3000
PARTS = {"test": 0.3, "validation": 0.1, "calibration": 0.05}
"""Shares of the passages; the rest is for training."""


def split(text: str) -> list[str]:
    """Return the words of a text, and its signs."""
    return re.findall(r"[a-z]+|[^a-z\s]", text.lower())


def main(folder: Path, epochs: int = 12, samples: int | None = None) -> None:
    """Write source and data below `folder`; train on so many texts, or all."""
    torch.manual_seed(0)
    texts = common.passages(WORDS)
    order = np.random.default_rng(0).permutation(len(texts))
    starts = np.cumsum([int(share * len(texts)) for share in PARTS.values()])
    rows = dict(zip([*PARTS, "train"], np.split(order, starts), strict=True))
    rows["train"] = rows["train"][:samples]
    known = Counter(word for row in rows["train"] for word in split(texts[row][1])).most_common(VOCABULARY - 2)
    number = {word: place for place, (word, _) in enumerate(known, start=2)}  # 0 fills up, 1 is any other word
    length = max(len(split(text)) for _, text in texts)
    words = np.zeros((len(texts), length), np.int64)
    for row, (_, text) in enumerate(texts):
        numbers = [number.get(word, 1) for word in split(text)]
        words[row, : len(numbers)] = numbers
    labels = np.array([common.TOPICS.index(topic) for topic, _ in texts])
    splits = {name: {"words": words[chosen], "label": labels[chosen]} for name, chosen in rows.items()}
    common.write_arrays(folder, splits)
    module = build()
    given, wanted = (torch.from_numpy(splits["train"][name]) for name in ("words", "label"))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(given[rows]), wanted[rows])

    common.train(module, loss, len(given), epochs)
    common.write_source(folder, module, Path(__file__).parent)
    (folder / "source" / "vocabulary.txt").write_text("".join(f"{word}\n" for word in ("", "?", *number)))
    (folder / "source" / "labels.txt").write_text("".join(f"{topic}\n" for topic in common.TOPICS))
    with torch.no_grad():
        right = module(torch.from_numpy(splits["test"]["words"])).argmax(1).numpy() == splits["test"]["label"]
    print(f"trained: {right.mean():.1%} of {len(right)} held-out texts right; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/textclassifier"))
