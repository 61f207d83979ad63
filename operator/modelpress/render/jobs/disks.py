"""Disks of the pods of Jobs, and where containers see them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from modelpress.api.tasks import (
    ANSWERS_FOLDER,
    DATA_FOLDER,
    OUT_FOLDER,
    REPORT_FOLDER,
    SCORES_FOLDER,
    SOURCE_FOLDER,
    TEST_FOLDER,
)

from ..containers import mount

FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "source": SOURCE_FOLDER,
        "data": DATA_FOLDER,
        "test": TEST_FOLDER,
        "out": OUT_FOLDER,
        "answers": ANSWERS_FOLDER,
        "scores": SCORES_FOLDER,
        "report": REPORT_FOLDER,
    }
)
"""Where each disk is seen."""


def disks(*names: str, write: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the mounts of the disks `names`, read-only but for those in `write`."""
    return [mount(name, FOLDERS[name], read_only=name not in write) for name in names]


def fetched(*names: str) -> list[dict[str, Any]]:
    """Return the mounts of the disks `names` in the container that fills them."""
    return disks(*names, write=names)
