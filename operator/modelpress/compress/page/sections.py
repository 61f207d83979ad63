"""What each part of the page says, from the report's figures. Pure functions; the template only lays it out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modelpress.api.intervals import CONFIDENCE
from modelpress.store.report import Histogram, LatencyDetail, LayerFigure, Report

from ..facts import CompressionFacts, Size, StageFacts
from . import numbers

SHOWN_LAYERS = 24
"""Layers with a bar of their own."""


@dataclass(frozen=True)
class Card:
    """One figure at the top."""

    title: str
    value: str
    note: str
    mood: str = ""
    """`good`, `bad` or nothing."""


@dataclass(frozen=True)
class LayerRow:
    """One layer's bytes."""

    name: str
    operator: str
    before: float
    """Part of the largest layer's bytes, in percent."""
    after: float
    sizes: str
    ratio: str


@dataclass(frozen=True)
class Speed:
    """Latency at one batch size."""

    title: str
    verdict: str
    how: str
    rows: tuple[tuple[str, str, str], ...]
    histogram: Histogram
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Weights:
    """One histogram of weights."""

    name: str
    note: str
    histogram: Histogram


@dataclass(frozen=True)
class NodeRow:
    """What quantization made of one node, and how much the outputs depend on it."""

    name: str
    bits: str
    loss: str
    part: float
    """Of the most sensitive node's loss, in percent, on a scale of square roots: small ones are seen too."""


@dataclass(frozen=True)
class StageRow:
    """What one stage did."""

    facts: StageFacts
    changes: tuple[tuple[str, str, str, str], ...]
    """(what, before, after, change)."""


def ratio(report: Report) -> tuple[str, str]:
    """Return how much smaller the result is, or larger, and the word for it."""
    found = report.figures.ratio
    return (numbers.times(found), "smaller") if found >= 1 else (numbers.times(1 / max(found, 1e-9)), "larger")


def headline(report: Report) -> str:
    """Return the page's first sentence."""
    figures = report.figures
    parts = [f"{numbers.size(figures.original_bytes)} became {numbers.size(figures.compressed_bytes)}"]
    if figures.metrics:
        first = figures.metrics[0]
        before, after = numbers.figure(first.original), numbers.figure(first.compressed)
        moved = f"stayed at {after}" if before == after else f"went from {before} to {after}"
        parts.append(f"{first.name} {moved}")
    if report.latency:
        parts.append(speed_words(report.latency[0]))
    return f"{', '.join(parts)}."


def speed_words(detail: LatencyDetail) -> str:
    """Return how much faster or slower the result is, or that it cannot be told."""
    if detail.speedup_low <= 1 <= detail.speedup_high:
        return "an answer takes about as long as before"
    if detail.speedup > 1:
        return f"it answers {detail.speedup:.2f}× as fast"
    return f"an answer takes {1 / detail.speedup:.2f}× as long"


def cards(report: Report) -> list[Card]:
    """Return the figures at the top."""
    figures = report.figures
    saved = 1 - figures.compressed_bytes / max(figures.original_bytes, 1)
    found = [
        Card(
            "Size on disk",
            numbers.size(figures.compressed_bytes),
            f"{100 * abs(saved):.0f} % {'less' if saved >= 0 else 'more'} than {numbers.size(figures.original_bytes)}",
            "good" if saved > 0 else "bad",
        )
    ]
    for metric in figures.metrics:
        better = (metric.compressed - metric.original) * (1 if metric.higher_is_better else -1)
        note = f"{numbers.signed(metric.compressed - metric.original)} from {numbers.figure(metric.original)}"
        found.append(Card(metric.name, numbers.figure(metric.compressed), note, "good" if better >= 0 else ""))
    if figures.agreement is not None:
        of = f"of {report.samples:,} test samples" if report.samples else "of random samples"
        found.append(Card("Same answer", f"{100 * figures.agreement:.1f} %", of))
    if report.latency:
        first = report.latency[0]
        half = numbers.milliseconds(first.compressed[first.percents.index(50.0)])
        mood = "good" if first.speedup_low > 1 else "bad" if first.speedup_high < 1 else ""
        note = f"{numbers.times(first.speedup)} the speed, batch {first.batch_size}"
        found.append(Card("Median latency", half, note, mood))
    if report.memory is not None:
        note = f"was {numbers.size(report.memory.original)}"
        found.append(Card("Memory to serve", numbers.size(report.memory.compressed), note))
    return found


