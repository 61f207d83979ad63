"""Datasets, as `spec.compression.data` and `spec.evaluation.test` name them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from .base import ApiType, Digest, Uri, rules
from .fields import SecretName


class DatasetFormat(StrEnum):
    """How samples lie in a file."""

    NPZ = "npz"
    SAFETENSORS = "safetensors"
    PARQUET = "parquet"
    JSONL = "jsonl"


TOKEN_COLUMNS = ("input_ids", "attention_mask", "token_type_ids", "labels", "next_ids")
"""Columns that a dataset with `text` has of the tokens, in int64."""


class Text(ApiType):
    """Text that the source's own tokenizer.json makes tokens of, in further columns: input_ids, attention_mask,
    token_type_ids, labels (the tokens, -100 at padding), next_ids (the token after each, -100 where there is none)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.blocks) || !self.blocks || !has(self.pair)",
                "text.blocks joins all texts to one, which has no pair",
            )
        )
    )

    column: str
    """Column of text."""
    pair: str | None = None
    """Column of a second text for each sample. Default: none."""
    length: Annotated[int, Field(ge=1)] | None = None
    """Most tokens of a sample. Default: what the model takes, or what the tokenizer says, or 512."""
    blocks: bool | None = None
    """Join all texts and cut them into samples of `length` tokens, for language models. Default: false."""


class Dataset(ApiType):
    """Samples: columns of equal length, the first axis counts samples. Inputs of a model without a batch axis may be of
    another size in every sample, as graphs are: lists of lists in parquet or jsonl."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                r"has(self.format) || self.uri.matches('[.](npz|safetensors|parquet|jsonl)$')",
                "the ending of uri does not tell the format: set format to npz, safetensors, parquet or jsonl",
            )
        )
    )

    uri: Uri
    """fsspec URL of one file."""
    digest: Digest | None = None
    """What the file must hold. Default: whatever is there."""
    secret_name: SecretName | None = None
    """Secret to read it with. Default: `source.secretName`."""
    format: DatasetFormat | None = None
    """Default: by the ending of the URI. Pickled objects in an npz are refused."""
    inputs: dict[str, str] | None = None
    """Column of each input of the model. Default: the column of the same name."""
    text: Text | None = None
    """A column of text, and how it becomes tokens. Default: none, all columns hold numbers."""
    targets: dict[str, str] | None = None
    """Column of the target of each output of the model. Those of nodes may differ in number from sample to sample, as
    the graphs do. Default: the column `label` for the first output."""
    group: str | None = None
    """Column with equal values where samples belong together, as passages of one document. Bounds on test data then
    count groups; groups that other data shares are reported. Default: each sample stands for itself."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """Use only this many samples, chosen by the seed. Default: all."""


class CompressionData(ApiType):
    """Data that compression may look at. None of it may be the test set."""

    train: Dataset | None = None
    """What finetune and distill train on, and what prune ranks by where it needs data."""
    validation: Dataset | None = None
    """What finetune and distill choose their best epoch by. Default: no choice, the last epoch is kept."""
    calibration: Dataset | None = None
    """What quantize finds the ranges of activations with, and what cut ranks blocks by. Default: 256 samples of
    train."""


def mapped(dataset: Dataset, inputs: Iterable[str]) -> Dataset:
    """Return the dataset with the column of each of these inputs of the model: all that two equal samples share."""
    known = dataset.inputs or {}
    return dataset.model_copy(update={"inputs": {name: known.get(name, name) for name in inputs} or dataset.inputs})
