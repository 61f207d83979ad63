"""Which recipes make sense for a model. Pure.

A recipe has two parts: a shape, which changes the module (channels pruned, layers made thin, blocks cut) and trains it
again, and a store, which says how the weights of the exported graph are kept. Either may be nothing. Nothing here knows
any model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelpress.api.auto import AutoObjective
from modelpress.api.stages import Fuse, Stage

from . import shapes, stores
from .parts import NOTHING, Part
from .traits import Traits


@dataclass(frozen=True)
class Candidate:
    """One recipe."""

    shape: Part
    store: Part
    fuses: bool

    @property
    def name(self) -> str:
        """The recipe in a few words."""
        return ", ".join(part for part in (self.shape.name, self.store.name) if part) or "exported as it is"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The recipe."""
        fuse = (Stage(fuse=Fuse()),) if self.fuses else ()
        return (*self.shape.stages, *fuse, *self.store.stages)

    @property
    def trains(self) -> bool:
        """Whether it trains."""
        return any(stage.distill is not None or stage.finetune is not None for stage in self.shape.stages)

    def stored(self, store: Part) -> Candidate:
        """Return this shape with another store."""
        return replace(self, store=store)

    def shaped(self, shape: Part) -> Candidate:
        """Return this store with another shape."""
        return replace(self, shape=shape)


@dataclass(frozen=True)
class Space:
    """All that may be tried."""

    untouched: Candidate
    """Nothing but what costs nothing."""
    integers: tuple[Part, ...]
    """Stores that compute in integers."""
    weights: tuple[Part, ...]
    """Stores of weights alone, mildest first."""
    shapes: tuple[tuple[Part, ...], ...]
    """Shapes of each kind, mildest first."""


def space(traits: Traits, objective: AutoObjective) -> Space:
    """Return what may be tried on such a model."""
    kinds = (
        shapes.attending(traits, objective),
        shapes.pruned(traits, objective),
        shapes.factorized(traits),
        shapes.shortened(traits),
    )
    return Space(
        untouched=Candidate(NOTHING, NOTHING, traits.fuses),
        integers=tuple(stores.integers(traits, objective)),
        weights=tuple(stores.weights(traits)),
        shapes=tuple(kind for kind in kinds if kind),
    )
