"""Columns of tokens made of a column of text, by a model's own tokenizer.json. Runs nobody's code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.data import TOKEN_COLUMNS, Text
from modelpress.api.defaults import with_defaults
from modelpress.api.reasons import Reason

from ..errors import Judged
from .columns import Array, Columns

FILE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
LONGEST = 512
"""Tokens of a sample where neither dataset nor tokenizer says how many."""
UNLIMITED = 1_000_000
"""Lengths beyond are how tokenizers say that they know none."""
NOTHING = -100
"""Label where nothing is to be learned or measured."""
PIECE = 1024
"""Texts that become tokens at a time."""

Ids = NDArray[numpy.int64]


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer, as its files say."""

    folder: Path
    encoder: Any
    """Of the library tokenizers."""
    length: int
    """Most tokens of a sample."""
    padding: int
    """Token that fills samples up."""

    @classmethod
    def open(cls, folder: Path) -> Tokenizer:
        """Return the tokenizer whose files lie in `folder`. Raises Judged with DatasetDoesNotFit."""
        path = folder / FILE
        if not path.is_file():
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"A dataset names a column of text, and the model brings no {FILE}: put what tokenizer.save_pretrained "
                "writes beside the weights and, unless the format is transformers, name it in source.assets.",
            )
        from tokenizers import Tokenizer as Encoder  # noqa: PLC0415 - not in the operator's image

        try:
            encoder = Encoder.from_file(str(path))
            given = json.loads((folder / SETTINGS).read_text("utf-8")) if (folder / SETTINGS).is_file() else {}
        except Exception as error:  # the library raises plain Exception
            text = " ".join(str(error).split())[:300]
            raise Judged(Reason.SOURCE_INVALID, f"{FILE} cannot be read: {text}") from error
        said = (encoder.truncation or {}).get("max_length") or given.get("model_max_length")
        length = int(said) if isinstance(said, int | float) and said < UNLIMITED else LONGEST
        padding = (encoder.padding or {}).get("pad_id")
        name = given.get("pad_token")
        word = name.get("content") if isinstance(name, dict) else name
        if padding is None and isinstance(word, str):
            padding = encoder.token_to_id(word)
        return cls(folder, encoder, length, padding or 0)

    def encode(self, texts: Iterable[Any], length: int | None) -> list[Any]:
        """Return the tokens of texts or pairs of texts, cut to `length`; None: uncut."""
        self.encoder.no_padding()
        if length is None:
            self.encoder.no_truncation()
        else:
            self.encoder.enable_truncation(length)
        return list(self.encoder.encode_batch(list(texts)))


def with_tokens(opened: Columns, text: Text, folder: Path, width: int | None) -> Columns:
    """Return the columns with those of the tokens of `text`; the tokenizer lies in `folder`.

    `width`: number of tokens that the model takes, None if any. Joined blocks are samples of their own, and so have no
    other columns. Raises Judged.
    """
    taken = sorted(set(TOKEN_COLUMNS) & set(opened.names))
    if taken:
        raise _invalid(opened, f"has a column {taken[0]!r} already, as the tokens of {text.column!r} would be called")
    settings = with_defaults(text)
    for name in (text.column, text.pair):
        if name is not None and name not in opened:
            raise _invalid(opened, f"has no column {name!r} of text; it has {', '.join(opened.names)[:300]}")
    made: dict[str, Ids] = {}

    def load(name: str) -> Array:
        if name not in TOKEN_COLUMNS:
            return opened.load(name, text=True)
        if not made:
            tokenizer = Tokenizer.open(folder)
            length = settings.length or width or tokenizer.length
            parts = [_text(opened, column) for column in (text.column, text.pair) if column is not None]
            made.update(
                _blocks(opened, tokenizer, parts[0], length)
                if settings.blocks
                else _samples(opened, tokenizer, parts, length, width)
            )
        return made[name]

    return Columns(opened.path, TOKEN_COLUMNS if settings.blocks else (*opened.names, *TOKEN_COLUMNS), load)


def _text(opened: Columns, name: str) -> list[str]:
    values = opened.load(name, text=True)
    if values.dtype.kind not in "UT" or values.ndim != 1:
        raise _invalid(opened, f"column {name!r} holds {values.dtype}, not one text for each sample")
    return [str(value) for value in values.tolist()]


def _samples(
    opened: Columns, tokenizer: Tokenizer, parts: list[list[str]], length: int, width: int | None
) -> Mapping[str, Ids]:
    """Return the columns of samples that are cut to `length`, and filled up to `width` or to the longest."""
    own = int(tokenizer.encoder.num_special_tokens_to_add(len(parts) > 1))
    if length <= own:
        raise _invalid(opened, f"text.length is {length}, and the tokenizer adds {own} tokens of its own: raise it")
    texts: list[Any] = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
    found = [
        encoding
        for start in range(0, len(texts), PIECE)
        for encoding in tokenizer.encode(texts[start : start + PIECE], length)
    ]
    empty = next((row for row, encoding in enumerate(found) if not encoding.ids), None)
    if empty is not None:
        raise _invalid(opened, f"sample {empty} has no tokens: drop it, or fill its text")
    wide = width or max((len(encoding.ids) for encoding in found), default=0)
    if any(len(encoding.ids) > wide for encoding in found):
        raise _invalid(opened, f"text.length is {length}, and the model takes {wide} tokens: leave it out")
    tokens, kinds = (numpy.full((len(found), wide), fill, numpy.int64) for fill in (tokenizer.padding, 0))
    mask = numpy.zeros((len(found), wide), numpy.int64)
    for row, encoding in enumerate(found):
        count = len(encoding.ids)
        tokens[row, :count], kinds[row, :count], mask[row, :count] = encoding.ids, encoding.type_ids, 1
    labels = numpy.where(mask > 0, tokens, NOTHING)
    after = numpy.pad(labels[:, 1:], ((0, 0), (0, 1)), constant_values=NOTHING)
    return dict(zip(TOKEN_COLUMNS, (tokens, mask, kinds, labels, after), strict=True))


def _blocks(opened: Columns, tokenizer: Tokenizer, texts: list[str], length: int) -> Mapping[str, Ids]:
    """Return the columns of blocks of `length` tokens, cut of all texts one after the other."""
    stream = numpy.concatenate(
        [
            numpy.asarray(encoding.ids, numpy.int64)
            for start in range(0, len(texts), PIECE)
            for encoding in tokenizer.encode(texts[start : start + PIECE], None)
        ]
        or [numpy.empty(0, numpy.int64)]
    )
    count = len(stream) // length
    if not count:
        raise _invalid(opened, f"has {len(stream)} tokens, fewer than one block of {length}: lower text.length")
    tokens = stream[: count * length].reshape(count, length)
    after = numpy.append(stream, NOTHING)[1 : count * length + 1].reshape(count, length)
    whole = numpy.ones_like(tokens), numpy.zeros_like(tokens)
    return dict(zip(TOKEN_COLUMNS, (tokens, *whole, tokens, after), strict=True))


def _invalid(opened: Columns, problem: str) -> Judged:
    return Judged(Reason.DATASET_INVALID, f"dataset {opened.path.name} {problem}")
