"""`modelpress evaluate`: an artifact measured again, on other data."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .ending import ended, log_option


@click.command(epilog="Exit codes as of compress.")
@click.argument("artifact")
@click.option("--test", help="Test data: a path or URL. Default: where it was.")
@click.option("--train", help="Training data, to see whether test samples are in it.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="TYPE[:NAME=VALUE,…]",
    help="Measure this instead, accuracy say, agreement:kind=cosine, or f1:target=COLUMN,output=NAME. Repeatable.",
)
@click.option("--source", help="Folder or URL of the code that metrics of type entrypoint are functions of; it is run.")
@click.option("--batch-size", "batch_sizes", multiple=True, type=click.IntRange(1, 4096), help="Repeatable.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of the runtime.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.json and report.html. Default: none.")
@log_option
def command(
    artifact: str,
    test: str | None,
    train: str | None,
    metrics: tuple[str, ...],
    source: str | None,
    batch_sizes: tuple[int, ...],
    threads: int | None,
    out: Path | None,
    log: str,
) -> None:
    """Measure ARTIFACT, a folder or URL, again: what is not said stays as when it was made."""
    with ended(log) as console:
        from modelpress.local.artifact import open_artifact  # noqa: PLC0415 - --help need not wait for it
        from modelpress.local.compressing import told  # noqa: PLC0415
        from modelpress.local.evaluating import Question, evaluate  # noqa: PLC0415
        from modelpress.local.showing import as_json, screen  # noqa: PLC0415

        found = open_artifact(artifact)
        with screen(log, console) as shown:
            question = Question(test, train, metrics, batch_sizes, threads, source)
            made = evaluate(found, question, out, shown.tell)
        sys.exit(told(found.name, made, console, shown, plain=not as_json(log, console)))
