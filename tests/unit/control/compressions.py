"""What tests of compressions share: Jobs that end in some way, and how many were made."""

from __future__ import annotations

from typing import Any

from tests.support.models import a_resolution
from tests.support.world import ROLE, Ends, World


def compression(outcome: Any) -> Any:
    """Return a script by which resolving works and everything else ends like `outcome`."""
    return lambda job: Ends(message=a_resolution()) if job["metadata"]["labels"][ROLE] == "resolve" else outcome


def set_token(token: str) -> Any:
    return lambda spec: spec.__setitem__("rollout", {"strategy": "BlueGreen", "retryToken": token})


def made(world: World, kind: str = "Job") -> list[str]:
    return [name for name in world.created if name.startswith(kind) and "resolve" not in name]
