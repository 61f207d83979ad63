"""`spec.source`: where the model comes from and how it is loaded."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .base import ApiType, Digest, Uri, rules
from .fields import Entrypoint, Name, SecretName

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
Dtype = Annotated[str, Field(pattern=f"^({'|'.join(DTYPES)})$", json_schema_extra={"enum": list(DTYPES)})]
"""A type of elements, as numpy calls it."""


class SourceFormat(StrEnum):
    """How the model lies in the store."""

    TORCH = "torch"
    TRANSFORMERS = "transformers"
    TORCH_EXPORT = "torch-export"
    ONNX = "onnx"


PICKLES = frozenset({".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"})
"""Endings of files that are pickles, as weights are often saved; reading one runs code."""


class SourceTask(StrEnum):
    """What a transformer is used for: its head, and what it answers. `sequence` is dynamic, as the batch is."""

    FEATURE_EXTRACTION = "FeatureExtraction"
    SENTENCE_EMBEDDING = "SentenceEmbedding"
    TEXT_CLASSIFICATION = "TextClassification"
    TOKEN_CLASSIFICATION = "TokenClassification"
    MASKED_LM = "MaskedLM"
    CAUSAL_LM = "CausalLM"


Axis = Annotated[int, Field(ge=1)] | Annotated[str, Field(max_length=63, pattern="^[a-z][a-z0-9_]*$")]
"""A size, or the name of a dynamic axis."""


class TensorSpec(ApiType):
    """One input or output of the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.shape) || !self.shape.exists(axis, axis == 'batch')"
                " || self.shape[0] == 'batch' && self.shape.filter(axis, axis == 'batch').size() == 1",
                "the axis batch comes first in shape, and only once",
            )
        )
    )

    name: Name
    """Name by which clients and datasets call it."""
    dtype: Dtype | None = None
    """Type of the elements. Default: float32 for an input of a torch model, int64 for one of a transformer, else as the
    model has it."""
    shape: Annotated[tuple[Axis, ...], Field(max_length=8)] | None = None
    """Sizes of the axes; an axis with a name instead is dynamic: `[batch, 1, 8, 8]`. An axis `batch` must come first;
    without one the model is served unbatched. Needed for inputs of a torch model. Default: as the model has it; for an
    input of a transformer [batch, sequence]."""


class Source(ApiType):
    """Where the model comes from and how it is loaded."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.format != 'torch' || has(self.entrypoint)",
                "format torch needs source.entrypoint, as file:function",
            ),
            (
                "self.format != 'torch' || has(self.trustCode) && self.trustCode",
                "format torch runs code out of the source: set source.trustCode to true",
            ),
            (
                "self.format != 'torch'"
                " || has(self.inputs) && self.inputs.size() > 0 && self.inputs.all(input, has(input.shape))",
                "format torch needs source.inputs, with a name and a shape each",
            ),
            (
                "self.format != 'torch' || has(self.outputs) && self.outputs.size() > 0",
                "format torch needs source.outputs, with a name each",
            ),
            (
                "self.format == 'torch' || !has(self.entrypoint)",
                "only format torch takes source.entrypoint",
            ),
            (
                "(self.format == 'transformers') == has(self.task)",
                "format transformers needs source.task, and no other format takes one",
            ),
            (
                "!has(self.inputs) || self.inputs.all(input, self.inputs.exists_one(other, other.name == input.name))",
                "each of source.inputs needs a name of its own",
            ),
            (
                "!has(self.outputs)"
                " || self.outputs.all(output, self.outputs.exists_one(other, other.name == output.name))",
                "each of source.outputs needs a name of its own",
            ),
        )
    )

    uri: Uri
    """fsspec URL of the folder, or of the one file of an ONNX or .pt2 model: `s3://models/digits/`."""
    digest: Digest | None = None
    """What the source must hold. Refused with DigestMismatch if it does not. Default: whatever is there, looked up by
    a Job."""
    format: SourceFormat
    """torch: an entrypoint with `weights.safetensors` beside it. transformers: a folder as on the Hugging Face hub,
    with config.json, model.safetensors and tokenizer; code in it never runs. torch-export:
    `model.pt2` of torch.export.save, which takes fuse and quantize as stages. onnx: `model.onnx`, external data beside
    it."""
    task: SourceTask | None = None
    """Head of a transformer and its answer. FeatureExtraction: `last_hidden_state` [batch, sequence, hidden].
    SentenceEmbedding: `embedding` [batch, hidden], pooled and normalized as the folder's modules.json says, else the
    mean over tokens of length 1. TextClassification: `logits` [batch, classes]. TokenClassification: `logits`
    [batch, sequence, classes]. MaskedLM and CausalLM: `logits` [batch, sequence, vocabulary]. Needed by format
    transformers. Default: none."""
    entrypoint: Entrypoint | None = None
    """`file:function` of the source; `model:build` calls `build(**kwargs)` of `model.py`, which returns a
    torch.nn.Module. Needed by format torch. Default: none."""
    kwargs: dict[str, Any] | None = None
    """Keyword arguments of the entrypoint. Default: none."""
    trust_code: bool | None = None
    """Whether code out of the source may run, in a container without credentials: an entrypoint, or what is pickled in
    a .pt2. Default: false."""
    inputs: Annotated[tuple[TensorSpec, ...], Field(max_length=16)] | None = None
    """The inputs, in the order of the module's forward; a transformer's by name, int64 and [batch, sequence] where not
    said otherwise. Needed by format torch. Default: as in the file; of a transformer input_ids and
    attention_mask."""
    outputs: Annotated[tuple[TensorSpec, ...], Field(max_length=16)] | None = None
    """The outputs, in the order in which forward returns them (a tensor, a tuple, or a mapping by these names). Needed
    by format torch. Default: as in the file, or as the task has them."""
    assets: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=32)] | None = None
    """Glob patterns of files that are carried into the artifact: `tokenizer*`, `labels.txt`. Default: none; of a
    transformer its tokenizer's files and config.json."""
    secret_name: SecretName | None = None
    """Secret of the same namespace with keys accessKeyId, secretAccessKey and optionally endpointUrl, region,
    sessionToken, caBundle. Default: none, anonymous or the service account's own identity."""
