"""What recipes need, and may not be: rules in CEL on the stages that a variable holds, with their messages."""

from __future__ import annotations

from collections.abc import Callable

from .stages.quantize import calibrated
from .teachers import UNKNOWN_TEACHER


def quantizes_last(stages: str) -> str:
    """Return, in CEL, that the stages quantize at most once, and at the end."""
    return (
        f"!{stages}.exists(stage, has(stage.quantize)) || has({stages}[{stages}.size() - 1].quantize)"
        f" && {stages}.filter(stage, has(stage.quantize)).size() == 1"
    )


QUANTIZES_LAST = "quantize works on the exported graph: compression.stages may have it once, as the last stage"

NEEDS: tuple[tuple[Callable[[str], str], str], ...] = (
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.finetune))"
            " || has(self.data) && has(self.data.train) && has(self.objective)"
        ),
        "a finetune stage needs compression.data.train and compression.objective",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.prune) && (has(stage.prune.recovery)"
            " || has(stage.prune.importance) && stage.prune.importance in ['Taylor', 'LossChange']))"
            " || has(self.data) && has(self.data.train) && has(self.objective)"
        ),
        "prune with recovery, or with importance Taylor or LossChange, needs compression.data.train and"
        " compression.objective",
    ),
    (
        lambda stages: f"!{stages}.exists(stage, has(stage.distill)) || has(self.data) && has(self.data.train)",
        "a distill stage needs compression.data.train",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.distill) && (!has(stage.distill.alpha)"
            " || stage.distill.alpha < 1.0)) || has(self.objective)"
        ),
        "distill with alpha below 1 needs compression.objective: alpha 1 learns from the teacher alone",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.distill) && has(stage.distill.student))"
            f" || {stages}.filter(stage, has(stage.distill) && has(stage.distill.student)).size() == 1"
            f" && has({stages}[0].distill) && has({stages}[0].distill.student)"
        ),
        "distill.student takes the place of the source's module: it belongs to the first stage, and to no other",
    ),
    (
        lambda stages: (
            f"{stages}.all(stage, !has(stage.distill) || !has(stage.distill.teacher)"
            " || !has(stage.distill.teacher.name)"
            " || has(self.teachers) && stage.distill.teacher.name in self.teachers)"
        ),
        UNKNOWN_TEACHER,
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.cut) && has(stage.cut.keep))"
            " || has(self.data) && (has(self.data.calibration) || has(self.data.train))"
        ),
        "cut with keep needs compression.data.calibration or compression.data.train",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.finetune) && has(stage.finetune.labelSmoothing)"
            " || has(stage.prune) && has(stage.prune.recovery) && has(stage.prune.recovery.labelSmoothing))"
            " || has(self.objective) && self.objective.loss in ['CrossEntropy', 'CausalLM']"
        ),
        "labelSmoothing needs an objective with loss CrossEntropy or CausalLM",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.finetune) && has(stage.finetune.quantizationAware)"
            " && stage.finetune.quantizationAware || has(stage.distill) && has(stage.distill.quantizationAware)"
            f" && stage.distill.quantizationAware) || {stages}.exists(stage, has(stage.quantize)"
            " && !has(stage.quantize.mixed)"
            " && !(has(stage.quantize.algorithm) && stage.quantize.algorithm in ['GPTQ', 'AWQ']))"
        ),
        "quantizationAware trains for a quantize stage that rounds to nearest: without mixed, and without algorithm"
        " GPTQ or AWQ",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.quantize) && ({calibrated('stage.quantize')}"
            " || has(stage.quantize.mixed)"
            " || has(stage.quantize.algorithm) && stage.quantize.algorithm in ['GPTQ', 'AWQ']))"
            " || has(self.data) && (has(self.data.calibration) || has(self.data.train))"
        ),
        "quantize with preset INT8 or calibrated activations, with mixed, and with algorithm GPTQ or AWQ needs"
        " compression.data.calibration or compression.data.train",
    ),
)
"""What stages need that stands beside them: rules in CEL on the stages that a variable holds, with their messages."""


def each_recipe(rule: Callable[[str], str], compression: str = "self") -> str:
    """Return, in CEL, that `rule` holds for the stages of every recipe in the variable `compression`."""
    stages, ladder = f"{compression}.stages", f"{compression}.ladder"
    return f"(!has({stages}) || {rule(stages)}) && (!has({ladder}) || {ladder}.all(rung, {rule('rung.stages')}))"
