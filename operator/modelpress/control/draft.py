"""A plan in the making: what the round sees, and what its steps have asked for so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from modelpress.api import names
from modelpress.api.base import ApiType
from modelpress.api.compression import Recipe
from modelpress.api.defaults import EffectiveRollout, with_defaults
from modelpress.api.resources import CompressedModel, CompressedModelStatus, ModelArtifact, ModelRevision
from modelpress.api.rollout import Rollout
from modelpress.control import marks, reading
from modelpress.control.plan import Apply, Delete, EventNote, Manifest, Observed, Plan, Reference, Scale, StatusWrite
from modelpress.control.standing import Standing
from modelpress.render.installation import Installation


@dataclass(slots=True)
class Draft:
    """One round. `old` is the model's status as the last round left it."""

    observed: Observed
    model: CompressedModel
    now: datetime
    installation: Installation
    _applies: list[Apply] = field(default_factory=list)
    _scales: list[Scale] = field(default_factory=list)
    _deletes: dict[Reference, Delete] = field(default_factory=dict)
    _statuses: list[StatusWrite] = field(default_factory=list)
    _notes: list[EventNote] = field(default_factory=list)
    _looks: list[datetime] = field(default_factory=list)
    complaints: list[Standing] = field(default_factory=list)

    @property
    def old(self) -> CompressedModelStatus:
        """The model's status as it was found."""
        return self.model.status or CompressedModelStatus()

    @property
    def rollout(self) -> EffectiveRollout:
        """`spec.rollout` without gaps."""
        return with_defaults(self.model.spec.rollout or Rollout())

    @property
    def recipe(self) -> Recipe:
        """The one recipe of the spec. Raises ValueError for a ladder of several."""
        (recipe,) = self.model.spec.compression.rungs()
        return recipe

    @property
    def suspended(self) -> bool:
        """Whether nothing new may be started."""
        return bool(self.model.spec.suspend)

    def with_recipe(self, recipe: Recipe) -> Draft:
        """Return this very round, with `recipe` in place of all that the spec says of compression.

        What is asked for there is asked for here.
        """
        spec = self.model.spec.model_copy(update={"compression": recipe})
        return replace(self, model=self.model.model_copy(update={"spec": spec}))

    def jobs(self, *roles: str) -> list[Manifest]:
        """Return the Jobs of these roles, by number of attempt."""
        found = [job for job in self.observed.of_kind("Job") if marks.label(job, names.ROLE_LABEL) in roles]
        return sorted(found, key=lambda job: (attempt_of(job), str(job["metadata"]["name"])))

    def artifact(self, name: str) -> ModelArtifact | None:
        """Return the artifact of that name, if it is there."""
        manifest = self.observed.find("ModelArtifact", name)
        return reading.read_artifact(manifest) if manifest is not None else None

    def revision(self, name: str) -> ModelRevision | None:
        """Return the revision of that name, if it is there."""
        manifest = self.observed.find("ModelRevision", name)
        return reading.read_revision(manifest) if manifest is not None else None

    def apply(self, manifest: Manifest, *, once: bool = False, at_creation: Manifest | None = None) -> None:
        """Have the object hold what `manifest` says; with `once`, only if it does not exist yet."""
        self._applies.append(Apply(manifest, at_creation or {}, once))

    def scale(self, manifest: Manifest, replicas: int) -> None:
        """Have the Deployment that was observed as `manifest` run that many pods."""
        self._scales.append(Scale(Reference.of(manifest), replicas))

    def delete(self, *manifests: Manifest) -> None:
        """Have these very objects deleted, unless that is under way."""
        for manifest in manifests:
            if "deletionTimestamp" not in manifest["metadata"]:
                reference = Reference.of(manifest)
                self._deletes[reference] = Delete(reference, manifest["metadata"]["uid"])

    def is_going(self, manifest: Manifest) -> bool:
        """Whether this object is being deleted, or this round asks for it."""
        return "deletionTimestamp" in manifest["metadata"] or Reference.of(manifest) in self._deletes

    def set_status(self, manifest: Manifest, status: ApiType) -> None:
        """Have the resource that was observed as `manifest` carry `status`."""
        metadata = manifest["metadata"]
        self._statuses.append(
            StatusWrite(Reference.of(manifest), metadata["uid"], metadata["resourceVersion"], status_wire(status))
        )

    def says_status(self, manifest: Manifest) -> bool:
        """Whether this round says already what status the resource is to carry."""
        return any(write.reference == Reference.of(manifest) for write in self._statuses)

    def note(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Have an Event posted."""
        self._notes.append(EventNote(kind, reason, message))

    def complain(self, standing: Standing) -> None:
        """Have the model stand so, unless something else stands in its way first."""
        self.complaints.append(standing)

    def look_again(self, time: datetime) -> None:
        """Have another round made at `time`, even if nothing changes until then."""
        self._looks.append(time)

    def plan(self) -> Plan:
        """Return what was asked for."""
        wait = max(0.0, (min(self._looks) - self.now).total_seconds()) if self._looks else None
        return Plan(
            apply=tuple(self._applies),
            scale=tuple(self._scales),
            delete=tuple(self._deletes.values()),
            status=tuple(self._statuses),
            events=tuple(_distinct(self._notes)),
            requeue_after=wait,
        )


def attempt_of(job: Manifest) -> int:
    """Return the number of the attempt that `job` is; 0 if nothing says so."""
    text = marks.mark(job, marks.ATTEMPT)
    return int(text) if text.isdigit() else 0


def status_wire(status: ApiType) -> Mapping[str, Any]:
    """Return `status` as it goes to the API server: without what is unset."""
    return status.to_wire()


def _distinct(notes: Iterable[EventNote]) -> list[EventNote]:
    return list(dict.fromkeys(notes))
