"""Names and labels: how every derived object is called, so that nobody has to look it up twice."""

from __future__ import annotations

from .base import GROUP

MODEL_LABEL = f"{GROUP}/model"
REVISION_LABEL = f"{GROUP}/revision"
ARTIFACT_LABEL = f"{GROUP}/artifact"
ROLE_LABEL = f"{GROUP}/role"
ROLE_SERVE = "serve"
ROLE_RESOLVE = "resolve"
ROLE_COMPRESS = "compress"
ROLE_EVALUATE = "evaluate"
ROLE_VERIFY = "verify"
"""A serving pod that gets no requests: only a Job of ROLE_ASK reaches it."""
ROLE_ASK = "ask"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
FIELD_MANAGER = "modelpress"

MODEL_NAME_LIMIT = 40
"""Characters of a CompressedModel's name, so that `<name>-<hash>-<suffix>` stays within 63."""


def keyed_name(model: str, key: str) -> str:
    """Return the name of the artifact or revision of `model` with `key` (64 hexadecimal digits)."""
    return f"{model}-{key[:10]}"


def verification_name(revision: str) -> str:
    """Return the name of what verifies `revision` before it gets requests: Deployment, Service, ConfigMap, policy."""
    return f"{revision}-verify"


def labels(
    model: str, role: str | None = None, *, revision: str | None = None, artifact: str | None = None
) -> dict[str, str]:
    """Return the labels of a derived object of `model`."""
    found = {MANAGED_BY_LABEL: FIELD_MANAGER, MODEL_LABEL: model}
    if role:
        found[ROLE_LABEL] = role
    if revision:
        found[REVISION_LABEL] = revision
    if artifact:
        found[ARTIFACT_LABEL] = artifact
    return found
