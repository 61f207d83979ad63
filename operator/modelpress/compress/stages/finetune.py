"""Stage finetune: training on the objective of the spec. Runs tenants' code (forward)."""

from __future__ import annotations

from modelpress.api.defaults import with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Finetune

from ..errors import Judged
from ..models import ModuleModel
from .context import Context
from .objectives import criterion
from .training import train


def run(model: ModuleModel, settings: Finetune, context: Context) -> ModuleModel:
    """Train in place. Raises Judged: TrainingDiverged, LabelsOutOfRange, DatasetDoesNotFit, EntrypointFailed."""
    if context.samples("train") is None or context.objective is None:
        raise Judged(Reason.RECIPE_INVALID, "finetune needs compression.data.train and compression.objective.")
    goal = criterion(context.objective, model.signature, context.source, settings.label_smoothing or 0.0)
    train(model, with_defaults(settings), goal, context, "finetune")
    return model
