"""What the served model answers, and the last screen: size, accuracy, latency, and five images with their answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubectl
import numpy as np
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "digits"))
from client import ask  # type: ignore[import-not-found]

SHADES = " ░▒▓█"


@dataclass(frozen=True)
class Answers:
    """What Triton answered on the held-out images."""

    images: np.ndarray
    """(n, 1, 8, 8), 0…1."""
    labels: np.ndarray
    """(n,)."""
    grpc: np.ndarray
    """Classes answered over gRPC, (n,)."""
    http: np.ndarray
    """Classes answered over HTTP, (n,)."""

    @property
    def right(self) -> int:
        """Number of right answers over gRPC."""
        return int((self.grpc == self.labels).sum())


def wilson_interval(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    share = right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return float(middle - half), float(middle + half)


def ask_served(namespace: str, model: str, test: Path) -> Answers:
    """Ask the served `model` for all images of `test`, over both protocols."""
    with np.load(test) as data:
        images, labels = data["image"], data["label"]
    with kubectl.port_forward(namespace, f"service/{model}", 8000, 8001) as (http, grpc):
        return Answers(
            images,
            labels,
            ask("grpc", grpc, model, images).argmax(1),
            ask("http", http, model, images).argmax(1),
        )


def show(console: Console, model: str, status: dict[str, Any], answers: Answers) -> None:
    """Print the last screen."""
    compression = status["compression"]
    metric = compression["metrics"][0]
    low, high = wilson_interval(answers.right, len(answers.labels))
    table = Table(title=f"{model}: what compression brought and cost", title_justify="left")
    for column in ("", "original", "compressed", ""):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row(
        "bytes on disk",
        f"{compression['originalBytes']:,}",
        f"{compression['compressedBytes']:,}",
        compression["ratioText"],
    )
    table.add_row(
        f"{metric['name']}, offline",
        f"{metric['original']:.1%}",
        f"{metric['compressed']:.1%}",
        f"n={metric['samples']}",
    )
    table.add_row(
        f"{metric['name']}, through Triton",
        "",
        f"{answers.right / len(answers.labels):.1%}",
        f"95 % interval {low:.1%} … {high:.1%}, n={len(answers.labels)}",
    )
    for latency in compression.get("latency", []):
        original, compressed = latency["originalP50"], latency["compressedP50"]
        table.add_row(
            f"median latency, batch {latency['batchSize']}",
            f"{original:.3f} ms",
            f"{compressed:.3f} ms",
            f"{original / compressed:.2f}x as fast",
        )
    console.print(table)
    same = int((answers.grpc == answers.http).sum())
    console.print(f"gRPC and HTTP gave the same answer on {same} of {len(answers.labels)} images.")
    console.print(Columns([_panel(answers, number) for number in range(5)]))


def _panel(answers: Answers, number: int) -> Panel:
    rows = (answers.images[number, 0] * (len(SHADES) - 1)).round().astype(int)
    drawing = "\n".join("".join(SHADES[value] * 2 for value in row) for row in rows)
    right = answers.grpc[number] == answers.labels[number]
    return Panel(
        drawing,
        title=f"is {answers.labels[number]}",
        subtitle=f"answer {answers.grpc[number]}",
        border_style="green" if right else "red",
        expand=False,
    )
