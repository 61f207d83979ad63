"""What the rows on MiniLM share: the model, texts unlike those of the calibration, embeddings, search, figures.

Calibration is Python's reference. Judged are scikit-learn's descriptions of its data sets (flowers, wine, tumours) and
the docstrings of its functions; a search asks for each docstring's body by its first sentence.
"""

from __future__ import annotations

import ast
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from tokenizers import Tokenizer

from modelpress.api.results import Progress

from .product import Columns, Product, press, write_data
from .protocol import Job, session
from .statistics import Estimate, bootstrap, loss_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "minilm" / "prepare.py"
LENGTH = 64
PAIRS = 200
"""Questions of the search, and passages that answer them."""
BEST = 10
BATCH = 16


@dataclass
class Texts:
    """What is judged, tokenized; `questions` ask for the passages of the same number."""

    descriptions: Columns
    questions: Columns
    passages: Columns

    def whole(self) -> list[Columns]:
        """Return all texts, whose embeddings are compared."""
        return [self.descriptions, self.passages]


@dataclass
class Clock:
    """CPU seconds at which the product reported things."""

    marks: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        """Note a report."""
        self.marks.append((time.process_time(), progress.detail or progress.stage))


def prepare(job: Job) -> tuple[Path, Texts]:
    """Lay out the source and its calibration data; return the folder and the texts to judge by."""
    found = importlib.util.spec_from_file_location("minilm_prepare", EXAMPLE)
    assert found is not None and found.loader is not None
    example = importlib.util.module_from_spec(found)
    found.loader.exec_module(example)
    prepared = job.work / "minilm"
    example.main(prepared)
    tokenizer = Tokenizer.from_file(str(prepared / "source" / "tokenizer.json"))
    calibration = dict(np.load(prepared / "data" / "calibration.npz"))
    count = 4 if job.smoke else None
    write_data(prepared, {"calibration": {name: column[:count] for name, column in calibration.items()}})
    pairs = docstrings()[: 8 if job.smoke else PAIRS]

    def tokens(texts: list[str]) -> Columns:
        tokenized: Columns = example.tokenize(tokenizer, texts, LENGTH)
        return tokenized

    texts = Texts(
        tokens(example.descriptions(24)[: 8 if job.smoke else None]),
        tokens([question for question, _ in pairs]),
        tokens([passage for _, passage in pairs]),
    )
    return prepared, texts


def docstrings() -> list[tuple[str, str]]:
    """Return (first sentence, what follows) of docstrings of scikit-learn's public functions and classes, shuffled."""
    found: dict[str, str] = {}
    for path in sorted(Path(sklearn.__file__).parent.rglob("*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
            words = rest.split()
            if 5 <= len(first.split()) <= 30 and len(words) >= 60 and first not in found:
                found[" ".join(first.split())] = " ".join(words[:60])
    pairs = list(found.items())
    return [pairs[number] for number in np.random.default_rng(0).permutation(len(pairs))]


def pressed(job: Job, prepared: Path, recipe: str) -> tuple[Product, Clock]:
    """Run a recipe; return what came of it, and when the product reported what."""
    clock = Clock()
    return press(recipe, prepared, job.work / "minilm-pressed" / recipe, report=clock), clock


def embed(path: Path, columns: Columns) -> NDArray[Any]:
    """Return (texts, 384), each of length 1. Texts of like length are asked together."""
    asked = session(path)
    lengths = columns["attention_mask"].sum(1)
    order = np.argsort(lengths, kind="stable")
    found: NDArray[Any] | None = None
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        longest = int(lengths[rows].max())
        (part,) = asked.run(None, {name: column[rows, :longest] for name, column in columns.items()})
        if found is None:
            found = np.empty((len(order), part.shape[1]), np.float32)
        found[rows] = part
    assert found is not None
    return found


@dataclass
class Likeness:
    """How alike the embeddings of a candidate and the original are."""

    mean: Estimate
    """Of the cosine."""
    first_percentile: Estimate
    search_loss: Estimate
    """Of nDCG@10, in 0…1."""

    def figures(self) -> dict[str, float | str]:
        """Return what is shown."""
        return {
            "cosine": self.mean.point,
            "cosine, bound": self.mean.bound,
            "p1": self.first_percentile.point,
            "p1, bound": self.first_percentile.bound,
            "search loss, points": 100 * self.search_loss.point,
            "search loss, bound": 100 * self.search_loss.bound,
        }


class Judge:
    """Compares with the original; its embeddings are computed once."""

    def __init__(self, original: Path, texts: Texts) -> None:
        self.texts = texts
        self.wanted, self.gains = self._answers(original)

    def compare(self, path: Path) -> Likeness:
        """Return how alike the ONNX file answers."""
        got, gains = self._answers(path)
        cosines = (self.wanted * got).sum(1)
        first: Callable[[NDArray[Any]], Any] = lambda values: np.percentile(values, 1)  # noqa: E731
        return Likeness(
            bootstrap(cosines, np.mean, lower=True),
            bootstrap(cosines, first, lower=True),
            loss_of((self.gains - gains)[None]),
        )

    def _answers(self, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the embeddings of all texts, and what each question's search is worth."""
        parts = [embed(path, columns) for columns in self.texts.whole()]
        return np.concatenate(parts), gains(embed(path, self.texts.questions), parts[-1])


def gains(questions: NDArray[Any], passages: NDArray[Any]) -> NDArray[Any]:
    """Return nDCG@10 of each question, which the passage of the same number answers: 1 / log2(1 + its rank)."""
    scores = questions @ passages.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(1)
    return np.where(ranks <= BEST, 1 / np.log2(1 + ranks), 0.0)


def calibration(prepared: Path) -> Columns:
    """Return the calibration data that recipes have."""
    return dict(np.load(prepared / "data" / "calibration" / "calibration.npz"))
