"""Text becomes tokens by the model's own tokenizer, cut, padded and masked; or is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from tests.support import tokenizers

from modelpress.api.data import Dataset, Text
from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.compress.datasets import Samples, read, row_digests
from modelpress.compress.errors import Judged

INPUTS = tuple(
    TensorSpec(name=name, dtype="int64", shape=("batch", "sequence")) for name in ("input_ids", "attention_mask")
)
OUTPUTS = (TensorSpec(name="logits"),)
SENTENCES = ("red is a colour", "green", "blue and green and red and blue and green")


def dataset(folder: Path, text: dict[str, Any], **more: Any) -> Dataset:
    rows = [{"sentence": sentence, "label": number} for number, sentence in enumerate(SENTENCES)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset(uri="s3://bucket/data.jsonl", text=Text.model_validate({"column": "sentence"} | text), **more)


def samples(folder: Path, specs: tuple[TensorSpec, ...] = INPUTS, **settings: Any) -> Samples:
    mapping = {name: settings.pop(name) for name in ("inputs", "targets") if name in settings}
    return read(dataset(folder, settings, **mapping), folder, specs, OUTPUTS, 0, tokenizer=folder / "source")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizers.write(tmp_path / "source")
    return tmp_path


def test_texts_are_padded_to_the_longest_and_masked(folder: Path) -> None:
    found = samples(folder)
    ids, mask = found.inputs["input_ids"], found.inputs["attention_mask"]
    assert ids.shape == mask.shape == (3, 11)
    assert ids[1].tolist() == tokenizers.numbers("[CLS] green [SEP]" + " [PAD]" * 8)
    assert mask.sum(1).tolist() == [6, 3, 11]
    assert found.targets["logits"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("told", "by_tokenizer", "expected"), [(5, 8, 5), (None, 8, 8), (None, 10**30, 11)])
def test_texts_are_cut_to_what_dataset_or_tokenizer_say(
    tmp_path: Path, told: int | None, by_tokenizer: int, expected: int
) -> None:
    tokenizers.write(tmp_path / "source", by_tokenizer)
    ids = samples(tmp_path, **({} if told is None else {"length": told})).inputs["input_ids"]
    assert ids.shape == (3, expected)
    assert ids[2, -1] == tokenizers.numbers("[SEP]")[0]


def test_a_model_that_takes_so_many_tokens_gets_as_many(folder: Path) -> None:
    fixed = tuple(spec.model_copy(update={"shape": ("batch", 16)}) for spec in INPUTS)
    assert samples(folder, fixed).inputs["input_ids"].shape == (3, 16)
    with pytest.raises(Judged, match=r"text.length is 20, and the model takes 6 tokens"):
        samples(folder, tuple(spec.model_copy(update={"shape": ("batch", 6)}) for spec in INPUTS), length=20)


def test_pairs_tell_their_parts_apart(folder: Path) -> None:
    kinds = TensorSpec(name="token_type_ids", dtype="int64", shape=("batch", "sequence"))
    found = samples(folder, (*INPUTS, kinds), pair="sentence")
    assert found.inputs["token_type_ids"][1].tolist() == [0, 0, 0, 1, 1] + [0] * 16


def test_tokens_may_be_targets_of_a_language_model(folder: Path) -> None:
    found = samples(folder, targets={"logits": "next_ids"})
    ids, after = found.inputs["input_ids"], found.targets["logits"]
    assert after[1].tolist() == [*ids[1, 1:3], *[-100] * 9]
    assert samples(folder, targets={"logits": "labels"}).targets["logits"][1, :4].tolist() == [*ids[1, :3], -100]


def test_inputs_of_other_names_are_mapped(folder: Path) -> None:
    named = (INPUTS[0].model_copy(update={"name": "words"}),)
    assert samples(folder, named, inputs={"words": "input_ids"}).inputs["words"].shape == (3, 11)


def test_blocks_are_cut_of_all_texts_one_after_the_other(folder: Path) -> None:
    found = samples(folder, length=4, blocks=True, targets={"logits": "next_ids"})
    stream = tokenizers.numbers(" ".join(f"[CLS] {sentence} [SEP]" for sentence in SENTENCES))
    assert len(stream) == 20
    assert found.inputs["input_ids"].reshape(-1).tolist() == stream
    assert found.targets["logits"].reshape(-1).tolist() == [*stream[1:], -100]
    with pytest.raises(Judged, match="20 tokens, fewer than one block of 21"):
        samples(folder, length=21, blocks=True)


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(Judged, match="no column 'words' of text; it has sentence, label"):
        samples(folder, column="words")
    with pytest.raises(Judged, match="'label' holds int64, not one text"):
        samples(folder, column="label")
    with pytest.raises(Judged, match=r"text.length is 1, and the tokenizer adds \d tokens of its own"):
        samples(folder, length=1)
    (folder / "source" / "tokenizer.json").unlink()
    with pytest.raises(Judged, match=r"brings no tokenizer.json") as caught:
        samples(folder)
    assert caught.value.reason is Reason.DATASET_DOES_NOT_FIT


def test_leaks_of_text_are_found_without_a_tokenizer(tmp_path: Path) -> None:
    digests = row_digests(dataset(tmp_path, {}, inputs={"input_ids": "input_ids"}), tmp_path)
    assert len(set(digests.tolist())) == 3
    again = row_digests(dataset(tmp_path, {"length": 4}), tmp_path)
    numpy.testing.assert_array_equal(digests, again)