def layers(report: Report) -> tuple[list[LayerRow], int]:
    """Return the largest layers in the order of the graph, and how many more there are."""
    most = max((layer.original_bytes for layer in report.layers), default=1) or 1
    chosen = sorted(range(len(report.layers)), key=lambda place: -report.layers[place].original_bytes)[:SHOWN_LAYERS]
    rows = [_layer(report.layers[place], most) for place in sorted(chosen)]
    return rows, len(report.layers) - len(rows)


def speeds(report: Report) -> list[Speed]:
    """Return latency at each batch size."""
    return [_speed(detail) for detail in report.latency]


def weights(report: Report) -> list[Weights]:
    """Return the histograms of weights: all of them, then the largest layers."""
    found = [Weights("All weights", "two axes or more", report.weights)] if report.weights else []
    found += [
        Weights(layer.name, f"{layer.operator}, {layer.parameters:,} values", layer.histogram)
        for layer in report.layers
        if layer.histogram is not None
    ]
    return found if len(found) > 2 else found[:1]


def stages(facts: CompressionFacts | None) -> list[StageRow]:
    """Return what each stage did."""
    return [StageRow(stage, _changes(stage.before, stage.after)) for stage in facts.stages] if facts else []


def sensitivities(facts: CompressionFacts | None) -> list[NodeRow]:
    """Return the nodes whose sensitivity a stage measured, the most sensitive first."""
    nodes = [node for stage in (facts.stages if facts else ()) for node in stage.layers if node.loss is not None]
    chosen = sorted(nodes, key=lambda node: -(node.loss or 0))[:SHOWN_LAYERS]
    most = max((node.loss or 0 for node in chosen), default=0) or 1.0
    return [
        NodeRow(
            name=node.name,
            bits=f"{node.bits:.3g} bits",
            loss=numbers.figure(node.loss or 0),
            part=100 * math.sqrt(max(node.loss or 0, 0) / most),
        )
        for node in chosen
    ]


def provenance(
    report: Report, facts: CompressionFacts | None, lineage: Mapping[str, str]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what it was measured on and what it comes from, as titled lists of names and values."""
    environment = {name: value for name, value in report.environment.items() if value}
    files = [*(("original", file) for file in report.original), *(("compressed", file) for file in report.compressed)]
    made = dict(facts.versions) if facts else {}
    measured = {"test samples": numbers.whole(report.samples), "seed": str(report.seed)}
    groups = {
        "Measured on": environment,
        "Made with": made,
        "Comes from": dict(lineage),
        "Test": measured,
        "Files": {file.path: f"{file.size:,} bytes · {file.digest}" for _, file in files},
    }
    return [(title, list(values.items())) for title, values in groups.items() if values]


def _layer(layer: LayerFigure, most: int) -> LayerRow:
    after = layer.compressed_bytes
    gone = after is None
    return LayerRow(
        name=layer.name,
        operator=layer.operator,
        before=100 * layer.original_bytes / most,
        after=0.0 if after is None else 100 * after / most,
        sizes=f"{numbers.size(layer.original_bytes)} → {'gone' if after is None else numbers.size(after)}",
        ratio="" if gone else numbers.times(layer.original_bytes / max(after or 1, 1)),
    )


def _speed(detail: LatencyDetail) -> Speed:
    wanted = [place for place, percent in enumerate(detail.percents) if percent in {50.0, 90.0, 99.0}]
    half = detail.percents.index(50.0)
    low, high = numbers.times(detail.speedup_low), numbers.times(detail.speedup_high)
    threads = "1 thread" if detail.threads == 1 else f"{detail.threads} threads"
    return Speed(
        title=f"Batch {detail.batch_size}",
        verdict=f"{numbers.times(detail.speedup)} the speed, {100 * CONFIDENCE:g} % bounds {low} … {high}",
        how=f"{detail.blocks} interleaved blocks, {threads}",
        rows=tuple(
            (
                f"p{detail.percents[place]:.0f}",
                numbers.milliseconds(detail.original[place]),
                numbers.milliseconds(detail.compressed[place]),
            )
            for place in wanted
        ),
        histogram=detail.histogram,
        marks=((detail.original[half], "before"), (detail.compressed[half], "after")),
    )


def _changes(before: Size, after: Size) -> tuple[tuple[str, str, str, str], ...]:
    names = (("parameters", "parameters"), ("nonzero", "not zero"), ("macs", "multiply-adds"), ("bytes", "bytes"))
    found = []
    for field, word in names:
        was, now = getattr(before, field), getattr(after, field)
        if was is None or now is None or (field == "nonzero" and (was, now) == (before.parameters, after.parameters)):
            continue
        change = "" if was == now or not was else numbers.percent(now / was - 1)
        found.append((word, numbers.whole(was), numbers.whole(now), change))
    return tuple(found)
