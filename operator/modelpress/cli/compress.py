"""`modelpress compress`: a model from source to artifact on one's own machine, exactly as a pod would do it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .ending import ended, log_option
from .pairs import as_mapping


@click.command(
    epilog="Exit codes: 0 made, and every gate passed; 10 judged: the model, recipe or data is at fault, or a gate did"
    " not pass (then the artifact is there to be looked at); 20 the surroundings are at fault, try again later; 2 asked"
    " for what cannot be; 1 a crash; 129, 130, 143 its terminal is gone, interrupted, terminated."
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--preset", help="Without a YAML file: quantize by this preset, INT8_DYNAMIC say.")
@click.option(
    "--auto",
    type=click.Choice(["Latency", "Size"]),
    is_flag=False,
    flag_value="Size",
    help="Without a YAML file: search for a recipe that makes this small, by trials. Default: Size.",
)
@click.option("--task", help="Without a YAML file: what a transformer is used for. Default: as its config.json says.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the artifact. Default: <name>-compressed.")
@click.option("--force", is_flag=True, help="Replace the artifact that --out holds.")
@click.option("--train", help="Training data: a path or URL. Takes the place of the YAML file's.")
@click.option("--validation", help="Validation data.")
@click.option("--calibration", help="Calibration data.")
@click.option("--test", help="Test data, on which original and result are compared.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="TYPE[:NAME=VALUE,…]",
    help="Without a YAML file: measure this: accuracy, agreement:kind=cosine, f1:target=COLUMN. Repeatable.",
)
@click.option(
    "--map",
    "moved",
    multiple=True,
    metavar="START=PATH",
    help="URIs of the YAML file that begin with START lie at PATH here. Repeatable.",
)
@click.option("--no-cache", is_flag=True, help="Take nothing over from earlier runs, and keep nothing for later ones.")
@click.option("--dry-run", is_flag=True, help="Load the model once, and say what memory, disk and time it would take.")
@log_option
def command(
    model: Path,
    preset: str | None,
    auto: str | None,
    out: Path | None,
    force: bool,
    no_cache: bool,
    dry_run: bool,
    log: str,
    **given: Any,
) -> None:
    """Compress MODEL and compare it with the original.

    MODEL is a YAML file, a whole CompressedModel or its spec alone, or with --preset or --auto the folder or .onnx file
    of a model. Places are paths or URLs (file, s3, https, …); stores open with your own credentials.
    """
    from modelpress.api.roles import LEARNING_ROLES, TEST_ROLE  # noqa: PLC0415
    from modelpress.local import asking  # noqa: PLC0415 - others need not wait for it
    from modelpress.local.asked_error import AskedError  # noqa: PLC0415

    data = {role: place for role in (*LEARNING_ROLES, TEST_ROLE) if (place := given[role])}
    with ended(log) as console:
        if model.suffix in {".yaml", ".yml", ".json"}:
            if preset or auto:
                raise AskedError(
                    f"--{'preset' if preset else 'auto'} is for a model without a YAML file: the recipe is in the file."
                )
            asked = asking.from_file(model, data, as_mapping(given["moved"], "--map"))
        else:
            if bool(preset) == bool(auto):
                raise AskedError(f"{model} is no YAML file: name a --preset, INT8_DYNAMIC say, or --auto.")
            recipe = asking.with_preset(preset) if preset else asking.searched(auto or "")
            asked = asking.from_model(model, recipe, data, given["metrics"], given["task"])
        target = out or Path(f"{asked.name}-compressed")
        from modelpress.local.caching import cache_folder  # noqa: PLC0415
        from modelpress.local.compressing import compress, plan  # noqa: PLC0415

        if dry_run:
            sys.exit(plan(asked, target, console, log))
        cache = None if no_cache else cache_folder()
        sys.exit(compress(asked, target, console, log, replace=force, cache=cache))
