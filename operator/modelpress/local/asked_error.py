"""What cannot be meant."""

from __future__ import annotations


class AskedError(ValueError):
    """What was asked for cannot be meant; the message says where and what to do. Exit code 2."""
