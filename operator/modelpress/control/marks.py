"""Annotations by which the planner recognizes what it made, and why. Written when an object is made, never changed."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api.base import GROUP
from modelpress.control.plan import Manifest

ATTEMPT = f"{GROUP}/attempt"
"""On Jobs: number of the attempt, from 1."""
ANSWERS = f"{GROUP}/answers"
"""On Jobs.

Key of what was asked (resolution or evaluation), so that a late answer is not taken for another question's.
"""
ASKS_AT = f"{GROUP}/asks-at"
"""On Jobs that ask: the Service, and Triton's number of the version that is asked there if it is not what answers."""
COMPARES = f"{GROUP}/compares"
"""On Jobs that ask: key of what is compared with which revision, empty if nothing is."""
JUDGED_BY = f"{GROUP}/judged-by"
"""On Jobs: digest of what its verdict depends on beside the key."""
RUNS_AS = f"{GROUP}/runs-as"
"""On Jobs: digest of settings, images and Secrets' names; a pod that cannot start is replaced when they change."""
RETRY_TOKEN = f"{GROUP}/retry-token"
"""`rollout.retryToken` at the time, which a verdict is judged by. On Jobs and Deployments: when they were made; on the
ConfigMap of pods that load a second revision: when they were told to."""
SERVING = f"{GROUP}/serving"
"""On ModelRevisions: key of how the model is served, without the runtime's image, which only new revisions take."""
ASKED = f"{GROUP}/asked"
"""On ModelRevisions: the parts of the spec that SERVING is the key of, as the user wrote them, in JSON."""
SWITCHED_AT = f"{GROUP}/switched-at"
"""On the main Service: when what it leads to last changed, RFC 3339."""
STABLE = f"{GROUP}/stable"
"""On the main Service, while a canary answers: the revision that served before and is served again if that fails."""
BESIDE = f"{GROUP}/beside"
"""On the main Service, while a canary answers: the revision that it leads to as well."""
PREVIOUS = f"{GROUP}/previous"
"""On the main Service: the revision that it led to before, while that still has pods."""
SERVES = f"{GROUP}/serves"
"""On the main Service: the revision that was loaded in place into the pods of another one, to which it leads."""


def marked(manifest: Manifest, marks: Mapping[str, str]) -> Manifest:
    """Return `manifest` with `marks` among its annotations."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **marks}}}


def mark(manifest: Manifest, name: str) -> str:
    """Return an annotation of `manifest`, empty if it has none of that name."""
    return str((manifest["metadata"].get("annotations") or {}).get(name, ""))


def label(manifest: Manifest, name: str) -> str:
    """Return a label of `manifest`, empty if it has none of that name."""
    return str((manifest["metadata"].get("labels") or {}).get(name, ""))
