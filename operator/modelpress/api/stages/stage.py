"""One step of a recipe: exactly one of the stages."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, model_validator

from ..base import ApiType, rules
from .cut import Cut
from .distill import Distill
from .factorize import Factorize
from .finetune import Finetune
from .fuse import Fuse
from .prune import Prune
from .quantize import Quantize

STAGE_KINDS = ("prune", "cut", "factorize", "distill", "finetune", "fuse", "quantize")


class Stage(ApiType):
    """One step of a recipe. Exactly one key is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.prune), has(self.cut), has(self.factorize), has(self.distill), has(self.finetune),"
                " has(self.fuse), has(self.quantize)].filter(set, set).size() == 1",
                "each stage has exactly one key: prune, cut, factorize, distill, finetune, fuse or quantize",
            )
        )
    )

    prune: Prune | None = None
    """Remove weights or channels. Works on the torch module."""
    cut: Cut | None = None
    """Remove whole blocks. Works on the torch module."""
    factorize: Factorize | None = None
    """Put two thin layers in the place of one. Works on the torch module."""
    distill: Distill | None = None
    """Train what is left to answer as the source does. Works on the torch module."""
    finetune: Finetune | None = None
    """Train what is left. Works on the torch module."""
    fuse: Fuse | None = None
    """Fold batch normalization. Works on the torch module or on the exported graph, whichever the recipe is at."""
    quantize: Quantize | None = None
    """Store numbers in 8 bits. Works on the exported graph."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Stage:
        if len(self.keys()) != 1:
            kinds = ", ".join(STAGE_KINDS)
            raise ValueError(f"each stage has exactly one key of {kinds}; this one has {self.keys() or 'none'}")
        return self

    def keys(self) -> list[str]:
        """Return the keys that are set."""
        return [kind for kind in STAGE_KINDS if getattr(self, kind) is not None]

    @property
    def kind(self) -> str:
        """The one key that is set."""
        return self.keys()[0]

    @property
    def settings(self) -> Any:
        """What stands under the one key."""
        return getattr(self, self.kind)
