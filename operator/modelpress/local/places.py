"""Paths where a cluster wants URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")


def located_uri(place: str) -> str:
    """Return a path or URL of the command line as a URL."""
    return _located_uri(place, Path(), {})


def located(value: Any, folder: Path, moved: Mapping[str, str]) -> Any:
    """Return `value` with every `uri` in it as a URL of this machine."""
    if isinstance(value, dict):
        return {
            key: _located_uri(part, folder, moved)
            if key == "uri" and isinstance(part, str)
            else located(part, folder, moved)
            for key, part in value.items()
        }
    return [located(part, folder, moved) for part in value] if isinstance(value, list) else value


def _located_uri(uri: str, folder: Path, moved: Mapping[str, str]) -> str:
    for start, here in moved.items():
        if uri.startswith(start):
            rest = uri.removeprefix(start)
            joined = here if not rest else f"{here.rstrip('/')}/{rest.lstrip('/')}"
            return located_uri(joined)
    if SCHEME.match(uri):
        return uri
    return f"file://{(folder / Path(uri).expanduser()).resolve()}"
