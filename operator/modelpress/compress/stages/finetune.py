"""Stage finetune: training on the objective of the spec. Runs tenants' code (forward)."""

from __future__ import annotations

from modelpress.api.defaults import with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Finetune

from ..errors import Judged
from ..models import ModuleModel
from .context import Context
from .losses import TargetLoss
from .training import train


def run(model: ModuleModel, settings: Finetune, context: Context) -> ModuleModel:
    """Train in place. Raises Judged: TrainingDiverged, LabelsOutOfRange, DatasetDoesNotFit, EntrypointFailed."""
    if context.samples("train") is None or context.objective is None:
        raise Judged(Reason.RECIPE_INVALID, "finetune needs compression.data.train and compression.objective.")
    criterion = TargetLoss(context.objective, model.signature, smoothing=settings.label_smoothing or 0.0)
    train(model, with_defaults(settings), criterion, context, "finetune")
    return model
