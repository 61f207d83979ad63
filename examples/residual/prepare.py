"""Train the model on scikit-learn's digits and lay out source and data as modelpress reads them.

python examples/residual/prepare.py build/residual
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import common  # type: ignore[import-not-found]
from model import build  # type: ignore[import-not-found]


def main(folder: Path, epochs: int = 12) -> None:
    """Write source and data below `folder`."""
    common.prepare_digits(folder, build, Path(__file__).parent, epochs)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/residual"))
