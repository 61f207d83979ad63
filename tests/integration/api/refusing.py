"""Applying a manifest, and what the API server says of it."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.api.specs import model, spec_with
from tests.support.apiserver import ApiServer

NAME = "digits"


def apply(server: ApiServer, manifest: dict[str, Any], *more: str) -> str:
    """Apply `manifest`; return the message of the refusal, or nothing."""
    done = server.kubectl("apply", "-f", "-", *more, stdin=json.dumps(manifest))
    return done.stderr if done.returncode else ""


def refusal(server: ApiServer, path: str, value: Any) -> str:
    """Return how a spec is refused that has `value` at `path`, without what the API server found there."""
    said = apply(server, model(NAME, spec_with(path, value)), "--dry-run=server")
    return said.replace("Invalid value: null: ", "Invalid value: ").replace(
        'Invalid value: "object": ', "Invalid value: "
    )
