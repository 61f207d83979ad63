"""Row: recipes that a search finds, beside those that were written by hand for the same examples.

Model, data, metrics and gates are the example's own. The search gets them in place of its stages, ten minutes, and
validation data; what both make is judged on the test data, which no search has seen, and timed in alternation.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpress.api.auto import Auto, AutoObjective
from modelpress.api.defaults import with_defaults
from modelpress.api.evaluation import Evaluation
from modelpress.api.tasks import OUT_FOLDER, TEST_FOLDER
from modelpress.compress.judge.judging import test_samples
from modelpress.compress.judge.latency import request
from modelpress.compress.judge.models import open_model
from modelpress.compress.layout import ASSETS, COMPRESSED, ORIGINAL
from modelpress.compress.search.front import Point, dominates
from modelpress.compress.search.measuring import loss_bound
from modelpress.compress.search.searching import UNTOUCHED
from modelpress.local import asking, making
from modelpress.local.asking import Asked
from modelpress.local.workspace import workspace
from modelpress.store.report import Report

from .product import quiet
from .protocol import Contestant, Job, Row, interleave, session
from .statistics import speedup

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {
    "digits": "model.yaml",
    "digits-onnx": "model.yaml",
    "gcn": "model.yaml",
    "graphs": "model.yaml",
    "lenet": "model.yaml",
    "minilm": "fidelity.yaml",
    "recommender": "model.yaml",
    "residual": "model.yaml",
    "textclassifier": "model.yaml",
    "tinylm": "model.yaml",
}
"""Examples, with the recipe that was written by hand."""
SEARCH = Auto(objective=AutoObjective.SIZE, max_time="10m")
SMOKE = Auto(objective=AutoObjective.SIZE, max_time="10m", max_trials=1)
BY_HAND, SEARCHED = "by hand", "searched"
PASSED = "passed"


def measure(job: Job) -> Row:
    """Run it. What an example gave is kept in the working folder, so that a run that was ended goes on."""
    contestants, dominated, dominating, refused, kept_as_it_came = [], [], [], [], []
    names = list(FILES)[:1] if job.smoke else job.only or list(FILES)
    for name in names:
        folder = job.work / name
        kept = folder / "found.json"
        if not kept.is_file():
            kept.write_text(json.dumps(_example(name, folder, job)))
        found = json.loads(kept.read_text())
        points = {way: Point(**one["point"]) for way, one in found.items()}
        contestants += [Contestant(f"{name}, {way}", one["figures"], way == SEARCHED) for way, one in found.items()]
        dominated += [name] if dominates(points[BY_HAND], points[SEARCHED]) else []
        dominating += [name] if dominates(points[SEARCHED], points[BY_HAND]) else []
        refused += [name] if found[SEARCHED]["figures"]["gates"] != PASSED else []
        kept_as_it_came += [name] if found[SEARCHED]["figures"]["recipe"] == UNTOUCHED else []
    return Row(
        name="auto",
        title="A search of ten minutes, against recipes written by hand",
        reach="on each example not dominated in (bytes, bound of the loss, p50)",
        beyond="dominates on each",
        contestants=contestants,
        reached=not dominated,
        surpassed=len(dominating) == len(names),
        remarks=[
            f"Dominated on {_listed(dominated)}; dominates on {_listed(dominating)}.",
            f"Refused by the example's own gates on the test data: {_listed(refused)}; kept as it came: "
            f"{_listed(kept_as_it_came)}. Nothing dominates a model as it came, but it is no smaller.",
            "Losses are those of the first metric on the test data, in its own unit; speedups are by the original.",
            "Each search had ten minutes and one thread; its default number of trials is 12.",
        ],
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _example(name: str, folder: Path, job: Job) -> dict[str, Any]:
    """Return point and figures of both ways."""
    shutil.rmtree(folder, ignore_errors=True)
    prepared = folder / "prepared"
    prepared.mkdir(parents=True)
    _prepare(name, prepared)
    moved = {f"s3://models/{name}/": f"{prepared / 'source'}/", f"s3://data/{name}/": f"{prepared / 'data'}/"}
    by_hand = asking.from_file(EXAMPLES / name / FILES[name], {}, moved)
    compression = by_hand.spec.compression.model_copy(update={"stages": None, "auto": SMOKE if job.smoke else SEARCH})
    searched = Asked(name, by_hand.spec.model_copy(update={"compression": compression}))
    outs = {BY_HAND: folder / "hand", SEARCHED: folder / "search"}
    made = {way: _made(asked, outs[way]) for way, asked in ((BY_HAND, by_hand), (SEARCHED, searched))}
    times = _times(by_hand.spec.evaluation or Evaluation(), outs, job.blocks)
    found = {}
    for way, (report, accepted) in made.items():
        size, loss = report.figures.compressed_bytes, loss_bound(report.figures.metrics[0])
        ratio = speedup(times[ORIGINAL], times[way])
        figures: dict[str, float | str] = {
            "bytes": size,
            "ratio": report.figures.original_bytes / size,
            "loss, bound": loss,
            "speedup": ratio.point,
            "bound": ratio.bound,
            "gates": PASSED if accepted else "refused",
        }
        if report.search is not None:
            figures |= {"recipe": report.search.result.name, "seconds": report.search.seconds}
        time = 1 / ratio.point
        found[way] = {"point": {"bytes": size, "loss": loss, "time": time, "time_low": time}, "figures": figures}
    return found


def _prepare(name: str, prepared: Path) -> None:
    """Run the example's own preparation; what it imports from beside it is its own."""
    for other in ("model", "common"):
        sys.modules.pop(other, None)
    found = importlib.util.spec_from_file_location(f"{name}_prepare", EXAMPLES / name / "prepare.py")
    assert found is not None and found.loader is not None
    module, before = importlib.util.module_from_spec(found), list(sys.path)
    try:
        found.loader.exec_module(module)
    finally:
        sys.path[:] = before
    module.main(prepared)


def _made(asked: Asked, out: Path) -> tuple[Report, bool]:
    """Do what `modelpress compress` does; keep what is judged, and by what, in `out`.

    Return the report, and whether the gates accept it on the test data.
    """
    with workspace(out.with_name(f"{out.name}-artifact"), replace=True) as place:
        made = making.make(asked, place, quiet)
        shutil.copytree(place.folder(OUT_FOLDER), out)
        shutil.copytree(place.folder(TEST_FOLDER), out / "test")
    return made.report, made.verdict.accepted


def _times(evaluation: Evaluation, outs: dict[str, Path], blocks: int) -> dict[str, NDArray[Any]]:
    """Return the seconds of one request each, all in alternation, by way; ORIGINAL stands for the original."""
    some = outs[BY_HAND]
    original = open_model(some, Path(ORIGINAL).parent.name, "the original", 1)
    full = with_defaults(evaluation)
    samples = test_samples(evaluation, full.metrics, original, some / "test", some / ASSETS, 0)
    feeds = request(samples.inputs, full.latency.batch_sizes[0], batched=original.batched)
    paths = {ORIGINAL: some / ORIGINAL} | {way: out / COMPRESSED for way, out in outs.items()}
    calls: dict[str, Callable[[], object]] = {way: partial(_ask, session(path), feeds) for way, path in paths.items()}
    return interleave(calls, blocks)


def _ask(running: Any, feeds: dict[str, NDArray[np.generic]]) -> object:
    return running.run(None, feeds)
