"""Old revisions and artifacts: the newest stay for a return, the others go. Files in the store stay.

Never taken: what serves, what is to serve, what still has pods, whatever those are made of, and every rung of the
spec's ladder. Collected only while nothing is under way, so that nothing is taken which the spec is just about to ask
for.
"""

from __future__ import annotations

from modelpress.api import names
from modelpress.control import marks
from modelpress.control.draft import Draft
from modelpress.control.plan import Manifest


def collect(draft: Draft, keep_revisions: set[str], keep_artifacts: set[str]) -> None:
    """Delete what is beyond `rollout.revisionHistoryLimit`."""
    limit = draft.rollout.revision_history_limit
    running = {marks.label(item, names.REVISION_LABEL) for item in draft.observed.of_kind("Deployment")}
    revisions = _newest_first(draft, "ModelRevision")
    kept = _kept(revisions, keep_revisions | running, limit)
    draft.delete(*(item for item in revisions if item["metadata"]["name"] not in kept))
    used = {item["spec"]["artifact"] for item in revisions if item["metadata"]["name"] in kept}
    artifacts = _newest_first(draft, "ModelArtifact")
    kept = _kept(artifacts, keep_artifacts | used, max(0, limit - len(used - keep_artifacts)))
    draft.delete(*(item for item in artifacts if item["metadata"]["name"] not in kept))


def _newest_first(draft: Draft, kind: str) -> list[Manifest]:
    def age(item: Manifest) -> tuple[str, str]:
        return (str(item["metadata"].get("creationTimestamp", "")), str(item["metadata"]["name"]))

    return sorted(draft.observed.of_kind(kind), key=age, reverse=True)


def _kept(items: list[Manifest], needed: set[str], limit: int) -> set[str]:
    """Return the names of `items` that stay: the `needed` ones, and of the others the first `limit`."""
    others = [item["metadata"]["name"] for item in items if item["metadata"]["name"] not in needed]
    return needed | set(others[:limit])
