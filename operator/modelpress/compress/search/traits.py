"""What decides which recipes make sense for a model: what it is, and what data there is. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api.objective import Loss
from modelpress.api.stages import Prune
from modelpress.store.search import Sensitivity


@dataclass(frozen=True)
class BlockList:
    """Blocks that may be cut."""

    name: str
    count: int
    removable: int
    """How many of them can go without breaking the shapes of their neighbours."""


@dataclass(frozen=True)
class Traits:
    """What decides which recipes make sense."""

    dense: int = 0
    """Matrix products with a constant."""
    convolutions: int = 0
    tables: float = 0.0
    """Part of the bytes of all weights that lies in embedding tables."""
    fuses: bool = False
    """Whether there is a normalization that can be folded."""
    attends: bool = False
    """Whether there is attention that one operator can compute."""
    calibrates: bool = False
    """Whether there is data to calibrate with."""
    pruning: Prune | None = None
    """How channels are ranked best, as was measured; the amount is not looked at. None: none can go, or nothing would
    train what is left."""
    factorizes: bool = False
    """Whether there are layers that two thin ones can take the place of, and training data to train them with."""
    width: float = 0.0
    """Channels that layers answer with, at the median."""
    blocks: BlockList | None = None
    epochs: int = 0
    """Epochs that a trial may train; 0: nothing trains."""
    loss: Loss | None = None
    """What training makes small beside the original's answers; None: nothing trains."""
    sensitivities: tuple[Sensitivity, ...] = ()
