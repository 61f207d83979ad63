"""Format transformers: a folder in the layout of the Hugging Face hub, and a task. Runs no code of the source.

Code that a folder brings along (`auto_map`) and pickled weights are refused; nothing is looked up over the network.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from modelpress.api.reasons import Reason
from modelpress.api.source import Source, TensorSpec

from ..errors import Judged
from ..models import ModuleModel
from ..signature import BATCH, Signature
from .files import refuse_hollow
from .heads import BARE, ENCODER, HEADS, Transformer, answers, simplify_mask
from .pooling import Pooling, read_json
from .weights import some

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = "*.bin"
SEQUENCE = "sequence"
INPUTS = ("input_ids", "attention_mask")
DECODED = "decoder_input_ids"
DTYPE = "int64"
ASSETS = (
    CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
    "chat_template.jinja",
)
"""Files that clients need to make inputs of text and words of answers."""
NO_HEAD = "Unrecognized configuration class"
"""How transformers begins to say that a kind of model has no such head."""
CONVERT = "where you trust it, load it with transformers and write it again with model.save_pretrained(folder)"


def load(source: Source, folder: Path, _scratch: Path) -> ModuleModel:
    """Return the model with the head of `source.task`, float32, in evaluation mode. Raises Judged."""
    if source.task is None:
        raise Judged(Reason.INVALID_SPEC, "Format transformers needs source.task, as TextClassification.")
    pooling = Pooling.read(folder)
    folder = folder / pooling.folder
    check_folder(folder)
    head = HEADS[source.task]
    signature = Signature(_inputs(source), source.outputs or (TensorSpec(name=head.output),)).checked()
    for spec in signature.outputs:
        if spec.name != head.output:
            raise Judged(
                Reason.INVALID_SPEC,
                f"source.outputs names {spec.name}: a transformer with task {source.task} answers {head.output}.",
            )
    model = _pretrained(folder, ENCODER if head.auto_class == BARE and _encoder_alone(folder) else head.auto_class)
    wanted = str(getattr(model, "main_input_name", INPUTS[0]))
    if wanted not in {spec.name for spec in signature.inputs}:
        raise Judged(
            Reason.INVALID_SPEC,
            f"A {model.config.model_type} takes {wanted}, and source.inputs has "
            f"{', '.join(spec.name for spec in signature.inputs)}: name its inputs there, with dtype and shape.",
        )
    module = Transformer(model, head, pooling, tuple(spec.name for spec in signature.inputs)).eval()
    if getattr(model.config, "is_encoder_decoder", False) and DECODED not in module.inputs and not answers(module):
        raise Judged(
            Reason.INVALID_SPEC,
            f"A {model.config.model_type} has an encoder and a decoder: name {DECODED} in source.inputs too, after "
            f"{' and '.join(module.inputs)}, with a shape of its own, as [batch, answered].",
        )
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    simplify_mask(module, int(getattr(model.config, "vocab_size", 1)))
    return ModuleModel(module, signature)


def assets(folder: Path) -> tuple[str, ...]:
    """Return the patterns of the tokenizer's files that are there."""
    return tuple(pattern for pattern in ASSETS if any(folder.glob(pattern)))


def check_folder(folder: Path) -> None:
    """Raise Judged unless the folder holds a plain config and safetensors: SourceInvalid, PickleRefused."""
    path = folder / CONFIG
    if not path.is_file():
        raise Judged(
            Reason.SOURCE_INVALID,
            f"The source has no {CONFIG}: format transformers takes what model.save_pretrained(folder) writes.",
        )
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise Judged(Reason.SOURCE_INVALID, f"{CONFIG} names no model_type, so that nothing says how to build it.")
    if not _known(config["model_type"]):
        raise Judged(
            Reason.SOURCE_INVALID,
            f"{CONFIG} names the model_type {config['model_type']}, which transformers {version('transformers')} here "
            "does not know: use source.format torch with an entrypoint that builds the model.",
        )
    if config.get("auto_map"):
        raise Judged(
            Reason.SOURCE_INVALID,
            f"{CONFIG} names code of its own (auto_map), which format transformers never runs: use source.format "
            "torch with an entrypoint that builds the model.",
        )
    if config.get("quantization_config"):
        raise Judged(
            Reason.SOURCE_INVALID,
            f"{CONFIG} has a quantization_config: the weights are compressed already; name the original model.",
        )
    if any((folder / name).is_file() for name in WEIGHTS):
        check_weights(folder)
        return
    pickles = sorted(item.name for item in folder.glob(PICKLES))
    if pickles:
        raise Judged(Reason.PICKLE_REFUSED, f"{pickles[0]} is a pickle, which runs code when it is read: {CONVERT}.")
    raise Judged(Reason.SOURCE_INVALID, f"The source has no {WEIGHTS[0]}: save the model with save_pretrained.")


