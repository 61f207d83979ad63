"""What the examples' prepare.py share: data that is on every machine, a plain training loop, the layout of a source."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file

Columns = dict[str, np.ndarray]
SIZES = {"test": 500, "validation": 197, "calibration": 100, "train": 1000}
"""Images of scikit-learn's digits in each split; together all 1,797."""
TOPICS = ("specialnames", "compound", "types", "formatstrings", "string-methods", "typesseq", "debugger")


def digits(seed: int = 0) -> dict[str, Columns]:
    """Return the splits of digits, each with `image` (n, 1, 8, 8) in 0…1 and `label` (n,)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = (found.images[:, None] / 16.0).astype(np.float32), found.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.split(order, np.cumsum(list(SIZES.values()))[:-1])
    return {name: {"image": images[part], "label": labels[part]} for name, part in zip(SIZES, parts, strict=True)}


def passages(words: int) -> list[tuple[str, str]]:
    """Return (topic, text) for long topics of Python's own reference, cut into passages of so many words, in order.

    It is real prose on every machine that has Python: `pydoc_data.topics`. Other topics repeat parts of these.
    """
    found = []
    for topic in TOPICS:
        plain = re.sub(r"\n[=*~^-]{3,}\n|[*`|+]|\s+", " ", topics[topic]).split()
        found += [(topic, " ".join(plain[start : start + words])) for start in range(0, len(plain) - words + 1, words)]
    return found


def train(
    module: torch.nn.Module,
    loss: Callable[[torch.Tensor], torch.Tensor],
    samples: int,
    epochs: int,
    rate: float = 3e-3,
    batch: int = 64,
) -> torch.nn.Module:
    """Return the module after AdamW on a cosine; `loss` takes the numbers of a batch's samples."""
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * -(-samples // batch))
    module.train()
    for _ in track(range(epochs), description=f"training {type(module).__name__}"):
        for rows in torch.randperm(samples).split(batch):
            optimizer.zero_grad()
            loss(rows).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return module.eval()


def prepare_digits(folder: Path, build: Callable[[], torch.nn.Module], example: Path, epochs: int) -> None:
    """Train what `build` returns to tell digits apart; write source and data below `folder`."""
    torch.manual_seed(0)
    splits = digits()
    write_arrays(folder, splits)
    images, labels = (torch.from_numpy(splits["train"][name]) for name in ("image", "label"))
    module = build()

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(images[rows]), labels[rows])

    train(module, loss, len(labels), epochs)
    write_source(folder, module, example)
    with torch.no_grad():
        right = module(torch.from_numpy(splits["test"]["image"])).argmax(1).numpy() == splits["test"]["label"]
    print(f"trained: {right.mean():.1%} of {len(right)} held-out images right; written to {folder}")


def write_source(folder: Path, module: torch.nn.Module, example: Path) -> None:
    """Write `model.py` of the example and the module's weights to `folder`/source."""
    (folder / "source").mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, weights_of(folder))
    shutil.copy(example / "model.py", folder / "source" / "model.py")


def weights_of(folder: Path) -> Path:
    """Return where weights lie."""
    return folder / "source" / "weights.safetensors"


def write_arrays(folder: Path, splits: Mapping[str, Columns]) -> None:
    """Write `folder`/data/<split>.npz."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, columns in splits.items():
        np.savez(folder / "data" / f"{name}.npz", **columns)


def write_lists(folder: Path, split: str, rows: list[dict[str, np.ndarray]]) -> None:
    """Write samples of different sizes to `folder`/data/<split>.jsonl."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({name: value.tolist() for name, value in row.items()}) + "\n" for row in rows)
    (folder / "data" / f"{split}.jsonl").write_text("".join(lines))
