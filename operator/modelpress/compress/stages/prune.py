"""Stage prune: whatever the structure, something must have gone afterwards, or the stage failed."""

from __future__ import annotations

from modelpress.api.defaults import with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Prune, PruneStructure

from ..errors import Judged
from ..models import ModuleModel
from . import channels, finetune, weights
from .channels import count_parameters
from .context import Context


def run(model: ModuleModel, settings: Prune, context: Context) -> ModuleModel:
    """Remove weights or channels in place, in steps. Raises Judged with StageFailed if nothing could be removed."""
    full, before = with_defaults(settings), count_parameters(model.module)
    structured = full.structure is PruneStructure.CHANNEL
    followed = channels.Pruning(model, full, context) if structured else None
    pruning = followed or weights.Pruning(model, full, context)
    for step in range(1, full.steps + 1):
        pruning.step(step)
        if structured:
            model.refresh_masks()
        if step < full.steps and settings.recovery is not None:
            finetune.run(model, settings.recovery, context)
    after = count_parameters(model.module)
    if followed is not None and after >= before:
        if followed.turned:
            told = f"prune removed no channel, {followed.unfollowed()}. {channels.INSTEAD}"
            raise Judged(Reason.STAGE_FAILED, told)
        raise Judged(
            Reason.STAGE_FAILED,
            "prune removed no channel: every layer is an output of the model, is ignored, or cannot lose a channel "
            f"(roundTo is {full.round_to}).",
        )
    if structured:
        share = f"{100 * (before - after) / before:.1f} %"
        context.notes.append(f"{before - after:,} of {before:,} parameters were removed ({share}).")
    pruning.end()
    return model
