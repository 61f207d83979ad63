"""A report with everything in it, for tests of what shows it."""

from __future__ import annotations

import math
from typing import Any

from modelpress.api.auto import AutoObjective
from modelpress.api.figures import DiscordantPairs, Figures, MetricFigure
from modelpress.api.gates import judge
from modelpress.api.spec import Evaluation
from modelpress.compress.facts import CompressionFacts, LayerFacts, Size, StageFacts
from modelpress.compress.judge.latency import PERCENTS, summary
from modelpress.store.manifest import ManifestFile
from modelpress.store.report import Histogram, LatencyDetail, LayerFigure, Memory, Report
from modelpress.store.search import Search, Sensitivity, Trial

BELL = tuple(math.exp(-((place - 30) ** 2) / 80) / 16 for place in range(61))
EVALUATION: dict[str, Any] = {
    "test": {"uri": "file:///test.npz"},
    "metrics": [{"name": "top1", "type": "accuracy"}],
    "gates": [
        {"metric": "top1", "goal": "MaxDegradation", "value": 0.03},
        {"metric": "size", "goal": "PercentMinImprovement", "value": 90},
        {"metric": "top1", "goal": "Threshold", "value": 0.979},
    ],
}


def full_report(name: str = "digits", warning: str = "3 of 500 test samples are also in calibration") -> Report:
    """Return a report with a gate of each outcome, layers, latency and histograms."""
    spread = Histogram(low=-0.5, high=0.5, original=BELL, compressed=BELL[::2] + BELL[1::2])
    timed = LatencyDetail(
        batch_size=1,
        threads=1,
        blocks=200,
        percents=PERCENTS,
        original=tuple(1 + part / 100 for part in PERCENTS),
        compressed=tuple(0.5 + part / 200 for part in PERCENTS),
        speedup=1.9,
        speedup_low=1.8,
        speedup_high=2.0,
        histogram=Histogram(low=0.4, high=2.2, original=BELL, compressed=BELL),
    )
    pairs = DiscordantPairs(original_only=4, compressed_only=2)
    figures = Figures(
        original_bytes=81_122,
        compressed_bytes=17_798,
        metrics=(
            MetricFigure(
                name="top1", original=0.982, compressed=0.978, higher_is_better=True, samples=500, pairs=pairs
            ),
        ),
        latency=(summary(timed),),
        agreement=0.99,
    )
    digest = "sha256:" + "0a" * 32
    return Report(
        figures=figures,
        batched=True,
        inputs=(),
        outputs=(),
        original=(ManifestFile(path="original/model.onnx", size=81_122, digest=digest),),
        compressed=(ManifestFile(path="compressed/model.onnx", size=17_798, digest=digest),),
        samples=500,
        evaluation=EVALUATION,
        environment={"processor": "A processor of some name or other", "instructions": "avx2 avx512_vnni"},
        warnings=(warning,),
        name=name,
        gates=tuple(judge(figures, Evaluation.model_validate(EVALUATION).gates or ())),
        latency=(timed,),
        layers=tuple(
            LayerFigure(
                name=f"encoder.layer.{number}.attention.self.query",
                operator="MatMul",
                parameters=1000,
                original_bytes=4000 + number,
                compressed_bytes=None if number == 3 else 1100,
                histogram=spread if number < 3 else None,
            )
            for number in range(30)
        ),
        weights=spread,
        memory=Memory(original=9_000_000, compressed=4_000_000),
        search=full_search(),
    )


def full_search() -> Search:
    """Return a search with a trial of each kind: chosen, on the front, dominated, refused, come to nothing."""
    told = [  # name, bytes, loss, bound, speedup, failing, front
        ("as it came", 81_160, 0.0, 0.0, 1.0, ("size",), True),
        ("INT8 static", 22_104, 0.002, 0.011, 0.62, (), False),
        ("weights in 4 bits, GPTQ", 17_400, 0.003, 0.014, 0.9, (), True),
        ("70 % of the parameters pruned, distilled, INT8 static", 9_300, 0.005, 0.017, 0.8, (), True),
        ("90 % of the parameters pruned, distilled, INT8 static", 5_100, 0.062, 0.094, 0.9, ("top1",), True),
    ]
    trials = [
        Trial(
            number=number,
            name=name,
            stages=({"quantize": {"preset": "INT8"}},) if number else (),
            seconds=3.2 * number,
            figures=Figures(original_bytes=81_160, compressed_bytes=size),
            loss=loss,
            loss_bound=bound,
            speedup=speed,
            speedup_low=0.97 * speed,
            speedup_high=1.03 * speed,
            failing=failing,
            front=front,
        )
        for number, (name, size, loss, bound, speed, failing, front) in enumerate(told)
    ]
    broken = Trial(number=5, name="INT8 dynamic", failure="quantize stored no weight as integers.")
    return Search(
        objective=AutoObjective.SIZE,
        max_trials=12,
        max_seconds=600,
        seconds=94,
        loss="top1",
        data="validation data",
        samples=197,
        trials=(*trials, broken),
        chosen=3,
        why="It is the smallest among the 3 that passed the gates, of 5 trials and the model as it came.",
        notes=("The objective without half of the parameters, untrained: 0.52 by L1, Layer; 0.61 by Taylor, Global.",),
        sensitivities=tuple(
            Sensitivity(name=f"classifier.{2 * number}.Gemm", parameters=1000, loss=0.01 / 4**number)
            for number in range(3)
        ),
    )


def full_facts() -> CompressionFacts:
    """Return what two stages did."""
    return CompressionFacts(
        format="torch",
        batched=True,
        original_bytes=81_122,
        compressed_bytes=17_798,
        seconds=12.5,
        versions={"torch": "2.13.0"},
        stages=(
            StageFacts(
                position=1,
                kind="prune",
                works_on="module",
                before=Size(parameters=2000, nonzero=2000, macs=9000, bytes=8000),
                after=Size(parameters=1000, nonzero=1000, macs=4000, bytes=4000),
                seconds=0.1,
                notes=("7,739 of 19,776 parameters were removed (39.1 %).",),
                warnings=("classifier.4 was left alone.",),
            ),
            StageFacts(
                position=2,
                kind="quantize",
                works_on="graph",
                before=Size(parameters=1000, bytes=4000),
                after=Size(parameters=1010, bytes=1100),
                seconds=61.0,
                layers=tuple(
                    LayerFacts(name=f"encoder.{number}.key", operator="MatMul", parameters=100, bits=4.5, loss=loss)
                    for number, loss in enumerate((0.02, 0.0003, None))
                ),
            ),
        ),
    )
