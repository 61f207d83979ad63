"""The three CustomResourceDefinitions: names, columns, scale, status, and what is checked at the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..base import GROUP, VERSION, ApiType
from ..names import MODEL_NAME_LIMIT
from ..reasons import Reason
from ..resources import CompressedModel, ModelArtifact, ModelRevision
from .schema import Schema, one_line, structural


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Return it as the CRD has it."""
        found: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        if self.description:
            found["description"] = self.description
        return found | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True)
class Definition:
    """One kind."""

    type: type[ApiType]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    first_condition: str
    """Condition that is Unknown until the operator has looked, so that nobody takes an untouched object for done."""
    immutable: bool = False
    scalable: bool = False
    rules: tuple[tuple[str, str], ...] = ()
    """CEL at the root, as (rule, message)."""

    @property
    def kind(self) -> str:
        """The kind's name."""
        return self.type.__name__

    @property
    def name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

DEFINITIONS = (
    Definition(
        type=CompressedModel,
        plural="compressedmodels",
        short_name="cmodel",
        first_condition="Ready",
        scalable=True,
        rules=(
            (
                f"self.metadata.name.size() <= {MODEL_NAME_LIMIT}"
                " && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                f"metadata.name must be at most {MODEL_NAME_LIMIT} characters: lower-case letters, digits and '-',"
                " with a letter first and a letter or digit last. Services and Deployments are named after it",
            ),
        ),
        columns=(
            Column("Ready", _condition("Ready", "status"), description="What the spec says is what answers."),
            Column("Revision", ".status.currentRevision", description="What answers."),
            Column("Ratio", ".status.compression.ratioText", description="Original size by the size of the result."),
            Column("Accuracy", ".status.compression.accuracyText", description="First metric, and its change."),
            Column("Replicas", ".status.readyReplicas", "integer", description="Serving pods that answer."),
            Column("Size", ".status.compression.compressedBytes", "integer", True, "Size of the result in bytes."),
            Column("Reason", _condition("Ready", "reason"), wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
            _AGE,
        ),
    ),
    Definition(
        type=ModelArtifact,
        plural="modelartifacts",
        short_name="martifact",
        first_condition="Ready",
        immutable=True,
        columns=(
            Column("Ready", _condition("Ready", "status"), description="Files are in the store and measured."),
            Column("Ratio", ".status.ratioText", description="Original size by the size of the result."),
            Column("Size", ".status.figures.compressedBytes", "integer", description="Size of the result in bytes."),
            Column("Attempts", ".status.attempts", "integer"),
            Column("Reason", _condition("Ready", "reason"), wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
            _AGE,
        ),
    ),
    Definition(
        type=ModelRevision,
        plural="modelrevisions",
        short_name="mrevision",
        first_condition="Verified",
        immutable=True,
        columns=(
            Column("Artifact", ".spec.artifact", description="What it serves."),
            Column("Verified", _condition("Verified", "status"), description="Pods gave the judge's answers."),
            Column("Message", _condition("Verified", "message"), wide=True),
            _AGE,
        ),
    ),
)


def manifest(definition: Definition) -> dict[str, Any]:
    """Return the CustomResourceDefinition, ready to be applied."""
    kind, plural = definition.kind, definition.plural
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": _subresources(definition),
        "additionalPrinterColumns": [column.to_wire() for column in definition.columns],
        "schema": {"openAPIV3Schema": root_schema(definition)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": definition.name},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [definition.short_name],
                "categories": (["all"] if definition.scalable else []) + ["modelpress"],
            },
            "versions": [version],
        },
    }


def root_schema(definition: Definition) -> Schema:
    """Return the schema of the whole object."""
    own = structural(definition.type)["properties"]
    spec, status = own["spec"], own["status"]
    spec["description"] = one_line(definition.type.model_fields["spec"].annotation.__doc__ or "")
    status["description"] = "What the operator knows. Written by the operator alone."
    if definition.immutable:
        rule = {"rule": "self == oldSelf", "message": f"spec of a {definition.kind} cannot be changed"}
        spec["x-kubernetes-validations"] = [rule, *spec.get("x-kubernetes-validations", [])]
    conditions = status["properties"]["conditions"]
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    status["default"] = {"conditions": [_untouched(definition.first_condition)]}
    root: Schema = {
        "description": one_line(definition.type.__doc__ or ""),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"{definition.kind}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    if definition.rules:
        root["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in definition.rules]
    return root


def _subresources(definition: Definition) -> dict[str, Any]:
    if not definition.scalable:
        return {"status": {}}
    scale = {
        "specReplicasPath": ".spec.serving.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return {"status": {}, "scale": scale}


def _untouched(condition: str) -> dict[str, str]:
    return {
        "type": condition,
        "status": "Unknown",
        "reason": Reason.NEW.value,
        "message": "The operator has not looked at this yet.",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
