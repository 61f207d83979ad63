"""Train a recommender and lay out source and data as modelpress reads them.

    python examples/recommender/prepare.py build/recommender

Users and items are made up: each has a hidden taste; a user's clicks and ratings follow from both and from some numbers
(the hour, the price), with noise. What a user liked before is drawn by the same taste.
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

USERS, ITEMS, NUMBERS = 4000, 2000, 4
TASTES = 6
"""Numbers of a hidden taste."""
HISTORY = 12
"""Most items that are known to have been liked before."""
PARTS = {"test": 4000, "validation": 1000, "calibration": 256}


def interactions(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return so many pairs of user and item, with what led to a click and a rating; item 0 only fills up."""
    random = np.random.default_rng(seed)
    tastes, features = random.normal(size=(USERS, TASTES)), random.normal(size=(ITEMS, TASTES))
    history = np.zeros((USERS, HISTORY), np.int64)
    for user, taste in enumerate(tastes):
        shown = random.integers(1, ITEMS, 4 * HISTORY)
        liked = shown[np.argsort(-(features[shown] @ taste))][: random.integers(3, HISTORY + 1)]
        history[user, : len(liked)] = liked
    user, item = random.integers(0, USERS, count), random.integers(1, ITEMS, count)
    numbers = random.normal(size=(count, NUMBERS))
    liking = (tastes[user] * features[item]).sum(1) / TASTES**0.5 + numbers @ [0.5, -0.4, 0.2, 0.0]
    return {
        "user": user,
        "item": item,
        "history": history[user],
        "numbers": numbers.astype(np.float32),
        "clicked": (random.random(count) < 1 / (1 + np.exp(-2 * liking))).astype(np.int64),
        "rated": (3 + liking + 0.3 * random.normal(size=count)).clip(1, 5).astype(np.float32)[:, None],
    }


def main(folder: Path, epochs: int = 8, samples: int = 150_000) -> None:
    """Write source and data below `folder`; train on so many interactions."""
    torch.manual_seed(0)
    columns = interactions(samples + sum(PARTS.values()))
    starts = [0, *np.cumsum(list(PARTS.values()))]
    parts = [*zip(PARTS, starts, starts[1:], strict=False), ("train", starts[-1], None)]
    splits = {name: {key: column[start:end] for key, column in columns.items()} for name, start, end in parts}
    common.write_arrays(folder, splits)
    module = build(USERS, ITEMS, NUMBERS)
    given = {name: torch.from_numpy(column) for name, column in splits["train"].items()}

    def loss(rows: torch.Tensor) -> torch.Tensor:
        answers = module(*(given[name][rows] for name in ("user", "item", "history", "numbers")))
        clicks = torch.nn.functional.cross_entropy(answers["click"], given["clicked"][rows])
        return clicks + torch.nn.functional.mse_loss(answers["rating"], given["rated"][rows])

    common.train(module, loss, samples, epochs, rate=1e-2, batch=512)
    common.write_source(folder, module, Path(__file__).parent)
    test = {name: torch.from_numpy(column) for name, column in splits["test"].items()}
    with torch.no_grad():
        answers = module(test["user"], test["item"], test["history"], test["numbers"])
    right = (answers["click"].argmax(1) == test["clicked"]).float().mean()
    error = (answers["rating"] - test["rated"]).abs().mean()
    print(f"trained: {right:.1%} of the clicks foreseen, ratings off by {error:.3f}; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/recommender"))
