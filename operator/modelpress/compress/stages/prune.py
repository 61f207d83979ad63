"""Stage prune: whatever the structure, something must have gone afterwards, or the stage failed."""

from __future__ import annotations

from modelpress.api.reasons import Reason
from modelpress.api.stages import Prune, PruneStructure

from ..errors import Judged
from ..models import ModuleModel
from . import channels, weights
from .context import Context


def run(model: ModuleModel, settings: Prune, context: Context) -> ModuleModel:
    """Remove weights or channels in place. Raises Judged with StageFailed if nothing could be removed."""
    if settings.structure is PruneStructure.UNSTRUCTURED:
        weights.prune(model, settings, context)
    else:
        before = sum(item.numel() for item in model.module.parameters())
        channels.prune(model, settings, context)
        after = sum(item.numel() for item in model.module.parameters())
        if after >= before:
            raise Judged(
                Reason.STAGE_FAILED,
                "prune removed no channel: every layer is an output of the model, is ignored, or cannot lose a channel "
                f"(roundTo is {settings.round_to or 1}).",
            )
        model.refresh_masks()
        context.notes.append(f"{before - after} of {before} parameters were removed ({(before - after) / before:.1%}).")
    return model
