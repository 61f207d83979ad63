"""`modelpress agent run` and `modelpress agent proxy`: the two sidecars of a serving pod."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from modelpress.agent.settings import Settings
from modelpress.triton.config import Backend

_DEFAULT = Settings()


def _option(flag: str, help_text: str, kind: Any, default: Any) -> Callable[[Any], Any]:
    variable = "MODELPRESS_" + flag.removeprefix("--").upper().replace("-", "_")
    return click.option(flag, envvar=variable, type=kind, default=default, show_default=True, help=help_text)


_OPTIONS = (
    _option("--models-folder", "Folder of models.json.", Path, _DEFAULT.models),
    _option("--run-folder", "Folder that the pod's containers share.", Path, _DEFAULT.run),
    _option("--repository-folder", "Triton's model repository.", Path, _DEFAULT.repository),
    _option(
        "--triton-backend", "Backend that runs ONNX in Triton's image.", click.Choice([*Backend]), _DEFAULT.backend
    ),
    _option("--termination-message", "Where a failure is written.", Path, _DEFAULT.termination_message),
    _option("--listen", "Address of the open ports.", str, _DEFAULT.listen),
    _option("--port-offset", "Added to every port.", int, _DEFAULT.port_offset),
    _option("--drain-delay", "Seconds from the end's announcement to the drain.", float, _DEFAULT.drain_delay),
    _option("--drain-limit", "Longest drain, in seconds.", float, _DEFAULT.drain_limit),
)


def _with_settings(function: Callable[[Settings], None]) -> Callable[..., None]:
    """Give `function` the Settings that the options say."""

    def call(
        models_folder: Path, run_folder: Path, repository_folder: Path, triton_backend: str, **others: Any
    ) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        backend = Backend(triton_backend)
        function(
            Settings(models=models_folder, run=run_folder, repository=repository_folder, backend=backend, **others)
        )

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    found: Callable[..., None] = call
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


@click.group()
def command() -> None:
    """Run what stands beside Triton in a serving pod."""


@command.command()
@_with_settings
def run(settings: Settings) -> None:
    """Bring the pod's models in, prove them, say when they answer, drain at the end."""
    from modelpress.agent import running  # noqa: PLC0415 - the proxy need not wait for it

    sys.exit(int(asyncio.run(running.run(settings))))


@command.command()
@_with_settings
def proxy(settings: Settings) -> None:
    """Become Envoy, the pod's only open way in."""
    from modelpress.agent import proxy as envoy_proxy  # noqa: PLC0415

    envoy_proxy.become(settings)
