"""The data of a search: what stages learn from, and what recipes are chosen by. No sample is in both.

The test data is neither: it never comes to where a search runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from modelpress.api.reasons import Reason

from ..data import Data
from ..datasets import Samples, hold_out, read, without
from ..datasets.reading import open_dataset
from ..errors import Judged

TRAIN, VALIDATION, CALIBRATION = "train", "validation", "calibration"
SHARES = {TRAIN: 0.2, CALIBRATION: 0.5}
"""Part that is held out of a dataset where no validation data is given."""


@dataclass(frozen=True)
class SearchData:
    """A reader for stages, and what they do not see."""

    data: Data
    judged: Samples | None
    """What recipes are chosen by. None: there is no data, and random inputs must do."""
    words: str
    """What that is, in words."""
    kept: tuple[str, Samples] | None = None
    """Role, and what is left for the stages of the dataset that it was held out of."""
    columns: frozenset[str] = frozenset()
    """Further columns that `judged` has."""

    def __call__(self, role: str) -> Samples | None:
        """Return what stages may see of a role."""
        if self.kept is not None and role == self.kept[0]:
            return self.kept[1]
        return self.data(role)

    @property
    def withheld(self) -> str:
        """What stages do not see of the data that they are given, for keys; nothing if they see all."""
        return f"{SHARES[self.kept[0]]:g} of {self.kept[0]}" if self.kept is not None else ""


def search_data(data: Data, wanted: Collection[str]) -> SearchData:
    """Return the data of a search; `wanted`: further columns, of which those are read that are there.

    Validation data chooses; without it, a part that is held out of the training data, or else of the calibration data.
    Raises Judged as reading does, and with DataLeak if stages learn from all that could choose.
    """
    role = next((role for role in (VALIDATION, TRAIN, CALIBRATION) if role in data.task.datasets), None)
    if role is None or data.signature is None:
        return SearchData(data, None, "random inputs, since there is no data: losses say little")
    dataset, folder = data.task.datasets[role], data.folder / role
    columns = frozenset(wanted) & set(open_dataset(dataset, folder).names)
    signature = data.signature
    samples = read(dataset, folder, signature.inputs, signature.outputs, data.task.seed, sorted(columns))
    others = [item for name in (TRAIN, CALIBRATION) if name != role and (item := data(name)) is not None]
    if role == VALIDATION:
        judged = _apart(samples, others, f"all {samples.count} validation samples are in the training data")
        return SearchData(data, judged, "validation data", columns=columns)
    try:
        kept, held = hold_out(samples, SHARES[role], data.task.seed)
    except ValueError as error:
        text = f"dataset {dataset.uri}: {error}, and a search needs some to choose by: give compression.data.validation"
        raise Judged(Reason.DATASET_INVALID, text) from error
    judged = _apart(held, others, f"all {held.count} samples that were held out of {role} are in the calibration data")
    words = f"{SHARES[role]:.0%} of the {'training' if role == TRAIN else role} data, held out".replace("%", " %")
    return SearchData(data, judged, words, (role, replace(kept, columns={})), columns)


def _apart(samples: Samples, others: list[Samples], what: str) -> Samples:
    left = without(samples, others)
    if left is None:
        raise Judged(Reason.DATA_LEAK, f"A search has nothing to choose by: {what}.")
    return left
