"""What a person sees at the end: sizes, quality with its bounds, latency, gates; and a dry run's plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelpress.api.figures import LatencyFigure, MetricFigure
from modelpress.api.gate_sentences import counted
from modelpress.api.gates import change_bounds
from modelpress.api.intervals import CONFIDENCE
from modelpress.api.readable import figure
from modelpress.api.resources import GateOutcome
from modelpress.compress.page.numbers import signed
from modelpress.store.report import Report
from modelpress.store.search import Search

from .making import Made

if TYPE_CHECKING:  # torch and onnx are not needed to show what they found
    from .estimating import Estimate
    from .inspecting import Inspection

COLOURS = {"Pass": "green", "Fail": "red", "Inconclusive": "yellow"}


def show(console: Console, name: str, made: Made) -> None:
    """Print what compression brought and cost, the gates, the warnings, and where it all lies."""
    for sentence in made.refused:
        console.print(Text(sentence))
    if made.rung is not None:
        name = f"{name}, rung {made.rung}"
    if made.report.search is not None:
        show_search(console, made.report.search)
    console.print(figures_table(f"{name}: what compression brought and cost", made.report))
    if made.gates:
        console.print(gates_table(made.gates))
    for warning in made.warnings:
        console.print(Text.assemble(("! ", "yellow"), warning))
    kept = f"  {made.out}, with report.html in it" if made.out else ""
    console.print(Text.assemble(_verdict(made), kept))


def show_search(console: Console, search: Search) -> None:
    """Print the trials that are on the front, and why one of them was chosen."""
    console.print(front_table(search))
    for note in search.notes:
        console.print(Text(note))
    console.print(Text(search.why))


def front_table(search: Search) -> Table:
    """Return the trials that no other dominates, and the one that was chosen."""
    tried = len(search.trials) - 1
    title = f"the front of {tried} trials on {search.samples:,} samples ({search.data}), {duration(search.seconds)}"
    table = Table(title=title, title_justify="left")
    for column in ("", "recipe", "bytes", f"{search.loss} loses at most", "speed", "gates"):
        table.add_column(column, justify="left" if column in {"", "recipe", "gates"} else "right", overflow="fold")
    for trial in search.trials:
        if trial.figures is None or not (trial.front or trial.number == search.chosen):
            continue
        chosen = trial.number == search.chosen
        table.add_row(
            str(trial.number),
            Text(trial.name),
            f"{trial.figures.compressed_bytes:,}",
            figure(trial.loss_bound or 0.0),
            f"{trial.speedup or 1.0:.2f}x",
            Text(trial.verdict, "red") if trial.verdict else Text("passed", "green"),
            style="bold" if chosen else "",
        )
    return table


def figures_table(title: str, report: Report) -> Table:
    """Return sizes, metrics with the bounds of their change, and latency."""
    figures = report.figures
    table = Table(title=title, title_justify="left")
    for column in ("", "original", "compressed", ""):
        table.add_column(column, justify="left" if not column else "right", overflow="fold")
    table.add_row(
        "bytes on disk", f"{figures.original_bytes:,}", f"{figures.compressed_bytes:,}", f"{figures.ratio:.1f}x"
    )
    for metric in figures.metrics:
        table.add_row(metric.name, figure(metric.original), figure(metric.compressed), change(metric))
    if figures.agreement is not None:
        table.add_row("same answers", "", f"{figures.agreement:.2%}", "")
    speedups = {detail.batch_size: detail.speedup for detail in report.latency}
    for latency in figures.latency:
        table.add_row(*_latency_row(latency, speedups.get(latency.batch_size)))
    return table


def change(metric: MetricFigure, confidence: float = CONFIDENCE) -> str:
    """Return by how much a metric got better or worse, and the bounds of that: `−0.002 (95 % −0.009…+0.005), n=500`."""
    moved = signed(metric.compressed - metric.original)
    bounds, of = change_bounds(metric, confidence), counted(metric.samples, metric.groups)
    if bounds is None:
        return f"{moved}, {of}: too few to say how sure"
    low, high = (-bounds.high, -bounds.low) if metric.higher_is_better else bounds
    return f"{moved} ({100 * confidence:g} % {signed(low)}…{signed(high)}), {of}"


def gates_table(gates: list[GateOutcome]) -> Table:
    """Return each gate's outcome and sentence."""
    table = Table(show_header=False, title="gates", title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for gate in gates:
        table.add_row(Text(gate.outcome, style=COLOURS[gate.outcome]), f"{gate.message}.")
    return table


def plan_table(name: str, estimate: Estimate) -> Table:
    """Return a dry run's stages with the time of each, and what all of it needs."""
    table = Table(title=f"{name}: what compression would do", title_justify="left", show_footer=True)
    table.add_column("step", "together")
    table.add_column("works on", f"memory {size(estimate.memory)}, disk {size(estimate.disk)}")
    table.add_column("about", duration(estimate.seconds), justify="right")
    for stage in estimate.stages:
        table.add_row(stage.name, stage.works_on, duration(stage.seconds))
    return table


def inspection_tables(found: Inspection, shown: int) -> list[Table | str]:
    """Return what is in a model, its `shown` largest layers (0: all), and what could be done to it."""
    head = Table(show_header=False, title=f"{found.path}: format {found.format}", title_justify="left")
    rows = {
        "bytes": f"{found.size:,} in {', '.join(name for name, _ in found.files)}",
        "parameters": f"{found.parameters:,}",
        "inputs": "\n".join(found.inputs),
        "outputs": "\n".join(found.outputs),
        "operators": ", ".join(f"{count} {name}" for name, count in found.operators),
        "notes": "\n".join(found.notes),
    }
    for name, value in rows.items():
        if value:
            head.add_row(name, Text(value))
    largest = sorted(found.layers, key=lambda layer: -layer.size)[: shown or None]
    kept = {layer.name for layer in largest}
    layers = Table(title="layers", title_justify="left")
    for name, side in (("layer", "left"), ("operator", "left"), ("parameters", "right"), ("bytes", "right")):
        layers.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    for layer in found.layers:
        if layer.name in kept:
            layers.add_row(Text(layer.name), layer.operator, f"{layer.parameters:,}", f"{layer.size:,}")
    if len(largest) < len(found.layers):
        layers.add_row(f"and {len(found.layers) - len(largest)} smaller ones", "", "", "")
    possible = Table(title="what could be done to it", title_justify="left")
    for name in ("stage", "applies", "why"):
        possible.add_column(name, overflow="fold")
    for one in found.possibilities:
        word = Text("yes", style="green") if one.applies else Text("no", style="red")
        possible.add_row(one.name, word, one.why)
    return [head, *([layers] if found.layers else []), possible]


def size(count: float) -> str:
    """Return bytes for a person: `1.2 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"


def duration(length: float) -> str:
    """Return seconds for a person: `4 s`, `12 min`, `1 h 20 min`."""
    if length < 60:
        return f"{max(length, 1):.0f} s"
    minutes = round(length / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _verdict(made: Made) -> tuple[str, str]:
    if not made.gates:
        return "done, no gates were set", "bold"
    return ("accepted", "bold green") if made.verdict.accepted else ("not accepted", "bold red")


def _latency_row(latency: LatencyFigure, speedup: float | None) -> tuple[str, str, str, str]:
    """`speedup`: the median of what was measured in pairs, which the report's page says too; None: of the medians."""
    before, after = latency.original_p50, latency.compressed_p50
    return (
        f"median latency, batch {latency.batch_size}",
        f"{before:.3f} ms",
        f"{after:.3f} ms",
        f"{speedup or before / after:.2f}x as fast" if after > 0 else "",
    )
