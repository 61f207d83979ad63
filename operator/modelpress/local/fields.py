"""Which fields there are where somebody wrote one that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

ALIKE = 0.7
"""Share of letters by which a name is taken for another one, misspelt."""


def instead(root: type[BaseModel], place: Sequence[str | int]) -> str:
    """Return what could have been meant by the unknown field at `place` below `root`, in words."""
    names = [name for model in _models(root, place[:-1]) for name in _fields(model)]
    like = difflib.get_close_matches(str(place[-1]), names, n=1, cutoff=ALIKE)
    if like:
        return f"{like[0]} is one"
    return f"there are {', '.join(sorted(set(names)))}" if names else "leave it out"


def _models(root: type[BaseModel], place: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the types that may stand at `place`: several where a field takes one of several."""
    found = [root]
    for step in place:
        if isinstance(step, str):
            found = [inner for model in found if step in _fields(model) for inner in _inside(_fields(model)[step])]
    return found


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return what each field takes, by the name that is written in YAML."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the types of fields that an annotation names: of lists and mappings those of what they hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inside(part)
