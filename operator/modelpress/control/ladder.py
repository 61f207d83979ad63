"""The rungs of a ladder: which recipes are tried in which order, when the next one is due, and what is said of it.

A recipe without a ladder is the only rung there is, of which nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from modelpress.api.reasons import OF_THE_RECIPE, Reason
from modelpress.api.resources import SourceStatus
from modelpress.control.artifacts import artifact_key, artifact_name
from modelpress.control.attempt_notes import HINT
from modelpress.control.draft import Draft
from modelpress.control.pods import full_sentence
from modelpress.control.standing import Course, Finding, Standing


@dataclass(frozen=True, slots=True)
class Rung:
    """One recipe of the spec: its place, from 1, and the ModelArtifact it is made into, there or not.

    `draft`: the round, in which the spec has this recipe and no other.
    """

    draft: Draft
    number: int
    of: int
    key: str
    name: str

    @property
    def title(self) -> str:
        """`Rung 2 of 3`."""
        return f"Rung {self.number} of {self.of}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rung that is not served: which, its artifact, and why, as one or more sentences."""

    number: int
    artifact: str
    reason: str
    why: str

    @property
    def sentence(self) -> str:
        """`Rung 1 (digits-0123456789) was refused: top1 fell from …`."""
        return f"Rung {self.number} ({self.artifact}) was refused: {self.why}"


def rungs(draft: Draft, source: SourceStatus) -> list[Rung]:
    """Return the recipes of the spec, in the order in which they are tried."""
    found = []
    recipes = draft.model.spec.compression.rungs()
    for number, recipe in enumerate(recipes, start=1):
        alone = draft.with_recipe(recipe)
        key = artifact_key(alone, source)
        found.append(Rung(alone, number, len(recipes), key, artifact_name(alone, key)))
    return found


def refusal(rung: Rung, standing: Standing | None, accepted: Finding) -> Refusal | None:
    """Return why the next rung is due, if it is: this recipe came to nothing, but a milder one may do."""
    if standing is None or standing.course is not Course.STUCK or standing.reason not in OF_THE_RECIPE:
        return None
    return refused(rung, standing.reason, accepted.message.removesuffix(f" {HINT}"))


def refused(rung: Rung, reason: str, why: str) -> Refusal:
    """Return that `rung` is not served, for `why`."""
    return Refusal(rung.number, rung.name, reason, full_sentence(why))


def under_way(rung: Rung, refused: Iterable[Refusal], standing: Standing) -> Standing:
    """Return `standing` of `rung` as that of the ladder: which rung it is, and why those before it are not served."""
    return replace(standing, message=_told(f"{rung.title}: {standing.message}", refused))


def passed(rung: Rung, refused: Iterable[Refusal], accepted: Finding) -> Finding:
    """Return what condition Accepted says where `rung` passed."""
    return replace(accepted, message=_told(f"{rung.title} passed: {accepted.message}", refused))


def exhausted(refused: Sequence[Refusal]) -> Standing:
    """Return where a ladder stands that has no rung left: every rung, and by how much it failed."""
    reasons = [item.reason for item in refused]
    gates = (Reason.GATE_FAILED, Reason.GATE_INCONCLUSIVE)
    reason = next((reason for reason in gates if reason in reasons), reasons[-1])
    told = _told("No rung of the ladder passed.", refused)
    what_to_do = "Add a milder rung, or change the gates or the test data; rollout.retryToken has all tried again."
    return Standing(Course.STUCK, reason, f"{told} Nothing of it is served. {what_to_do}")


def announce(draft: Draft, steps: Sequence[Rung], refused: Sequence[Refusal]) -> None:
    """Ask for an Event on each rung that was refused since the last round.

    The last round's rung is known by `status.artifact`; the last rung's refusal is told by condition Ready.
    """
    names = [rung.name for rung in steps]
    since = names.index(draft.old.artifact) if draft.old.artifact in names else 0
    for item in refused[since:]:
        if item.number < len(steps):
            draft.note("Warning", item.reason, f"{item.sentence} Rung {item.number + 1} of {len(steps)} is next.")


def _told(beginning: str, refused: Iterable[Refusal]) -> str:
    return " ".join([beginning, *(item.sentence for item in refused)])
