"""Formats of sources, one file each. A new format is a file here and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from modelpress.api.source import Source, SourceFormat

from ..models import GraphModel, Medium, ModuleModel
from . import onnx_source, torch_export_source, torch_source, transformers_source

Loader = Callable[[Source, Path, Path], ModuleModel | GraphModel]
"""(source, folder of the source, scratch folder) → model."""

FORMATS: Mapping[SourceFormat, tuple[Medium, Loader]] = MappingProxyType(
    {
        SourceFormat.TORCH: (Medium.MODULE, torch_source.load),
        SourceFormat.TRANSFORMERS: (Medium.MODULE, transformers_source.load),
        SourceFormat.TORCH_EXPORT: (Medium.PROGRAM, torch_export_source.load),
        SourceFormat.ONNX: (Medium.GRAPH, onnx_source.load),
    }
)
"""What each format is loaded as, and by what."""


def assets_of(source: Source, folder: Path) -> tuple[str, ...]:
    """Return the patterns of the files to carry into the artifact: the spec's, else those that the format has."""
    if source.format is SourceFormat.TRANSFORMERS and not source.assets:
        return transformers_source.assets(folder)
    return source.assets or ()
