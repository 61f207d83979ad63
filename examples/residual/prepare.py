"""Train the model on scikit-learn's digits and lay out source and data as modelpress reads them.

python examples/residual/prepare.py build/residual
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import common  # type: ignore[import-not-found]
from model import build  # type: ignore[import-not-found]


def main(folder: Path, epochs: int = 12) -> None:
    """Write source and data below `folder`."""
    torch.manual_seed(0)
    splits = common.digits()
    common.write_arrays(folder, splits)
    images, labels = (torch.from_numpy(splits["train"][name]) for name in ("image", "label"))
    module = build()

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(module(images[rows]), labels[rows])

    common.train(module, loss, len(labels), epochs)
    common.write_source(folder, module, Path(__file__).parent)
    with torch.no_grad():
        right = module(torch.from_numpy(splits["test"]["image"])).argmax(1).numpy() == splits["test"]["label"]
    print(f"trained: {right.mean():.1%} of {len(right)} held-out images right; written to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/residual"))
