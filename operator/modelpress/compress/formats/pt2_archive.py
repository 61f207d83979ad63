"""A `.pt2` archive copied without anything that runs code when torch reads it.

torch.export.load unpickles members without limits (weights that say `use_pickle`, script objects, the example inputs
where a limited read fails), evaluates size expressions with sympy, which is Python's eval, and resolves the names of
operators to any attribute of torch. So torch never reads the source's archive but one that is written here, out of the
members that were checked: raw tensors, and a graph of known operators. Layout: torch 2.13,
torch/export/pt2_archive/_package.py and torch/_export/serde/serialize.py.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelpress.api.reasons import Reason

from ..errors import Judged

PROGRAM = "models/model.json"
WEIGHTS, CONSTANTS = "data/weights/", "data/constants/"
CONFIGS = {
    f"{WEIGHTS}model_weights_config.json": re.compile(r"weight_\d+"),
    f"{CONSTANTS}model_constants_config.json": re.compile(r"tensor_\d+"),
}
"""Members that list raw tensors, and what such tensors are called."""
LEGACY = (f"{WEIGHTS}model.pt", f"{CONSTANTS}model.pt", "serialized_state_dict.pt", "serialized_exported_program.json")
EXAMPLE = "data/sample_inputs/model.pt"
"""Always a pickle, and needed by nobody: written empty."""
TARGET = re.compile(
    r"torch\.ops\.(aten|prims|higher_order)\.(?!_?_?from_file)[A-Za-z]\w*(\.[A-Za-z]\w*)?|torch\._?sym_\w+"
    r"|(_operator|math)\.(?!attrgetter|itemgetter|methodcaller|call)[a-z]\w*"
)
"""Operators of torch itself, of sizes, and of numbers."""
SYMBOL = re.compile(r"[a-z]+\d+")
CONSTANT_NAMES = frozenset({"true", "false", "True", "False", "oo", "int_oo"})
FUNCTIONS = frozenset(
    {"Symbol", "Integer", "Float", "Rational", "Max", "Min", "Add", "Mul", "Pow", "Abs", "floor", "ceiling"}
    | {"Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Where", "Mod", "PythonMod", "ModularIndexing"}
    | {"FloorDiv", "CleanDiv", "CeilDiv", "IntTrueDiv", "FloatTrueDiv", "PowByNatural", "FloatPow", "Identity"}
    | {"FloorToInt", "CeilToInt", "TruncToInt", "TruncToFloat", "RoundToInt", "RoundDecimal", "ToFloat"}
    | {"LShift", "RShift", "IsNonOverlappingAndDenseIndicator"}
)
"""Of sympy, and of torch/utils/_sympy/functions.py."""
PLAIN = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Constant, ast.keyword, ast.Load)
SIGNS = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
CONTAINERS = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
"""What inputs and outputs may be packed in; others import modules to be built."""
SAVE_AGAIN = "save it again with torch.export.save(torch.export.export(module, …), 'model.pt2')"


def copy_plain(source: Path, target: Path) -> None:
    """Write the program of archive `source`, and its raw tensors, to `target`.

    Raises Judged: PickleRefused for what would run code, SourceInvalid for what is no archive of torch.export.save.
    """
    from torch.export.pt2_archive._package import PT2ArchiveWriter  # noqa: PLC0415 - takes a second

    members = _checked(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with PT2ArchiveWriter(str(target)) as writer:
        for name, content in members.items():
            writer.write_bytes(name, content)
        writer.write_bytes(EXAMPLE, b"")


def _checked(path: Path) -> Mapping[str, bytes]:
    """Return the members that torch may read, by name below the archive's root folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename.partition("/")[2] or info.filename: info for info in archive.infolist()}
            if any(info.compress_type != zipfile.ZIP_STORED for info in names.values()):
                raise _invalid(path, "holds compressed members")

            def read(name: str) -> bytes:
                return archive.read(names[name])

            return _members(path, names, read)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise _invalid(path, f"cannot be read ({' '.join(str(error).split())[:200]})") from error


def _members(path: Path, names: Mapping[str, object], read: Any) -> dict[str, bytes]:
    legacy = [name for name in LEGACY if name in names]
    if legacy:
        raise _refused(path, f"keeps tensors in {legacy[0]}, a pickle of an older torch")
    if PROGRAM not in names:
        raise _invalid(path, f"has no {PROGRAM}: a compiled package is no exported program")
    program = json.loads(read(PROGRAM))
    _check_program(path, program)
    found = {PROGRAM: json.dumps(program).encode()}
    for name, tensor in CONFIGS.items():
        config = json.loads(read(name))
        _check_expressions(path, config)
        for key, entry in config["config"].items():
            file = str(entry["path_name"])
            if entry["use_pickle"] is not False or not tensor.fullmatch(file):
                raise _refused(path, f"keeps {key} as the pickled object {file}")
            member = f"{name.rpartition('/')[0]}/{file}"
            found[member] = read(member)
        found[name] = json.dumps(config).encode()
    return found


def _check_program(path: Path, program: Any) -> None:
    """Raise Judged unless all that torch would look up or evaluate is known."""
    _check_expressions(path, program)
    for item in _objects(program):
        target = item.get("target")
        if isinstance(target, str) and not TARGET.fullmatch(target):
            raise _refused(path, f"calls {target[:100]}, which is no operator of torch")
        for key in ("in_spec", "out_spec"):
            if isinstance(item.get(key), str) and item[key]:
                packed = [part.get("type") for part in _objects(json.loads(item[key]))]
                unknown = [kind for kind in packed if kind not in CONTAINERS]
                if unknown:
                    raise _refused(path, f"packs tensors in {unknown[0]}: export it with tuples, lists or dictionaries")


def _check_expressions(path: Path, value: Any) -> None:
    """Raise Judged unless every size expression is arithmetic of symbols, which evaluates nothing else."""
    for item in _objects(value):
        text = item.get("expr_str")
        if text is not None and not (isinstance(text, str) and _is_arithmetic(text)):
            raise _refused(path, f"has the size {str(text)[:100]!r}, which is no arithmetic")


def _is_arithmetic(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            known = node.id in FUNCTIONS if id(node) in called else SYMBOL.fullmatch(node.id)
            if not known and node.id not in CONSTANT_NAMES:
                return False
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and not SYMBOL.fullmatch(node.value):
                return False
        elif isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name):
                return False
        elif not isinstance(node, PLAIN + SIGNS):
            return False
    return True


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object in `value`."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)


def _refused(path: Path, what: str) -> Judged:
    return Judged(
        Reason.PICKLE_REFUSED,
        f"{path.name} {what}, which can run code when it is read: {SAVE_AGAIN}, or set source.trustCode to true.",
    )


def _invalid(path: Path, what: str) -> Judged:
    return Judged(Reason.SOURCE_INVALID, f"{path.name} {what}: {SAVE_AGAIN}.")
