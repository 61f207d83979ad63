"""`fetch`: source (or artifact), teachers and data into the pod, checked by digest; and whether test data leaked.

Leaks are looked for here because nobody else sees both sides: compression never sees test data, the judge never sees
the others. More than one sample in a hundred of the test data in train or validation, or in whatever else a search
chooses by, ends the Job with DataLeak, before anything is spent on training; fewer, others in calibration, and samples
that are only nearly the same are what the judge passes on (`leaks.json`).
"""

from __future__ import annotations

from pathlib import Path

from modelpress.api.data import Dataset
from modelpress.api.defaults import dataset_format
from modelpress.api.reasons import Reason
from modelpress.api.tasks import (
    DATA_FOLDER,
    EARLIER_SEARCH,
    OUT_FOLDER,
    SOURCE_FOLDER,
    TEACHERS,
    TEST_FOLDER,
    FetchTask,
    PinnedLocation,
)
from modelpress.api.teachers import teacher_role
from modelpress.compress.datasets import (
    count_leaks,
    group_digests,
    near_duplicates,
    row_digests,
    sample_columns,
    sample_names,
)
from modelpress.compress.errors import Judged
from modelpress.store import artifacts, transfer
from modelpress.store.errors import StoreError
from modelpress.store.locations import file_name, in_root, open_place
from modelpress.store.manifest import ASSETS, ONNX, ORIGINAL
from modelpress.store.report import Leaks, NearDuplicates

from .logs import log

COMPRESSED = "compressed"
"""Folder of the result in OUT_FOLDER."""
LEAKS_FILE = "leaks.json"
"""In TEST_FOLDER: what was found of test samples that others may have seen (`Leaks`)."""
TEST = "test"
NAMED = 5
"""Pairs of near-duplicates that are named."""
MOST_LEAKS = 0.01
"""Part of the test samples that may be in train or validation."""


def fetch(task: FetchTask) -> None:
    """Bring everything of `task` into the pod. Raises StoreError, or Judged with DataLeak or DatasetInvalid."""
    if task.source:
        _download("source", task.source, in_root(SOURCE_FOLDER), Reason.SOURCE_NOT_FOUND)
    if task.artifact:
        _fetch_artifact(task.artifact, in_root(OUT_FOLDER), original_only=task.original_only)
    if task.search:
        _fetch_search(task.search)
    for name, place in sorted(task.teachers.items()):
        _download(teacher_role(name), place, in_root(DATA_FOLDER) / TEACHERS / name, Reason.SOURCE_NOT_FOUND)
    folders = {role: _dataset_folder(role) for role in sorted(task.datasets)}
    for role, folder in folders.items():
        _download(role, task.datasets[role], folder, Reason.DATASET_NOT_FOUND)
    if TEST in folders:
        readings = {role: task.readings.get(role) or Dataset(uri=place.uri) for role, place in task.datasets.items()}
        warnings = find_leaks(readings, folders, searches=bool(task.searches))
        near = find_near(readings, folders)
        found = Leaks(warnings=tuple(warnings), near_duplicates=tuple(near))
        (folders[TEST] / LEAKS_FILE).write_text(found.model_dump_json(by_alias=True), encoding="utf-8")


