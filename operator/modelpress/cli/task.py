"""`modelpress task …`: one container of a Job does its task, as MODELPRESS_TASK says."""

from __future__ import annotations

import os
import sys

import click

from modelpress.tasks.running import TASKS, run


@click.command("task", help=__doc__)
@click.argument("kind", type=click.Choice(sorted(TASKS)))
def command(kind: str) -> None:
    """Do the task of `kind` and exit with its outcome."""
    sys.exit(run(kind, os.environ))