def check_weights(folder: Path) -> None:
    """Raise Judged with SourceInvalid unless every file of weights is there, and whole."""
    index = folder / WEIGHTS[1]
    parts = read_json(index).get("weight_map", {}) if index.is_file() else {}
    lacking = sorted({name for name in parts.values() if not (folder / name).is_file()})
    if lacking and not (folder / WEIGHTS[0]).is_file():
        raise Judged(
            Reason.SOURCE_INVALID,
            f"{index.name} names files that are not in the folder: {some(lacking)}. Bring them along.",
        )
    for path in sorted(folder.glob("*.safetensors")):
        refuse_hollow(path)
        try:
            with safe_open(path, framework="pt", device="cpu"):
                pass
        except (SafetensorError, OSError, ValueError) as error:
            raise Judged(
                Reason.SOURCE_INVALID,
                f"{path.name} cannot be read ({' '.join(str(error).split())}): upload it again, it may be truncated.",
            ) from error


def _known(kind: str) -> bool:
    """Return whether transformers can build such a model."""
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - takes seconds, and is needed by this format alone

    return kind in CONFIG_MAPPING


def _trained(folder: Path) -> str:
    """Return what the folder says that its weights are, for the end of a sentence."""
    named = read_json(folder / CONFIG).get("architectures")
    return f", and {CONFIG} says that the weights are those of {', '.join(map(str, named))}" if named else ""


def _encoder_alone(folder: Path) -> bool:
    """Return whether the folder says that its weights are those of the encoder of a model that has a decoder too."""
    from transformers.models.auto import modeling_auto  # noqa: PLC0415 - takes seconds, for this format alone

    config = read_json(folder / CONFIG)
    kind, classes = config["model_type"], list(config.get("architectures") or ())
    encoder = modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(kind)
    return classes == [encoder] and encoder != modeling_auto.MODEL_MAPPING_NAMES.get(kind)


def _inputs(source: Source) -> tuple[TensorSpec, ...]:
    given = source.inputs or tuple(TensorSpec(name=name) for name in INPUTS)
    return tuple(
        TensorSpec(name=spec.name, dtype=spec.dtype or DTYPE, shape=spec.shape or (BATCH, SEQUENCE)) for spec in given
    )


def _pretrained(folder: Path, auto_class: str) -> Any:
    """Return the pretrained model, all of its weights out of the folder. Raises Judged."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers  # noqa: PLC0415 - takes seconds, and is needed by this format alone

    telling: Any = transformers.utils.logging
    telling.set_verbosity_error()
    telling.disable_progress_bar()
    try:
        model, told = getattr(transformers, auto_class).from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="eager",  # the fewest nodes in the graph; runtimes fuse it
            ignore_mismatched_sizes=True,  # told below, with their shapes
            output_loading_info=True,
        )
    except MemoryError:
        raise
    except Exception as error:  # transformers raises whatever its parts raise
        text = " ".join(str(error).split())[:500]
        if text.startswith(NO_HEAD):
            raise Judged(
                Reason.SOURCE_INVALID,
                f"transformers has no {auto_class} for a {read_json(folder / CONFIG)['model_type']}{_trained(folder)}: "
                "choose another source.task, or source.format torch with an entrypoint that builds the model.",
            ) from error
        raise Judged(
            Reason.SOURCE_INVALID, f"The folder does not load as {auto_class}: {type(error).__name__}: {text}"
        ) from error
    missing = sorted(told["missing_keys"])
    if auto_class == BARE and getattr(model, "pooler", None) is not None:
        model.pooler = None  # no answer of hidden states comes from it; a classifier of DeBERTa's is another matter
        missing = [name for name in missing if not name.startswith("pooler.")]
    other = [
        f"{name} is {list(given)} and should be {list(wanted)}"
        for name, given, wanted in sorted(told["mismatched_keys"])
    ]
    problems = [
        f"{what}: {some(names)}" for what, names in (("missing", missing), ("of another shape", other)) if names
    ]
    if problems:
        raise Judged(
            Reason.WEIGHTS_DO_NOT_FIT,
            f"The weights do not fit {type(model).__name__}, which {auto_class} builds of {CONFIG}: "
            f"{'; '.join(problems)}{_trained(folder)}. Choose the task that the model was trained for, and its own "
            f"{CONFIG}; for another head use source.format torch with an entrypoint that builds the model.",
        )
    model.config.use_cache = False
    return model
