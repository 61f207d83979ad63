"""From hidden states to one vector a text, as sentence-transformers' modules.json and 1_Pooling/config.json say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modelpress.api.reasons import Reason

from ..errors import Judged

MODULES = "modules.json"
MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}
"""Keys of older configs; newer ones say `pooling_mode`."""


@dataclass(frozen=True)
class Pooling:
    """How token vectors become one, and whether that one gets length 1."""

    mode: str = "mean"
    """mean and max: over tokens whose attention mask is 1; cls: the first token's."""
    normalize: bool = True
    folder: str = ""
    """Where the transformer itself lies in the source."""

    @classmethod
    def read(cls, folder: Path) -> Pooling:
        """Return what the folder's modules.json says, the defaults without one. Raises Judged for what is not built."""
        if not (folder / MODULES).is_file():
            return cls()
        modules = read_json(folder / MODULES)
        if not isinstance(modules, list) or not all(isinstance(item, dict) for item in modules):
            raise Judged(Reason.SOURCE_INVALID, f"{MODULES} is no list of modules.")
        paths = {str(item.get("type", "")).rpartition(".")[2]: str(item.get("path", "")) for item in modules}
        unknown = sorted(set(paths) - {"Transformer", "Pooling", "Normalize"})
        if unknown or "Transformer" not in paths or any(".." in Path(path).parts for path in paths.values()):
            raise Judged(
                Reason.SOURCE_INVALID,
                f"{MODULES} names {', '.join(unknown) or 'no Transformer'}: a folder may have one Transformer, Pooling "
                "and Normalize, each below itself; for other modules use source.format torch with an entrypoint.",
            )
        mode = _mode(read_json(folder / paths["Pooling"] / "config.json")) if "Pooling" in paths else "mean"
        return cls(mode, "Normalize" in paths, paths["Transformer"])

    def __call__(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Turn (batch, sequence, hidden) and a mask (batch, sequence) into (batch, hidden)."""
        weights = torch.ones_like(hidden[..., :1]) if mask is None else mask[..., None].to(hidden.dtype)
        if self.mode == "cls":
            pooled = hidden[:, 0]
        elif self.mode == "max":
            pooled = hidden.masked_fill(weights == 0, torch.finfo(hidden.dtype).min).amax(1)
        else:
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalize else pooled


def _mode(config: Any) -> str:
    """Return the one way of pooling. Raises Judged for several, or one that is not built."""
    said = config.get("pooling_mode") if isinstance(config, dict) else None
    chosen = [said] if isinstance(said, str) else list(said or ())
    if isinstance(config, dict) and said is None:
        chosen = sorted(MODES.get(key, key) for key, on in config.items() if key.startswith("pooling_mode_") and on)
    if len(chosen) != 1 or chosen[0] not in MODES.values():
        raise Judged(
            Reason.SOURCE_INVALID,
            f"The folder's pooling is {' and '.join(map(str, chosen)) or 'none'}, and one of "
            f"{', '.join(MODES.values())} can be exported: for others use source.format torch with an entrypoint.",
        )
    return str(chosen[0])


def read_json(path: Path) -> Any:
    """Return what a file of the source says. Raises Judged with SourceInvalid."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Judged(Reason.SOURCE_INVALID, f"{path.name} is no readable JSON: {error}") from error
