"""The contract between deciding and doing: what the planner sees, and what it may ask for.

The planner (`control/planner.py`) turns one `Observed` into one `Plan` and does no I/O. Carrying a plan out
(`control/carry_out.py`) decides nothing. Whatever both sides need to agree on is in this file, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelpress.api.servingpod import PodAnswer
from modelpress.rollout.counting import Counted
from modelpress.rollout.queries import Answered

Manifest = Mapping[str, Any]
"""A Kubernetes object as the API server shows it. Never changed in place."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Names one object. `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Manifest) -> Reference:
        """Return the reference of `manifest`."""
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Observed:
    """What one round sees: the model and every object that carries its label, from the operator's own store alone.

    `progress` holds what compression pods said of themselves when last asked, by Job name; shown, never decisive.
    `counts` holds what serving pods did in the present step of a canary, by pod name.
    `holdings` holds what serving pods last said of the versions that they hold, by pod name.
    `answers` holds what Prometheus said in that step, by the name of the query.
    `problems` holds what the write door met at the last round (`FieldConflict`, `NameConflict`, …), by reference.
    `extensions` names the kinds of other projects that this cluster has (`ScaledObject`, `HTTPRoute`).
    """

    model: Manifest
    children: tuple[Manifest, ...] = ()
    progress: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[Reference, Problem] = field(default_factory=dict)
    counts: Mapping[str, Counted] = field(default_factory=dict)
    holdings: Mapping[str, PodAnswer] = field(default_factory=dict)
    answers: Mapping[str, Answered] = field(default_factory=dict)
    extensions: frozenset[str] = frozenset()

    def of_kind(self, kind: str) -> tuple[Manifest, ...]:
        """Return the children of `kind`, by name, so that no plan depends on the order of events."""
        found = (child for child in self.children if child["kind"] == kind)
        return tuple(sorted(found, key=lambda child: str(child["metadata"]["name"])))

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return the child of `kind` named `name`, or None."""
        return next((child for child in self.of_kind(kind) if child["metadata"]["name"] == name), None)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a wanted write was not made: a reason from `api.reasons` and one sentence for a person."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Make the object hold what `manifest` says, by server-side apply under the operator's field manager.

    `at_creation` is merged into the manifest only when the object does not exist yet (`replicas`, which others
    may own later).
    `once` objects are created if missing and never changed afterwards (Jobs, ModelArtifacts, ModelRevisions).
    """

    manifest: Manifest
    at_creation: Manifest = field(default_factory=dict)
    once: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Set `replicas` of a Deployment through its /scale subresource."""

    reference: Reference
    replicas: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one object, and only the one with this UID; what it owns goes in the background."""

    reference: Reference
    uid: str


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """Replace the status of one of our own resources. Not written if it already means the same."""

    reference: Reference
    uid: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventNote:
    """An Event on the CompressedModel. The same note is not repeated while nothing changes."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, in this order: applies, scales, deletions, events, statuses (children's first, the model's last).

    `requeue_after` is in seconds: look again then even if nothing changes. None: only a change brings the key back.
    """

    apply: tuple[Apply, ...] = ()
    scale: tuple[Scale, ...] = ()
    delete: tuple[Delete, ...] = ()
    status: tuple[StatusWrite, ...] = ()
    events: tuple[EventNote, ...] = ()
    requeue_after: float | None = None
