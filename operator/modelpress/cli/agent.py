"""`modelpress agent run` and `modelpress agent proxy`: the two sidecars of a serving pod."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import click

from modelpress.agent.settings import DRAIN_DELAY_SECONDS, Settings
from modelpress.api.tasks import TASK_VARIABLE, AgentTask


@click.group()
@click.option("--task", envvar=TASK_VARIABLE, default="{}", help="AgentTask as JSON.")
@click.option(
    "--listen", envvar="MODELPRESS_LISTEN", default="0.0.0.0", show_default=True, help="Address of open ports."
)
@click.option(
    "--port-offset", envvar="MODELPRESS_PORT_OFFSET", default=0, show_default=True, help="Added to every port."
)
@click.option(
    "--drain-delay",
    envvar="MODELPRESS_DRAIN_DELAY",
    default=DRAIN_DELAY_SECONDS,
    show_default=True,
    help="Seconds from the end's announcement to the drain.",
)
@click.pass_context
def command(context: click.Context, /, task: str, **others: Any) -> None:
    """Run what stands beside Triton in a serving pod."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    context.obj = Settings(task=AgentTask.model_validate_json(task), **others)


@command.command()
@click.pass_obj
def run(settings: Settings) -> None:
    """Bring the pod's models in, prove them, say when they answer, drain at the end."""
    from modelpress.agent import running  # noqa: PLC0415 - the proxy need not wait for it

    sys.exit(int(asyncio.run(running.run(settings))))


@command.command()
@click.pass_obj
def proxy(settings: Settings) -> None:
    """Become Envoy, the pod's only open way in."""
    from modelpress.agent import proxy as envoy_proxy  # noqa: PLC0415

    envoy_proxy.become(settings)
