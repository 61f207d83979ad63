"""Versions that never come to serve: what is wrong with them shows only when pods hold them."""

from __future__ import annotations

from pathlib import Path

from tests.support import lookup
from tests.support.workplace import Workplace

ERRATIC, OTHERWISE_NAMED = "erratic", "otherwise-named"
"""ERRATIC answers other numbers each time, so never those that its judge got. OTHERWISE_NAMED has an output of another
name, so it shares no configuration with the others."""


def upload(workplace: Workplace, folder: Path) -> None:
    """Put them into the store."""
    lookup.write(folder / ERRATIC, lookup.table(5), noise=10.0)
    lookup.write(folder / OTHERWISE_NAMED, lookup.table(6), output="logits")
    for name in (ERRATIC, OTHERWISE_NAMED):
        workplace.put(folder / name, name)
