"""Examples export a model each or two."""

from __future__ import annotations

from tests.support.exporter import one_table

__all__ = ["one_table"]
