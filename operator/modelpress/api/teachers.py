"""`compression.teachers`: models that distill learns from beside the source, and what is demanded of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .stages import Stage

TEACHER_ROLE = "teacher."
"""How the role of a teacher begins."""
TEACHER_NAME = "^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$"
UNKNOWN_TEACHER = "distill.teacher.name must be one of the names in compression.teachers"
TEACHERS: tuple[tuple[str, str], ...] = (
    (
        f"!has(self.teachers) || self.teachers.all(name, name.matches('{TEACHER_NAME}'))",
        "names in compression.teachers are small letters, digits and hyphens, at most 32",
    ),
    (
        "!has(self.teachers)"
        " || self.teachers.all(name, self.teachers[name].format in ['torch', 'transformers']"
        " && !has(self.teachers[name].assets))",
        "compression.teachers have format torch or transformers, and no assets: none are carried over",
    ),
    (
        "!has(self.teachers) || !has(self.auto)",
        "compression.teachers are named by distill stages, which auto chooses itself: leave teachers out",
    ),
)
"""What is demanded of teachers: rules in CEL, with their messages."""


def teachers_of(stages: Iterable[Stage] | None) -> set[str]:
    """Return the names of the teachers that stages name."""
    taught = [stage.distill.teacher for stage in stages or () if stage.distill is not None]
    return {teacher.name for teacher in taught if teacher is not None and teacher.name is not None}


def teacher_role(name: str) -> str:
    """Return the role of a teacher among all that a spec reads: `train`, `test`, `teacher.large`."""
    return f"{TEACHER_ROLE}{name}"


def comes_from(digests: Mapping[str, str]) -> dict[str, str]:
    """Return digests by role as an artifact's lineage has them: `data.train`, `teacher.large`."""
    return {role if role.startswith(TEACHER_ROLE) else f"data.{role}": digests[role] for role in sorted(digests)}
