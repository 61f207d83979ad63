"""Rounds on models that cannot be planned for: a spec that contradicts itself, a deletion under way, a mistake of the
operator's own.

They write conditions and an Event and touch nothing else: what serves goes on serving.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from modelpress.api.defaults import dataset_format
from modelpress.api.names import MODEL_NAME_LIMIT
from modelpress.api.reasons import Reason
from modelpress.api.resources import CompressedModelStatus
from modelpress.api.roles import all_datasets
from modelpress.control.conditions import Picture, conditions
from modelpress.control.draft import Draft, status_wire
from modelpress.control.plan import EventNote, Observed, Plan, Reference, StatusWrite
from modelpress.control.reading import lenient
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.traffic import availability
from modelpress.render.installation import store_settings

LOOK_AT_ERRORS = timedelta(seconds=60)
"""How soon planning is tried again after a mistake of the operator's own."""
SHOWN_ERRORS = 3
"""Mistakes in a spec that are told at once."""


def contradiction(draft: Draft) -> str | None:
    """Return what is wrong with a spec whose fields are each in order, as a sentence; None: nothing."""
    spec = draft.model.spec
    name = draft.model.metadata.name
    if len(name) > MODEL_NAME_LIMIT:
        return (
            f"The name {name} has {len(name)} characters; {MODEL_NAME_LIMIT} are the most, so that derived names fit."
        )
    if store_settings(draft.model, draft.installation).uri is None:
        return "Nobody says where results are kept: set spec.artifacts.uri, or artifacts.uri in the chart's values."
    try:
        for dataset in all_datasets(spec).values():
            dataset_format(dataset)
    except ValueError as error:
        return f"The spec contradicts itself: {error}."
    return None


def sentences(error: ValidationError) -> str:
    """Return what is wrong with a spec, naming the fields."""
    found = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
    more = f"; and {len(found) - SHOWN_ERRORS} more" if len(found) > SHOWN_ERRORS else ""
    return f"The spec is not valid: {'; '.join(found[:SHOWN_ERRORS])}{more}."


def invalid_spec(observed: Observed, now: datetime, message: str) -> Plan:
    """Return the plan for a spec that cannot be meant."""
    standing = Standing(Course.STUCK, Reason.INVALID_SPEC, message)
    return _status_only(observed, now, standing, Finding("False", Reason.INVALID_SPEC, message))


def deleting(observed: Observed, now: datetime) -> Plan:
    """Return the plan for a model that is going: its children go by their ownerReferences."""
    message = "The model is being deleted, and with it all that was made for it; files in the store stay."
    standing = Standing(Course.MOVING, Reason.DELETING, message)
    return _status_only(observed, now, standing, Finding("Unknown", Reason.DELETING, message))


def operator_error(observed: Observed, now: datetime, error: Exception) -> Plan:
    """Return the plan for a model that this operator cannot plan for, by a mistake of its own."""
    message = (
        f"The operator made a mistake in planning: {type(error).__name__}: {error}. It tries again by itself; "
        f"if that goes on, its log says more."
    )
    standing = Standing(Course.WAITING, Reason.OPERATOR_ERROR, message)
    return _status_only(observed, now, standing, Finding("Unknown", Reason.OPERATOR_ERROR, message), LOOK_AT_ERRORS)


def _status_only(
    observed: Observed, now: datetime, standing: Standing, accepted: Finding, look_again: timedelta | None = None
) -> Plan:
    metadata = observed.model["metadata"]
    old = lenient(CompressedModelStatus, observed.model.get("status") or {})
    generation = int(metadata.get("generation") or 0)
    available = availability(observed)
    if available.reason == Reason.NEW:
        available = Finding("False", standing.reason, standing.message)
    picture = Picture(standing, available, accepted, Finding("Unknown", standing.reason, standing.message))
    new = old.model_copy(
        update={
            "observed_generation": generation,
            "conditions": conditions(picture, old.conditions, generation, now),
            "progress": None,
        }
    )
    told = next((item for item in old.conditions if item.type == "Ready"), None)
    changed = told is None or (told.reason, told.message) != (standing.reason, standing.message)
    kind: Literal["Normal", "Warning"] = "Normal" if standing.course is Course.MOVING else "Warning"
    return Plan(
        status=(
            StatusWrite(Reference.of(observed.model), metadata["uid"], metadata["resourceVersion"], status_wire(new)),
        ),
        events=(EventNote(kind, standing.reason, standing.message),) if changed else (),
        requeue_after=look_again.total_seconds() if look_again else None,
    )
