"""`modelpress report`: report.html out of report.json."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from .ending import ended


@click.command()
@click.argument("artifact")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: <name>.html here.")
@click.option("--open", "opened", is_flag=True, help="Show it in a browser.")
def command(artifact: str, out: Path | None, opened: bool) -> None:
    """Write report.html for ARTIFACT: the folder or URL of one, or a report.json."""
    with ended("text"):
        from modelpress.compress import page  # noqa: PLC0415 - --help need not wait for it
        from modelpress.local.artifact import open_artifact, read_report  # noqa: PLC0415

        if Path(artifact).is_file():
            report = read_report(Path(artifact).read_bytes(), artifact)
            text, name = page.render(report, page.facts_at(Path(artifact).with_name("compression.json"))), report.name
        else:
            found = open_artifact(artifact)
            report, name = found.report(), found.name
            with tempfile.TemporaryDirectory() as scratch:
                facts = found.facts(Path(scratch))
            text = page.render(report, facts, found.manifest.lineage | {"manifest": found.digest})
        target = (out or Path(f"{name or 'report'}.html")).resolve()
        beside = target.with_name(f".{target.name}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(text, encoding="utf-8")
            beside.rename(target)
        except OSError as error:
            raise click.UsageError(f"--out {target} cannot be written: {error.strerror}.") from error
        click.echo(target)
        if opened:
            webbrowser.open(target.as_uri())
