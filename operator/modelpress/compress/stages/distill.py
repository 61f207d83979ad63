"""Stage distill: the module learns to answer as a teacher does. Runs tenants' code (forward).

Logits: Hinton et al. 2015, arXiv:1503.02531, section 2. Features: Romero et al. 2015, arXiv:1412.6550, section 2.2.
"""

from __future__ import annotations

from modelpress.api.defaults import with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Distill, SourceModule, Teacher

from ..errors import Judged
from ..models import ModuleModel
from . import beside, teachers
from .batching import device
from .context import Context
from .features import Features
from .imitating import TeacherLoss
from .objectives import criterion
from .training import train


def run(model: ModuleModel, settings: Distill, context: Context) -> ModuleModel:
    """Train in place, or a student of its own, and return what was trained.

    Raises Judged: RecipeInvalid, TrainingDiverged, DatasetDoesNotFit, EntrypointFailed.
    """
    full = with_defaults(settings)
    student = _built(settings.student, beside.STUDENT, context) if settings.student is not None else model
    teacher = _teacher(settings.teacher, student, context)
    targets = None
    if full.alpha < 1:
        if context.objective is None:
            raise Judged(Reason.RECIPE_INVALID, "distill with alpha below 1 needs compression.objective.")
        targets = criterion(context.objective, student.signature, context.source)
    teacher.module.eval().requires_grad_(False).to(device())
    features = Features(student.module, teacher.module, full.features) if full.features else None
    distance = TeacherLoss(student.signature, teacher, full, context.objective, targets, features)
    try:
        train(student, full, distance, context, "distill")
    finally:
        teacher.module.cpu()
        if features is not None:
            features.close()
    context.notes += distance.notes
    context.warnings += distance.warnings
    return student


def _teacher(asked: Teacher | None, student: ModuleModel, context: Context) -> ModuleModel:
    """Return what is learned from: a model of its own, another module of the source, or the source. Raises Judged."""
    if asked is None:
        return _source(context)
    if asked.name is not None:
        return teachers.bring(asked.name, student, context)
    return _built(asked, beside.TEACHER, context)


def _source(context: Context) -> ModuleModel:
    if context.teacher is None:
        raise Judged(Reason.RECIPE_INVALID, "distill works on a torch module, whose source is the teacher.")
    return context.teacher


def _built(asked: SourceModule, field: str, context: Context) -> ModuleModel:
    """Return the module of the source that a field of the stage asks for. Raises Judged."""
    source = _source(context)
    if context.spec is None:
        raise Judged(Reason.RECIPE_INVALID, f"{field} is built by an entrypoint: it needs a source.")
    found = beside.build(asked, field, context.spec, context.source, source.signature, context.seed)
    beside.check(source, found, field, context.calibration(), context.seed, context.source)
    return found
