"""A build of the operator as a later version could be: other defaults, other renderers, everything else the same."""

from __future__ import annotations

from pathlib import Path

from localcluster import images

VARIABLE = "MODELPRESS_RENDERED_BY"
"""Variable that the later version gives to every container of ours, in serving pods and in Jobs."""
QUEUE_DELAY_MICROSECONDS = 7000
"""The later version's default of `serving.batching.maxQueueDelay`."""
MIN_READY_SECONDS = 3
"""What the later version's renderer of Deployments writes, outside the pod template."""

CHANGES = (
    ("api/defaults.py", 'max_queue_delay: str = "2ms"', 'max_queue_delay: str = "7ms"'),
    (
        "api/defaults.py",
        " = Granularity.CHANNEL",
        " = Granularity.TENSOR",
    ),
    (
        "render/containers.py",
        "            *environment,\n        ],",
        f'            *environment,\n            {{"name": "{VARIABLE}", "value": "later"}},\n        ],',
    ),
    ("render/serving/deployment.py", "MIN_READY_SECONDS = 2\n", f"MIN_READY_SECONDS = {MIN_READY_SECONDS}\n"),
)
"""File below `operator/modelpress`, what it says, what the later version says."""


def change(context: Path) -> None:
    """Make the later version of the code in an image's build folder."""
    for file, before, after in CHANGES:
        path = context / "operator" / "modelpress" / file
        text = path.read_text()
        assert text.count(before) == 1, f"{file} does not say {before!r} once: the variant has to follow the code"
        path.write_text(text.replace(before, after))


def ensure() -> str:
    """Have the later version's operator image on the node and return its name."""
    return images.ensure_variant("operator", change)
