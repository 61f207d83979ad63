"""Row: bytes of MiniLM, embeddings and search nearly as before, no word dropped."""

from __future__ import annotations

from . import competitors, minilm
from .minilm import Judge, Likeness
from .protocol import Contestant, Job, Row, baseline_bytes, bytes_of

RECIPES = ("minilm-small", "minilm-smallest")
REACH, BEYOND = 5.5, 6.5
"""Ratio of bytes."""
COSINE, FIRST_PERCENTILE, SEARCH = 0.99, 0.98, 0.01


def measure(job: Job) -> Row:
    """Run it."""
    prepared, texts = minilm.prepare(job)
    made = {recipe: minilm.pressed(job, prepared, recipe)[0] for recipe in RECIPES[: 1 if job.smoke else None]}
    original = next(iter(made.values())).original
    before = baseline_bytes(original, prepared / "source")
    paths = {recipe: product.compressed for recipe, product in made.items()}
    calibration = minilm.calibration(prepared)
    for name, compress in competitors.of_transformers(job).items():
        paths[name] = compress(original, calibration, job.work / "minilm-others")
    judge = Judge(original, texts)
    contestants, best = [], 0.0
    for name, path in paths.items():
        ratio = before / bytes_of(path)
        try:
            likeness = judge.compare(path)
        except Exception as error:  # onnxruntime's exceptions share no base class
            if name in made:
                raise
            refused = f"does not load: {' '.join(str(error).split())[:120]}"
            contestants.append(Contestant(name, {"bytes": bytes_of(path), "ratio": ratio, "cosine": refused}))
            continue
        contestants.append(
            Contestant(name, {"bytes": bytes_of(path), "ratio": ratio, **likeness.figures()}, name in made)
        )
        if name in made and keeps(likeness):
            best = max(best, ratio)
    return Row(
        name="minilm-bytes",
        title="MiniLM, bytes",
        reach="5.5x at mean cosine 0.99, 1st percentile 0.98, at most 1 point of search lost",
        beyond="6.5x",
        contestants=contestants,
        reached=best >= REACH,
        surpassed=best >= BEYOND,
        remarks=[
            f"{before:,} bytes before; {len(judge.wanted)} texts; {len(judge.gains)} questions, "
            f"nDCG@10 of the original {judge.gains.mean():.3f}.",
            "Calibration data are Python's reference; texts and questions are scikit-learn's.",
        ],
    )


def keeps(likeness: Likeness) -> bool:
    """Whether the bounds keep what is demanded of embeddings and search."""
    return (
        likeness.mean.bound >= COSINE
        and likeness.first_percentile.bound >= FIRST_PERCENTILE
        and likeness.search_loss.bound <= SEARCH
    )
