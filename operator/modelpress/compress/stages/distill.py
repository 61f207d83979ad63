"""Stage distill: the module learns to answer as the untouched source does. Runs tenants' code (forward).

Logits: Hinton et al. 2015, arXiv:1503.02531, section 2. Features: Romero et al. 2015, arXiv:1412.6550, section 2.2.
"""

from __future__ import annotations

from modelpress.api.defaults import with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Distill, SourceModule

from ..errors import Judged
from ..models import ModuleModel
from . import beside
from .context import Context
from .features import Features
from .imitating import TeacherLoss
from .objectives import criterion
from .training import device, train


def run(model: ModuleModel, settings: Distill, context: Context) -> ModuleModel:
    """Train in place, or a student of its own, and return what was trained.

    Raises Judged: RecipeInvalid, TrainingDiverged, DatasetDoesNotFit, EntrypointFailed.
    """
    if context.teacher is None:
        raise Judged(Reason.RECIPE_INVALID, "distill works on a torch module, whose source is the teacher.")
    full = with_defaults(settings)
    student = _built(settings.student, beside.STUDENT, context.teacher, context) or model
    teacher = _built(settings.teacher, beside.TEACHER, context.teacher, context) or context.teacher
    targets = None
    if full.alpha < 1:
        if context.objective is None:
            raise Judged(Reason.RECIPE_INVALID, "distill with alpha below 1 needs compression.objective.")
        targets = criterion(context.objective, student.signature, context.source)
    teacher.module.eval().requires_grad_(False).to(device())
    features = Features(student.module, teacher.module, full.features) if full.features else None
    distance = TeacherLoss(teacher, full, context.objective, targets, features)
    try:
        train(student, full, distance, context, "distill")
    finally:
        teacher.module.cpu()
        if features is not None:
            features.close()
    context.notes += distance.notes
    context.warnings += distance.warnings
    return student


def _built(asked: SourceModule | None, field: str, source: ModuleModel, context: Context) -> ModuleModel | None:
    """Return the module that a field of the stage asks for, None if it asks for none. Raises Judged."""
    if asked is None:
        return None
    if context.spec is None:
        raise Judged(Reason.RECIPE_INVALID, f"{field} is built by an entrypoint: it needs a source.")
    found = beside.build(asked, field, context.spec, context.source, source.signature, context.seed)
    beside.check(source, found, field, context.calibration(), context.seed, context.source)
    return found
