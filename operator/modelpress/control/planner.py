"""What to do about one model: `plan` looks at a snapshot and says what to write. Pure; the whole behaviour of the
product is below here.

The way of a model, each step in a file of its own:

    resolving   what do the URIs hold?                    → status.source
    ladder      which recipe, if there are several
    artifacts   the ModelArtifact that it asks for
    attempts    Jobs that compress and measure it         → its figures
    gating      may it be served?
    revisions   the ModelRevision that the spec asks for
    serving     what serves, and how the new one takes over (rollout/)
    history     what may go

A step that cannot go on says why (`standing`), and what serves is kept up all the same. From that come conditions,
status, Events. The same snapshot gives the same plan, whatever was missed before.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.control import announcements, history, invalid, reading, serving
from modelpress.control.conditions import Picture, conditions
from modelpress.control.draft import Draft
from modelpress.control.pinning import pin
from modelpress.control.plan import Observed, Plan, Problem, Reference
from modelpress.control.serving import Served
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.status import model_status
from modelpress.control.way import Way, follow
from modelpress.render.installation import Installation
from modelpress.render.serving import job_network_policy, network_policy

logger = logging.getLogger(__name__)

LOOK_AT_PROBLEMS = timedelta(seconds=30)
"""How soon it is noticed that what stood in the way of a write is gone."""


def plan(observed: Observed, now: datetime, installation: Installation) -> Plan:
    """Return what to write about the model of `observed` at `now`."""
    try:
        return _plan(observed, now, installation)
    except Exception as error:
        logger.exception("planning failed")
        return invalid.operator_error(observed, now, error)


def _plan(observed: Observed, now: datetime, installation: Installation) -> Plan:
    if "deletionTimestamp" in observed.model["metadata"]:
        return invalid.deleting(observed, now)
    try:
        model = reading.read_model(observed.model)
    except ValidationError as error:
        return invalid.invalid_spec(observed, now, invalid.sentences(error))
    draft = Draft(observed, model, now, installation)
    wrong = invalid.contradiction(draft)
    if wrong is not None:
        return invalid.invalid_spec(observed, now, wrong)
    draft.apply(job_network_policy(model, installation))
    draft.apply(network_policy(model))
    way = pin(draft, follow(draft))
    served = serving.serve(draft, way.revision, way.revision.spec.artifact if way.revision else way.artifact)
    standing = _overall(draft, way, served)
    _collect(draft, way, served, standing)
    _conclude(draft, way, served, standing)
    return draft.plan()


def _overall(draft: Draft, way: Way, served: Served) -> Standing:
    """Return where the model stands.

    What stands in the way of writes first, then how far the spec has come, then serving.
    """
    problem = _problem(draft.observed)
    if problem is not None:
        draft.look_again(draft.now + LOOK_AT_PROBLEMS)
        course = Course.WAITING if problem.reason == Reason.OPERATOR_ERROR else Course.STUCK
        return Standing(course, problem.reason, problem.message)
    standing = way.standing or served.standing
    assert standing is not None, "a way that ends at a revision has a standing of its serving"
    if standing.course is Course.DONE and way.doubt is not None and way.doubt.course is Course.STUCK:
        return way.doubt
    if standing.course is Course.DONE and draft.complaints:
        return draft.complaints[0]
    return standing


def _problem(observed: Observed) -> Problem | None:
    """Return the first problem that is not over: an error that ended the last round did not end this one."""
    model = Reference.of(observed.model)
    lasting = [
        (reference, problem)
        for reference, problem in observed.problems.items()
        if not (reference == model and problem.reason == Reason.OPERATOR_ERROR)
    ]
    return min(lasting, key=lambda item: item[0])[1] if lasting else None


def _collect(draft: Draft, way: Way, served: Served, standing: Standing) -> None:
    """Let history go while nothing is under way."""
    if standing.course is not Course.DONE and not (standing.course is Course.STUCK and way.made is not None):
        return
    revisions = {name for name in (served.current, served.candidate, *way.revisions) if name}
    if way.revision is not None:
        revisions.add(way.revision.metadata.name)
    history.collect(draft, revisions, set(way.artifacts))


def _conclude(draft: Draft, way: Way, served: Served, standing: Standing) -> None:
    """Say how things stand: conditions, status, Events."""
    available, verified = served.available, served.verified
    if available.reason == Reason.NEW:
        available = Finding("False", standing.reason, standing.message)
    if way.revision is None:
        verified = Finding("Unknown", standing.reason, "There is no revision of this spec yet.")
    picture = Picture(standing, available, way.accepted, verified, draft.suspended)
    generation = draft.model.metadata.generation
    status = model_status(
        draft,
        conditions(picture, draft.old.conditions, generation, draft.now),
        served,
        source=way.source,
        artifact=way.artifact,
        made=way.made,
        rung=way.rung,
        rejected=way.rejected or served.rejected,
    )
    announcements.announce(draft, status, standing)
    draft.set_status(draft.observed.model, status)
