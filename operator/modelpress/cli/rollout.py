"""`modelpress rollout …`: look at a change of version, and decide about it.

Every command only reads, or sets fields of `spec.rollout` that could as well be set in Git.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from modelpress.api.rollout import ActionKind
from modelpress.cli import rollout_words as words
from modelpress.cli.cluster import Cluster, connect
from modelpress.control.sender import ApiError, UnavailableError

LOOK_EVERY = 1.0
"""Seconds between two looks of `status`."""

Change = Callable[[Cluster], Awaitable[Mapping[str, Any]]]


@click.group()
@click.option("--kubeconfig", default="", help="Default: $KUBECONFIG, else ~/.kube/config.")
@click.option("-n", "--namespace", default="", help="Default: the context's.")
@click.pass_context
def command(context: click.Context, kubeconfig: str, namespace: str) -> None:
    """Look at a change of version, and decide about it."""
    context.obj = (kubeconfig, namespace)


@command.command()
@click.argument("name")
@click.option("--follow/--no-follow", default=True, help="Go on until it serves or a person must act. Default: follow.")
@click.pass_obj
def status(where: tuple[str, str], name: str, follow: bool) -> None:
    """Say how far the model NAME is. Exit code 1: a person must act."""

    async def look(cluster: Cluster) -> bool | None:
        shown = ""
        while True:
            model = await cluster.model()
            if (now := words.line(model)) != shown:
                click.echo(now)
                shown = now
            if (over := words.verdict(model)) is not None or not follow:
                return over
            await asyncio.sleep(LOOK_EVERY)

    sys.exit(1 if _run(where, name, look) is False else 0)


@command.command()
@click.argument("name")
@click.pass_obj
def history(where: tuple[str, str], name: str) -> None:
    """List the revisions of the model NAME, the newest first."""

    async def look(cluster: Cluster) -> list[tuple[str, str, str, str]]:
        return words.history(await cluster.model(), await cluster.revisions())

    rows = [("REVISION", "MADE", "ARTIFACT", "STATE"), *_run(where, name, look)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for *cells, last in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), last]))


@command.command()
@click.argument("name")
@click.option("--revision", help="The candidate that is meant. Default: whichever it is now.")
@click.pass_obj
def promote(where: tuple[str, str], name: str, revision: str | None) -> None:
    """Skip all steps that are left: the candidate of NAME takes over once a full set of it answers."""
    _decide(where, name, ActionKind.PROMOTE, revision)


@command.command()
@click.argument("name")
@click.option("--revision", help="The candidate that is meant. Default: whichever it is now.")
@click.pass_obj
def abort(where: tuple[str, str], name: str, revision: str | None) -> None:
    """Send the candidate of NAME back, until `retry`."""
    _decide(where, name, ActionKind.ABORT, revision)


@command.command()
@click.argument("name")
@click.option(
    "--to", "revision", help="Revision to serve. Default: what served before this one; beside a candidate, what serves."
)
@click.option("--end", is_flag=True, help="Take the pin back: serve what the rest of the spec asks for.")
@click.pass_obj
def undo(where: tuple[str, str], name: str, revision: str | None, end: bool) -> None:
    """Pin NAME to an older revision, whatever the rest of its spec asks for."""

    async def change(cluster: Cluster) -> Mapping[str, Any]:
        if end:
            return {"pinRevision": None}
        return words.undo(await cluster.model(), await cluster.revisions(), revision)

    _write(where, name, change)


@command.command()
@click.argument("name")
@click.pass_obj
def retry(where: tuple[str, str], name: str) -> None:
    """Have tried again what was rejected of NAME."""

    async def change(cluster: Cluster) -> Mapping[str, Any]:
        return words.retry(await cluster.model(), datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"))

    _write(where, name, change)


@command.command()
@click.argument("name")
@click.pass_obj
def pause(where: tuple[str, str], name: str) -> None:
    """Start and move nothing of NAME until `resume`."""
    _write(where, name, _fixed({"paused": True}))


@command.command()
@click.argument("name")
@click.pass_obj
def resume(where: tuple[str, str], name: str) -> None:
    """Go on with NAME after `pause`."""
    _write(where, name, _fixed({"paused": None}))


def _fixed(fields: Mapping[str, Any]) -> Change:
    async def change(_cluster: Cluster) -> Mapping[str, Any]:
        return fields

    return change


def _decide(where: tuple[str, str], name: str, kind: ActionKind, revision: str | None) -> None:
    async def change(cluster: Cluster) -> Mapping[str, Any]:
        return words.decision(await cluster.model(), kind, revision)

    _write(where, name, change)


def _write(where: tuple[str, str], name: str, change: Change) -> None:
    """Set what `change` says, and say so."""

    async def write(cluster: Cluster) -> Mapping[str, Any]:
        fields = await change(cluster)
        await cluster.patch(fields)
        return fields

    for field, value in _run(where, name, write).items():
        told = value if not isinstance(value, Mapping) else ", ".join(f"{key}: {part}" for key, part in value.items())
        click.echo(f"spec.rollout.{field} {'is removed' if value is None else f'is now {told}'}")


def _run(where: tuple[str, str], name: str, work: Callable[[Cluster], Awaitable[Any]]) -> Any:
    """Do `work` on the model `name`; what goes wrong is said in a sentence."""

    async def connected() -> Any:
        async with connect(*where, name) as cluster:
            return await work(cluster)

    try:
        return asyncio.run(connected())
    except words.NothingToDoError as error:
        raise click.ClickException(str(error)) from error
    except ApiError as error:
        told = f"There is no CompressedModel {name} in this namespace." if error.status == 404 else str(error)
        raise click.ClickException(told) from error
    except (UnavailableError, OSError) as error:
        raise click.ClickException(f"The cluster cannot be reached: {error}") from error
