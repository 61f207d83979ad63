"""Test data that training saw is found before anything is spent on training."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from modelpress.api.data import Dataset, mapped
from modelpress.api.reasons import Reason
from modelpress.api.tasks import (
    DATA_FOLDER,
    EARLIER_SEARCH,
    TEACHERS,
    FetchTask,
    Location,
    PinnedLocation,
    ResolveTask,
)
from modelpress.compress.errors import Judged
from modelpress.store import artifacts, transfer
from modelpress.store.digests import CONTENT, hash_file
from modelpress.store.errors import StoreError
from modelpress.store.locations import ROOT_VARIABLE, open_place
from modelpress.store.manifest import Manifest, ManifestFile
from modelpress.store.report import Leaks, NearDuplicates
from modelpress.tasks.fetch import fetch, find_leaks, find_near
from modelpress.tasks.resolve import resolve

ROWS = numpy.random.default_rng(0).standard_normal((200, 30)).astype(numpy.float32)


def datasets(folder: Path, **rows: numpy.ndarray) -> tuple[dict[str, Dataset], dict[str, Path]]:
    for role, values in rows.items():
        (folder / role).mkdir(parents=True)
        numpy.savez(folder / role / f"{role}.npz", x=values, label=numpy.zeros(len(values), int))
    return {role: Dataset(uri=f"s3://d/{role}.npz") for role in rows}, {role: folder / role for role in rows}


def test_no_leak_is_no_word(tmp_path: Path) -> None:
    assert find_leaks(*datasets(tmp_path, test=ROWS[:100], train=ROWS[100:])) == []


def test_one_sample_in_a_hundred_is_a_warning(tmp_path: Path) -> None:
    found = find_leaks(*datasets(tmp_path, test=ROWS[:100], train=ROWS[99:], calibration=ROWS[:50]))
    assert found == ["50 of 100 test samples are also in calibration", "1 of 100 test samples are also in train"]


@pytest.mark.parametrize("role", ["train", "validation"])
def test_more_is_refused(tmp_path: Path, role: str) -> None:
    with pytest.raises(Judged, match=f"DataLeak: 2 of 100 test samples are also in {role}"):
        find_leaks(*datasets(tmp_path, test=ROWS[:100], **{role: ROWS[98:]}))


def test_samples_that_are_nearly_in_training_data_are_told_and_refuse_nothing(tmp_path: Path) -> None:
    train = ROWS[100:] + 0.0
    train[[3, 40, 77]] = ROWS[[0, 50, 99]] * 1.01
    readings, folders = datasets(tmp_path, test=ROWS[:100], train=train, validation=ROWS[100:])
    assert find_leaks(readings, folders) == []
    assert find_near(readings, folders) == [
        NearDuplicates(role="train", count=3, of=100, pairs=((0, 3), (50, 40), (99, 77))),
        NearDuplicates(role="validation", count=0, of=100),
    ]


def test_documents_that_test_and_training_share_are_told(tmp_path: Path) -> None:
    readings, folders = datasets(tmp_path, test=ROWS[:100], train=ROWS[100:])
    for role, first in (("test", 0), ("train", 90)):
        numpy.savez(
            folders[role] / f"{role}.npz", x=ROWS[first : first + 10], document=numpy.arange(first, first + 10) // 9
        )
        readings[role] = readings[role].model_copy(update={"group": "document"})
    assert find_leaks(readings, folders) == []
    numpy.savez(folders["train"] / "train.npz", x=ROWS[50:60], document=[1] * 10)
    assert find_leaks(readings, folders) == ["1 of the 2 groups of the test data are also in train"]


def test_calibration_data_that_a_search_chooses_by_is_no_test_data(tmp_path: Path) -> None:
    readings, folders = datasets(tmp_path, test=ROWS[:100], calibration=ROWS[:50])
    assert find_leaks(readings, folders) == ["50 of 100 test samples are also in calibration"]
    with pytest.raises(Judged, match="DataLeak: 50 of 100 test samples are also in calibration"):
        find_leaks(readings, folders, searches=True)
    more, where = datasets(tmp_path / "more", test=ROWS[:100], calibration=ROWS[:50], validation=ROWS[100:])
    assert find_leaks(more, where, searches=True) == ["50 of 100 test samples are also in calibration"]


def test_samples_are_the_same_whatever_else_stands_beside_them(tmp_path: Path) -> None:
    readings, folders = datasets(tmp_path, test=ROWS[:100], train=ROWS)
    numpy.savez(folders["test"] / "test.npz", x=ROWS[:100], price=ROWS[:100, 0])
    with pytest.raises(Judged, match="DataLeak: 100 of 100 test samples are also in train"):
        find_leaks(readings, folders)
    numpy.savez(folders["test"] / "test.npz", x=ROWS[:100], id=numpy.arange(100))
    numpy.savez(folders["train"] / "train.npz", pixels=ROWS, id=numpy.arange(200) + 100)
    assert find_leaks(readings, folders) == [], "an id may be an input, as far as the data tells"
    readings["train"] = readings["train"].model_copy(update={"inputs": {"x": "pixels"}})
    with pytest.raises(Judged, match="DataLeak: 100 of 100"):
        find_leaks({role: mapped(reading, ["x"]) for role, reading in readings.items()}, folders)


def test_samples_that_share_one_of_several_inputs_are_others(tmp_path: Path) -> None:
    readings, folders = datasets(tmp_path, test=ROWS[:100], train=ROWS)
    for role, items in (("test", numpy.arange(100)), ("train", numpy.arange(200) + 1000)):
        numpy.savez(folders[role] / f"{role}.npz", who=ROWS[: len(items)], item=items)
        readings[role] = readings[role].model_copy(update={"inputs": {"user": "who"}})
    assert find_leaks({role: mapped(reading, ["user", "item"]) for role, reading in readings.items()}, folders) == []


def test_datasets_without_a_common_column_are_named(tmp_path: Path) -> None:
    readings, folders = datasets(tmp_path, test=ROWS[:100], train=ROWS)
    numpy.savez(folders["train"] / "train.npz", pixels=ROWS)
    assert find_leaks(readings, folders) == [
        "leaks were not looked for in train: it has none of the test data's columns"
    ]


def test_a_format_that_is_not_read_here_is_said(tmp_path: Path) -> None:
    readings, folders = datasets(tmp_path, test=ROWS[:10], train=ROWS)
    readings["train"] = Dataset(uri="s3://d/train.unknown")
    assert find_leaks(readings, folders) == ["leaks were not looked for in train: this image does not read its format"]


def test_the_report_of_an_earlier_search_is_brought_and_nothing_fails_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "pod"))
    (tmp_path / "report.json").write_text("figures")
    file = ManifestFile(path="report.json", size=7, digest=CONTENT + hash_file(tmp_path / "report.json"))
    manifest = Manifest(artifact="digits-1", files=(file,), variants={}, batched=True, inputs=(), outputs=())
    store = Location(uri=f"file://{tmp_path}/store")
    digest = artifacts.publish({"report.json": tmp_path / "report.json"}, manifest, store)
    task = FetchTask(search=PinnedLocation(uri=store.uri, digest=digest))
    fetch(task)
    brought = tmp_path / "pod" / DATA_FOLDER.lstrip("/") / EARLIER_SEARCH
    assert brought.read_text() == "figures"
    brought.unlink()
    (tmp_path / "store/report.json").write_text("changed")
    fetch(task)
    assert not brought.exists()


def test_a_teacher_is_looked_up_as_the_source_is_and_lands_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "pod"))
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"is": "{name}"}}')
    small, large = (Location(uri=f"file://{tmp_path}/{name}") for name in ("small", "large"))
    found = resolve(ResolveTask(source=small, teachers={"large": large}))
    assert set(found.datasets) == {"teacher.large"}
    pinned = PinnedLocation(uri=large.uri, digest=found.datasets["teacher.large"])
    fetch(FetchTask(source=PinnedLocation(uri=small.uri, digest=found.source), teachers={"large": pinned}))
    where = tmp_path / "pod" / DATA_FOLDER.lstrip("/") / TEACHERS / "large"
    assert (where / "config.json").read_text() == '{"is": "large"}'

    (tmp_path / "large/config.json").write_text("changed since")
    with pytest.raises(StoreError) as caught:
        fetch(FetchTask(teachers={"large": pinned}))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    with pytest.raises(StoreError) as caught:
        resolve(ResolveTask(source=small, teachers={"large": Location(uri=f"file://{tmp_path}/lost")}))
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    assert f"{tmp_path}/lost" in caught.value.message


def test_everything_lands_where_the_other_containers_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "pod"))
    store = tmp_path / "store"
    (store / "model").mkdir(parents=True)
    (store / "model/model.py").write_text("pass\n")
    for role, rows in (("test", ROWS[:100]), ("train", ROWS[100:])):
        numpy.savez(store / f"{role}.npz", x=rows)
    uris = {role: f"file://{store}/{role}.npz" for role in ("test", "train")}
    source = f"file://{store}/model/"
    digest = {uri: transfer.resolve(open_place(Location(uri=uri))) for uri in (source, *uris.values())}
    task = FetchTask.model_validate(
        {
            "source": {"uri": source, "digest": digest[source]},
            "datasets": {role: {"uri": uri, "digest": digest[uri]} for role, uri in uris.items()},
        }
    )
    fetch(task)
    found = sorted(path.relative_to(tmp_path / "pod").as_posix() for path in (tmp_path / "pod").rglob("*.*"))
    assert found == ["work/data/train/train.npz", "work/source/model.py", "work/test/leaks.json", "work/test/test.npz"]
    leaks = Leaks.model_validate_json((tmp_path / "pod/work/test/leaks.json").read_bytes())
    assert leaks == Leaks(near_duplicates=(NearDuplicates(role="train", count=0, of=100),))

    (store / "model/model.py").write_text("evil\n")
    with pytest.raises(StoreError) as caught:
        fetch(task)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
