"""A tokenizer of whole words, as models bring it along."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "is", "not", "a", "colour", "and")


def write(folder: Path, longest: int | None = None) -> None:
    """Write tokenizer.json and tokenizer_config.json; a sample is [CLS] words [SEP]."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"pad_token": "[PAD]"} | ({} if longest is None else {"model_max_length": longest})
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def numbers(text: str) -> list[int]:
    """Return the tokens of words with single spaces between them, special ones included where they are written."""
    return [WORDS.index(word) for word in text.split()]