def find_leaks(readings: dict[str, Dataset], folders: dict[str, Path], *, searches: bool = False) -> list[str]:
    """Return a sentence for each other dataset that test samples are in too. Raises Judged with DataLeak for too many.

    `readings` and `folders` say how and where to read the datasets, by role. Calibration data may be test data, unless
    a recipe that is searched for is chosen by it.
    """
    harmless = set() if searches and not {"train", "validation"} & set(readings) else {"calibration"}
    unread = [role for role in readings if not _readable(readings[role])]
    warnings = [f"leaks were not looked for in {role}: this image does not read its format" for role in unread]
    others = sorted(set(readings) - {TEST, *unread})
    if TEST in unread or not others:
        return warnings
    names = {role: sample_names(readings[role], folders[role]) for role in (TEST, *others)}
    for role in others:
        shared = sorted(set(names[TEST]) & set(names[role]))  # what only one of them has is no input of the model
        if not shared:
            warnings.append(f"leaks were not looked for in {role}: it has none of the test data's columns")
            continue
        digests = {one: row_digests(readings[one], folders[one], shared) for one in (TEST, role)}
        count = len(digests[TEST])
        leaked = count_leaks(digests[TEST], {role: digests[role]})[role]
        if leaked:
            text = f"{leaked} of {count} test samples are also in {role}"
            log("leak", role=role, leaked=leaked, of=count)
            if role not in harmless and leaked > MOST_LEAKS * count:
                raise Judged(Reason.DATA_LEAK, f"{text}: take them out of one of the two")
            warnings.append(text)
    return warnings + _shared_groups(readings, folders, others)


def find_near(readings: dict[str, Dataset], folders: dict[str, Path]) -> list[NearDuplicates]:
    """Return what samples of each other dataset test samples are nearly the same as. Equal ones are not among them."""
    if TEST not in readings or not all(_readable(dataset) for dataset in readings.values()):
        return []
    test = sample_columns(readings[TEST], folders[TEST])
    found = []
    for role in sorted(set(readings) - {TEST}):
        near, looked_at = near_duplicates(test, sample_columns(readings[role], folders[role]))
        log("near duplicates", role=role, near=len(near), of=looked_at)
        pairs = tuple((one.row, one.other) for one in near[:NAMED])
        found.append(NearDuplicates(role=role, count=len(near), of=looked_at, pairs=pairs))
    return found


def _shared_groups(readings: dict[str, Dataset], folders: dict[str, Path], others: list[str]) -> list[str]:
    """Return a sentence for each other dataset with groups that test samples come from too."""
    named = {role: group_digests(readings[role], folders[role]) for role in (TEST, *others)}
    shared = count_leaks(named[TEST], {role: named[role] for role in others})
    return [
        f"{count} of the {len(named[TEST])} groups of the test data are also in {role}"
        for role, count in shared.items()
        if count
    ]


def _dataset_folder(role: str) -> Path:
    return in_root(TEST_FOLDER) if role == TEST else in_root(DATA_FOLDER) / role


def _download(role: str, location: PinnedLocation, into: Path, missing: Reason) -> None:
    digest = transfer.download(open_place(location), into, location.digest, missing, file_name(location.uri))
    log("fetched", role=role, uri=location.uri, digest=digest)


def _fetch_artifact(location: PinnedLocation, into: Path, *, original_only: bool) -> None:
    """Lay the artifact's models out as compression leaves them."""
    parts = (ORIGINAL, ASSETS) if original_only else (ONNX, ORIGINAL, ASSETS)
    manifest = artifacts.fetch(location, location.digest, into, parts)
    if ONNX in parts:
        (into / manifest.variants[ONNX]).rename(into / COMPRESSED)
    if manifest.original != ORIGINAL:
        (into / manifest.original).rename(into / ORIGINAL)
    log("fetched", role="artifact", uri=location.uri, digest=location.digest)


def _fetch_search(location: PinnedLocation) -> None:
    """Bring the report of an earlier search, if it is still there: without it there is only more to do."""
    into = in_root(DATA_FOLDER) / Path(EARLIER_SEARCH).parent
    try:
        artifacts.fetch(location, location.digest, into, (artifacts.REPORT,))
    except StoreError as error:
        log("no earlier search", uri=location.uri, reason=error.reason, message=error.message)
    else:
        log("fetched", role="search", uri=location.uri, digest=location.digest)


def _readable(dataset: Dataset) -> bool:
    """Return whether this image reads the format of `dataset`."""
    try:
        if dataset_format(dataset) == "parquet":
            import pyarrow.parquet  # noqa: F401, PLC0415
    except (ValueError, ImportError):
        return False
    return True
