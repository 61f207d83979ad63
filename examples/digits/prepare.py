"""Train SimpleNet on scikit-learn's digits and lay out source and data as modelpress reads them.

    python examples/digits/prepare.py build/digits

writes
    source/model.py, source/weights.safetensors, source/labels.txt
    data/train.npz, data/validation.npz, data/calibration.npz, data/test.npz
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file
from sklearn.datasets import load_digits

sys.path.insert(0, str(Path(__file__).parent))
from model import build  # type: ignore[import-not-found]

SPLITS = {"test": 500, "validation": 197, "calibration": 100, "train": 1000}
"""Images in each split; together all 1,797."""


def split_digits(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Return the splits, each with `image` (n, 1, 8, 8) in 0…1 and `label` (n,)."""
    digits = load_digits()
    images = (digits.images[:, None] / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    splits, start = {}, 0
    for name, count in SPLITS.items():
        chosen = order[start : start + count]
        splits[name] = {"image": images[chosen], "label": labels[chosen]}
        start += count
    return splits


def train(data: dict[str, np.ndarray], epochs: int = 60, seed: int = 0) -> torch.nn.Module:
    """Return SimpleNet trained on `data`."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # so small a network is slower on more
    module = build()
    images, labels = torch.from_numpy(data["image"]), torch.from_numpy(data["label"])
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in track(range(epochs), description="training SimpleNet"):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
    return module.eval()


def main(folder: Path) -> None:
    """Write source and data below `folder`."""
    (folder / "source").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    splits = split_digits()
    for name, arrays in splits.items():
        np.savez(folder / "data" / f"{name}.npz", **arrays)
    module = train(splits["train"])
    save_file(module.state_dict(), folder / "source" / "weights.safetensors")
    shutil.copy(Path(__file__).parent / "model.py", folder / "source" / "model.py")
    (folder / "source" / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    with torch.no_grad():
        right = module(torch.from_numpy(splits["test"]["image"])).argmax(1).numpy() == splits["test"]["label"]
    print(f"trained: {right.mean():.1%} of {len(right)} held-out images right; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/digits"))
