"""`conclude`: what functions of the source made of the answers becomes figures of the report, beside the judge's own.

None of that code runs here. Its scores are numbers for each sample, and the figure of such a metric is their mean; no
other figure is touched by them.
"""

from __future__ import annotations

from pathlib import Path

from modelpress.api import gates
from modelpress.api.defaults import EffectiveMetric, with_defaults
from modelpress.api.evaluation import Evaluation, MeasuredOn, of_the_source
from modelpress.api.figures import MetricFigure
from modelpress.api.tasks import ANSWERS_FOLDER, OUT_FOLDER, REPORT_FOLDER, SCORES_FOLDER
from modelpress.store.locations import in_root
from modelpress.store.manifest import PAGE_FILE, REPORT_FILE
from modelpress.store.report import Report

from .. import page
from ..layout import FACTS
from .metrics import Scorer
from .recording import Recorded, read_scores


def conclude() -> None:
    """Put the figures into the report in REPORT_FOLDER, and write it anew. Raises Judged with EntrypointFailed."""
    folder = in_root(REPORT_FOLDER)
    report = Report.model_validate_json((folder / REPORT_FILE).read_bytes())
    write(concluded(report, in_root(ANSWERS_FOLDER), in_root(SCORES_FOLDER)), folder, in_root(OUT_FOLDER))


def concluded(report: Report, answers: Path, scores: Path) -> Report:
    """Return `report` with the figures that come of `scores`, in the order in which they were asked for, and its gates
    judged. Raises Judged with EntrypointFailed.
    """
    asked = Evaluation.model_validate(report.evaluation)
    metrics = tuple(with_defaults(metric) for metric in asked.metrics or ())
    recorded = Recorded(answers)
    found = {figure.name: figure for figure in report.figures.metrics}
    found |= {metric.name: _figure(metric, recorded, scores, report.seed) for metric in of_the_source(metrics)}
    figures = report.figures.model_copy(update={"metrics": tuple(found[metric.name] for metric in metrics)})
    judged = gates.judge(figures, gates.measured_on(MeasuredOn.COMPRESSION, asked.gates))
    return report.model_copy(update={"figures": figures, "gates": tuple(judged)})


def write(report: Report, folder: Path, out: Path) -> None:
    """Write report.json and report.html into `folder`; `out`: the folder that compression left."""
    text = report.model_dump_json(by_alias=True, exclude_none=True, indent=1)
    (folder / REPORT_FILE).write_text(text, encoding="utf-8")
    (folder / PAGE_FILE).write_text(page.render(report, page.facts_at(out / FACTS)), encoding="utf-8")


def _figure(metric: EffectiveMetric, recorded: Recorded, scores: Path, seed: int) -> MetricFigure:
    scorer = Scorer(metric, output="")
    scorer.take(*read_scores(scores, metric.name, recorded.index.samples))
    return scorer.figure(seed, recorded.group())
