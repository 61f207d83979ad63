"""What every type of the API shares: camelCase on the wire, nothing unknown accepted, nothing changed in place.

The string below a field is its description: in `kubectl explain`, in the generated reference and in the editor alike.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "modelpress.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ApiType(BaseModel):
    """Base of all types that cross a process boundary."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="null",
        protected_namespaces=(),
    )

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON-ready form: camelCase names, unset fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return CEL validations, as (rule, message), in the form the CRD generator picks up from a type."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
"""A Go-style duration: `250ms`, `90s`, `1h30m`."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
"""A plain number between 0 and 1, both excluded."""

Names = Annotated[tuple[str, ...], Field(max_length=64)]
"""Names of layers or nodes, or `re:<regular expression>`."""

Digest = Annotated[str, Field(pattern=r"^(sha256|listing-sha256):[0-9a-f]{64}$")]
"""A digest with its scheme: `sha256:` over content, `listing-sha256:` over the store's own checksums."""

Uri = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[a-z][a-z0-9+.-]*://.+")]
"""An fsspec URL."""
