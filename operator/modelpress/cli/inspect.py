"""`modelpress inspect`: what is in a model, and what could be done to it."""

from __future__ import annotations

from pathlib import Path

import click

from .ending import ended, log_option


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--layers", default=20, show_default=True, help="Largest layers that are shown; 0: all.")
@log_option
def command(path: Path, layers: int, log: str) -> None:
    """Say what is in the model at PATH: a file, a folder or an artifact. None of its code is run."""
    with ended(log) as console:
        from modelpress.local.inspecting import inspect  # noqa: PLC0415 - --help need not wait for it
        from modelpress.local.showing import Lines, as_json  # noqa: PLC0415
        from modelpress.local.tables import inspection_tables  # noqa: PLC0415

        found = inspect(path)
        if as_json(log, console):
            Lines().say("inspected", **found.to_wire())
        else:
            for part in inspection_tables(found, layers):
                console.print(part)
