"""Options of the form NAME=VALUE."""

from __future__ import annotations

from collections.abc import Iterable

import click


def as_mapping(pairs: Iterable[str], option: str) -> dict[str, str]:
    """Return `pairs`, each NAME=VALUE, by name, the longest first. Raises click.UsageError for one without a sign."""
    found = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.UsageError(f"{option} {pair} is not of the form NAME=VALUE.")
        found[name] = value
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))
