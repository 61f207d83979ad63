"""Half of a recipe: a shape or a store. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api.stages import Stage


@dataclass(frozen=True)
class Part:
    """A shape or a store: its name, and its stages."""

    name: str
    stages: tuple[Stage, ...]


NOTHING = Part("", ())
