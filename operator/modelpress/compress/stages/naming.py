"""Choosing layers or nodes by name or by `re:<regular expression>`. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from modelpress.api.reasons import Reason

from ..errors import Judged

EXPRESSION = "re:"


def select(
    patterns: Iterable[str], names: Collection[str], what: str, *, nested: bool = False, field: str = "ignore"
) -> set[str]:
    """Return the names that match any pattern; a pattern that matches nothing raises Judged.

    `nested`: a name stands for everything below it too, as `encoder` for `encoder.0.weight`. `field` is where the
    patterns stand in the recipe.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = matching(pattern, names, nested=nested, field=field)
        if not found:
            near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.3) or sorted(names)[:5]
            others = f"there are for example {', '.join(near)}" if near else "there is none at all"
            raise Judged(Reason.RECIPE_INVALID, f"{field}: no {what} is called {pattern}; {others}.")
        chosen |= found
    return chosen


def matching(pattern: str, names: Iterable[str], *, nested: bool = False, field: str = "ignore") -> set[str]:
    """Return the names that match one pattern, if any does. Raises Judged for what is no regular expression."""
    if not pattern.startswith(EXPRESSION):
        return {name for name in names if name == pattern or (nested and name.startswith(f"{pattern}."))}
    try:
        expression = re.compile(pattern.removeprefix(EXPRESSION))
    except re.error as error:
        raise Judged(Reason.RECIPE_INVALID, f"{field}: {pattern} is no regular expression: {error}.") from error
    return {name for name in names if expression.fullmatch(name)}
