"""`modelpress operator`: run the operator until a signal. Every option can be given as MODELPRESS_OPERATOR_<OPTION>."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from modelpress.control import logs
from modelpress.control.settings import BadSettingsError, Settings

Function = TypeVar("Function", bound=Callable[..., Any])


def _option(name: str, help_text: str, **more: Any) -> Callable[[Function], Function]:
    """Return the option that fills the setting `name`; what is not given keeps the setting's own default."""
    return click.option(f"--{name.replace('_', '-')}", name, default=None, help=help_text + _default_of(name), **more)


def _default_of(name: str) -> str:
    found = next(setting.default for setting in fields(Settings) if setting.name == name)
    return "" if found is MISSING or found in ((), "") else f" Default: {found}."


@click.command()
@_option("namespace", "Namespace of the Lease: the operator's own. Default: the pod's.")
@click.option(
    "--watch-namespaces",
    default="",
    help="Namespaces to serve, separated by commas. Default: all of the cluster.",
)
@_option(
    "kubeconfig", "File that says how to reach the API server. Default: $KUBECONFIG, else the pod's service account."
)
@_option("installation", "File with images and defaults.", type=click.Path(path_type=Path))
@_option("lease_name", "Name of the Lease by which one operator leads.")
@_option("identity", "Who holds the Lease. Default: the pod's name.")
@_option("lease_duration", "Seconds until others may take over.", type=float)
@_option("renew_deadline", "Seconds without a renewal after which nothing is written any more.", type=float)
@_option("retry_period", "Seconds between renewals.", type=float)
@_option("request_timeout", "Seconds that one request may take.", type=float)
@_option("requests_per_second", "Average rate of requests to the API server.", type=float)
@_option("workers", "Models worked on at a time.", type=int)
@_option("resync", "Seconds in which every model is looked at once without cause.", type=float)
@_option("watch_timeout", "Seconds after which a watch is renewed.", type=float)
@_option("watch_silence", "Seconds of a watch's silence that turn the health probe red.", type=float)
@_option("progress_interval", "Seconds between questions to compression pods.", type=float)
@_option("counts_interval", "Seconds between readings of a canary's requests.", type=float)
@_option("http_host", "Address that probes and metrics are served on.")
@_option("http_port", "Port that probes and metrics are served on.", type=int)
@_option("log_level", "debug, info, warning or error.", type=click.Choice(["debug", "info", "warning", "error"]))
def command(watch_namespaces: str, **given: Any) -> None:
    """Watch CompressedModels and make them so."""
    from modelpress.control import operator  # noqa: PLC0415 - imports kopf, which --help needs not wait for
    from modelpress.control.planner import plan  # noqa: PLC0415
    from modelpress.render.installation import Installation  # noqa: PLC0415

    namespaces = tuple(part for name in watch_namespaces.split(",") if (part := name.strip()))
    try:
        settings = Settings(
            watch_namespaces=namespaces, **{name: value for name, value in given.items() if value is not None}
        )
        installation = Installation.model_validate(yaml.safe_load(settings.installation.read_text()) or {})
    except (BadSettingsError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    prometheus = installation.prometheus
    if prometheus is not None and prometheus.analysis_queries:
        settings = replace(settings, prometheus=prometheus.address)
    logs.set_up(settings.log_level)
    sys.exit(asyncio.run(operator.run(settings, plan, installation)))
