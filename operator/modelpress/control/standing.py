"""How far a model has come, in the words that conditions are made of.

Every step of the planner ends either with what the next one needs or with a `Standing`: why it goes no further now.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Course(Enum):
    """What becomes of things if nobody does anything."""

    MOVING = "Moving"
    """Something of ours is at work."""
    WAITING = "Waiting"
    """It goes on by itself as soon as the surroundings allow."""
    HELD = "Held"
    """The user asked for a pause."""
    STUCK = "Stuck"
    """A person must change something."""
    DONE = "Done"
    """What the spec says is what answers."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where things stand: a course, a reason from `api.reasons`, and one sentence for a person."""

    course: Course
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one condition says."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something does not go on by itself right now, as far as its pods tell."""

    reason: str
    message: str
