"""Search Python's reference by meaning, with a compressed MiniLM.

python examples/minilm/search.py <artifact>/model.onnx <artifact>/tokenizer.json "repeat until something is false"
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import common  # type: ignore[import-not-found]
from prepare import tokenize  # type: ignore[import-not-found]

QUESTIONS = {
    "when is an object destroyed": "specialnames",
    "define how two objects are added": "specialnames",
    "clean up after an exception was caught": "compound",
    "run a block once for every item": "compound",
    "numbers with a real and an imaginary part": "types",
    "pad a number with zeros when printing it": "formatstrings",
    "turn text into capital letters": "string-methods",
    "append an element at the end of a list": "typesseq",
    "stop the program at a line and look at variables": "debugger",
}
"""Questions in other words than the text's, and the chapter that answers each."""


class Index:
    """Passages and their embeddings."""

    def __init__(self, model: Path, tokenizer: Path, words: int = 40) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.passages = common.passages(words)
        self.embeddings = self.embed([text for _, text in self.passages])

    def embed(self, texts: list[str], batch: int = 32) -> np.ndarray:
        """Return (texts, 384), each of length 1."""
        parts = [texts[start : start + batch] for start in range(0, len(texts), batch)]
        return np.concatenate([self.session.run(None, tokenize(self.tokenizer, part, 96))[0] for part in parts])

    def search(self, questions: list[str], best: int = 3) -> np.ndarray:
        """Return the numbers of the passages nearest to each question, (questions, best)."""
        return np.argsort(-(self.embed(questions) @ self.embeddings.T), axis=1)[:, :best]


def main(model: Path, tokenizer: Path, questions: list[str]) -> None:
    """Print the passages nearest to each question."""
    index = Index(model, tokenizer)
    for question, found in zip(questions, index.search(questions), strict=True):
        print(question)
        for number in found:
            print(f"  {index.passages[number][0]:15} {index.passages[number][1][:90]}…")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or list(QUESTIONS))
