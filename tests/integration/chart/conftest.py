"""Helm, for real."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.programs import program

Template = Callable[..., list[dict[str, Any]]]


class HelmRefusedError(Exception):
    """What helm said instead of manifests."""


@pytest.fixture(scope="session")
def helm_template(repository: Path) -> Template:
    """Render the chart: `helm_template({values})` returns its manifests, or raises HelmRefusedError."""
    helm, chart = program("helm"), repository / "charts" / "modelpress"

    @functools.cache
    def render(values: str, *arguments: str) -> str:
        command = [helm, "template", "modelpress", chart, "--namespace=modelpress-system", "--values=-", *arguments]
        done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HelmRefusedError(done.stderr)
        return done.stdout

    def manifests(values: dict[str, Any] | None = None, *arguments: str) -> list[dict[str, Any]]:
        documents = yaml.load_all(render(json.dumps(values or {}), *arguments), Loader=yaml.CSafeLoader)
        return [document for document in documents if document]

    return manifests
