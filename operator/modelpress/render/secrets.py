"""Secrets as files: each in a folder named as itself, in the containers that need it and nowhere else.

They are optional, so that a missing one is said by our own container, in its own words (SecretNotFound), instead of
holding the pod in ContainerCreating. The operator itself reads no Secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelpress.api.tasks import SECRETS_FOLDER


def volume_names(secrets: Iterable[str | None]) -> dict[str, str]:
    """Return the volume of each Secret, by the Secret's name. A Secret's name may be longer than a volume's."""
    return {name: f"secret-{number}" for number, name in enumerate(sorted({name for name in secrets if name}))}


def secret_volumes(names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the volumes of a pod for `names` as from `volume_names`."""
    return [
        {"name": volume, "secret": {"secretName": secret, "optional": True, "defaultMode": 0o440}}
        for secret, volume in names.items()
    ]


def secret_mounts(names: dict[str, str], secrets: Iterable[str | None]) -> list[dict[str, Any]]:
    """Return the mounts of one container that may read `secrets`."""
    return [
        {"name": names[secret], "mountPath": f"{SECRETS_FOLDER}/{secret}", "readOnly": True}
        for secret in sorted({secret for secret in secrets if secret})
    ]
