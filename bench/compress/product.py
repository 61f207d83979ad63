"""modelpress's own path: a recipe in YAML, run as a pod or a laptop runs it, up to the ONNX files that Triton loads.

URIs in recipes begin with `bench://`; that stands for the folder that a row prepared: `source/` and `data/<role>/`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelpress.api.asked import compress_task
from modelpress.api.durations import seconds
from modelpress.api.results import Progress
from modelpress.api.stages import Stage
from modelpress.compress.facts import CompressionFacts
from modelpress.compress.layout import COMPRESSED, FACTS, ORIGINAL, Layout
from modelpress.compress.run import Compression
from modelpress.local import asking

RECIPES = Path(__file__).parent / "recipes"
START = "bench://"
Report = Callable[[Progress], None]
Columns = dict[str, np.ndarray[Any, Any]]


def quiet(_progress: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Product:
    """What a recipe made."""

    original: Path
    """The export of the untouched source, stripped."""
    compressed: Path
    facts: CompressionFacts


def write_data(prepared: Path, roles: dict[str, Columns]) -> None:
    """Write each role's columns to where recipes look: `bench://data/<role>/<role>.npz`."""
    for role, columns in roles.items():
        folder = prepared / "data" / role
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{role}.npz", allow_pickle=False, **columns)


def press(
    recipe: str, prepared: Path, work: Path, seed: int = 0, *, epochs: int | None = None, report: Report = quiet
) -> Product:
    """Run `recipes/<recipe>.yaml` on what lies in `prepared`; the result is below `work`, which is emptied first.

    What a run before left there of the same recipe and the same weights is taken as it is.
    `epochs`: of every stage that trains, instead of the recipe's: for harnesses that are only tried out.

    Raises Judged for a recipe that cannot be carried out.
    """
    key, kept = _key(recipe, prepared, seed, epochs), work / "key"
    if kept.is_file() and kept.read_text() == key:
        facts = CompressionFacts.model_validate_json((work / "out" / FACTS).read_text())
        return Product(work / "out" / ORIGINAL, work / "out" / COMPRESSED, facts)
    shutil.rmtree(work, ignore_errors=True)
    asked = asking.from_file(RECIPES / f"{recipe}.yaml", {}, {START: f"{prepared}/"})
    stages = tuple(_shortened(stage, epochs) for stage in asked.spec.compression.recipe)
    compression = asked.spec.compression.model_copy(update={"seed": seed, "stages": stages})
    spec = asked.spec.model_copy(update={"compression": compression})
    layout = Layout(
        source=prepared / "source",
        data=prepared / "data",
        out=work / "out",
        scratch=work / "scratch",
        message=work / "message",
        port=0,
    )
    for folder in (layout.out, layout.scratch):
        folder.mkdir(parents=True)
    task = compress_task(spec, seconds("24h"))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        facts = Compression(task, layout, report).run()
    shutil.rmtree(layout.scratch)
    kept.write_text(key)
    return Product(layout.out / ORIGINAL, layout.out / COMPRESSED, facts)


def _key(recipe: str, prepared: Path, seed: int, epochs: int | None) -> str:
    """Return what tells one product from another: its recipe, weights and seed."""
    weights = [path.read_bytes() for path in sorted((prepared / "source").glob("*.safetensors"))]
    parts = [(RECIPES / f"{recipe}.yaml").read_bytes(), *weights, f"{seed} {epochs}".encode()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _shortened(stage: Stage, epochs: int | None) -> Stage:
    """Return the stage with so many epochs, if it trains."""
    if epochs is None:
        return stage
    kinds = {kind: found for kind in ("finetune", "distill") if (found := getattr(stage, kind)) is not None}
    return stage.model_copy(update={kind: found.model_copy(update={"epochs": epochs}) for kind, found in kinds.items()})
