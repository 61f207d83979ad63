"""What was tried is found again by recipe, and a trial that ends its process is not begun for ever."""

from __future__ import annotations

from pathlib import Path

from modelpress.api.figures import Figures
from modelpress.api.stages import Fuse, Quantize, QuantizePreset, Stage
from modelpress.compress.layout import COMPRESSED
from modelpress.compress.search.records import BEGUN, DOCUMENT, TRIES, Record, Records

FUSE = (Stage(fuse=Fuse()),)
INT8 = (Stage(quantize=Quantize(preset=QuantizePreset.INT8)),)
RECORD = Record(seconds=2.5, figures=Figures(original_bytes=10, compressed_bytes=4), speedup=1.5)


def test_a_trial_is_found_again_by_its_recipe_and_by_no_other(tmp_path: Path) -> None:
    records = Records(tmp_path, {"source": "a"})
    model = records.begin(FUSE) / COMPRESSED
    model.parent.mkdir()
    model.write_bytes(b"model")
    assert records.find(FUSE) is None, "it has only begun"
    records.keep(FUSE, RECORD)
    assert Records(tmp_path, {"source": "a"}).find(FUSE) == RECORD
    assert records.find(INT8) is None
    assert Records(tmp_path, {"source": "b"}).find(FUSE) is None, "of another source"
    model.unlink()
    assert records.find(FUSE) is None, "its model is gone"


def test_what_a_killed_trial_left_is_swept_away_before_it_begins_again(tmp_path: Path) -> None:
    records = Records(tmp_path, {})
    place = records.begin(FUSE)
    (place / "compressed").mkdir()
    (place / "compressed" / "model.onnx").write_bytes(b"half of a mod")
    assert [item.name for item in records.begin(FUSE).iterdir()] == [BEGUN]


def test_a_trial_that_ends_its_process_each_time_is_given_up(tmp_path: Path) -> None:
    records = Records(tmp_path, {})
    for _ in range(TRIES):
        assert records.find(FUSE) is None
        records.begin(FUSE)
    found = records.find(FUSE)
    assert found is not None and found.figures is None and "ended the process" in found.failure


def test_a_record_that_is_damaged_is_none(tmp_path: Path) -> None:
    records = Records(tmp_path, {})
    records.begin(FUSE)
    records.keep(FUSE, Record(seconds=1.0, failure="It cannot be."))
    assert records.find(FUSE) is not None, "what came to nothing has no model"
    document = records.place(FUSE) / DOCUMENT
    document.write_bytes(document.read_bytes()[:20])
    assert records.find(FUSE) is None
    records.forget(FUSE)
    assert not records.place(FUSE).exists()
