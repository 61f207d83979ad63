"""Choosing layers or nodes by name or by `re:<regular expression>`. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from modelpress.api.reasons import Reason

from ..errors import Judged

EXPRESSION = "re:"


def select(
    patterns: Iterable[str], names: Collection[str], what: str, *, nested: bool = False, where: str = "ignore"
) -> set[str]:
    """Return the names that match any pattern; a pattern that matches nothing raises Judged.

    `nested`: a name stands for everything below it too, as `encoder` for `encoder.0.weight`. `where`: the field that
    holds the patterns, for sentences.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        if pattern.startswith(EXPRESSION):
            try:
                expression = re.compile(pattern.removeprefix(EXPRESSION))
            except re.error as error:
                raise Judged(Reason.RECIPE_INVALID, f"{where}: {pattern} is no regular expression: {error}.") from error
            found = {name for name in names if expression.fullmatch(name)}
        else:
            found = {name for name in names if name == pattern or (nested and name.startswith(f"{pattern}."))}
        if not found:
            near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.3) or sorted(names)[:5]
            raise Judged(
                Reason.RECIPE_INVALID,
                f"{where}: no {what} is called {pattern}; there are for example {', '.join(near)}.",
            )
        chosen |= found
    return chosen
