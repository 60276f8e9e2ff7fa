"""Check a ``.pt2`` archive of ``torch.export.save`` and rewrite it so that loading it executes no code.

``torch.export.load`` trusts its file: it unpickles sample inputs and some weights, evaluates expressions of sizes and
guards as Python, looks up the functions of the graph below ``torch``, pastes names into generated source, and loads
compiled libraries. Nothing of the file therefore reaches it unchecked. The archive is written anew from an allowlist:
tensors as raw bytes, operators of the namespace ``aten``, arithmetic on sizes, names that are identifiers.
Everything else is dropped if the network does not need it, and refused if it does.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import SubmissionError

_LIMIT_BYTES = 4 << 30
_LIMIT_GRAPH_BYTES = 64 << 20

_MODEL, _WEIGHTS, _CONSTANTS = (
    "models/model.json", "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
)  # fmt: skip
_MARKS = ("archive_format", "archive_version", "byteorder", ".data/version")
_TENSOR = re.compile(r"data/(?:weights/weight|constants/tensor)_\d{1,6}")
_DROPPED = re.compile(r"data/sample_inputs/model\.pt|extra/.*|\.data/serialization_id|\.format_version|version")

_ATEN = re.compile(r"torch\.ops\.aten\.([a-z_][a-z0-9_]*)\.[A-Za-z0-9_]+")
_REACHES_FILES = {"from_file", "save"}
_ARITHMETIC = re.compile(
    r"_operator\.(?:add|sub|mul|floordiv|truediv|mod|neg|pow|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|torch\.sym_(?:int|float|max|min|not|ite|sqrt|sum)|math\.(?:ceil|floor|trunc|sqrt)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_WORD = re.compile(r"[A-Za-z0-9_.,> -]{0,100}")
"""Values of string arguments, such as ``reflect``, ``tanh`` and ``bchw,cd->bdhw``."""

_EXPRESSION_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Load,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
# Functions of sympy and of torch.utils._sympy that sizes are written with.
_EXPRESSION_FUNCTIONS = frozenset(
    "Symbol Integer Float Rational Add Mul Pow Max Min Mod Abs floor ceiling sign Eq Ne Lt Le Gt Ge Equality "
    "Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan And Or Not Piecewise ExprCondPair FloorDiv "
    "ModularIndexing Where PythonMod CleanDiv CeilToInt FloorToInt CeilDiv LShift RShift PowByNatural FloatPow "
    "FloatTrueDiv IntTrueDiv IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt RoundDecimal "
    "ToFloat Identity".split()
)
# Sizes and numbers that torch names: s0 and u0 are integers, zf0 and zuf0 floating-point.
_SYMBOL = re.compile(r"(?:[su]|z?[su]?f)\d{1,6}|true|false|True|False|oo|int_oo")
_PICKLES = {"data/weights/model.pt", "data/constants/model.pt"}
_CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}


def rewritten(path: Path) -> io.BytesIO:
    """Return the program of a ``.pt2`` file as an archive that ``torch.export.load`` can be given.

    Parameters
    ----------
    path
        File that ``torch.export.save`` of torch 2.9 or newer wrote.

    Raises
    ------
    SubmissionError
        The file is damaged, holds more than tensors and a graph of ``aten`` operators, or is of an older format.
    """
    records = _read_records(path)
    try:
        records[_MODEL] = _dumped(_checked_model(json.loads(records[_MODEL]), path))
        for name in (_WEIGHTS, _CONSTANTS):
            records[name] = _dumped(_checked_tensors(json.loads(records[name]), path))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(error, path) from error
    return _written({**records, "data/sample_inputs/model.pt": b""})


def refusal(what: str, path: Path) -> SubmissionError:
    """Return the error of a file that would execute code if it were loaded as it is."""
    return SubmissionError(
        f"{what}, which is not executed",
        where=path.name,
        hint="export a network of torch's own operators, or trust the file and run with --trust-pickle",
    )


def _read_records(path: Path) -> dict[str, bytes]:
    """Return the records of the archive that are needed, by name without the archive's root folder."""
    records: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > _LIMIT_BYTES:
                raise refusal("has more than 4 GiB of content", path)
            names = {entry.filename.partition("/")[2] for entry in entries}
            if names & _PICKLES or any(entry.filename.startswith("serialized_") for entry in entries):
                raise refusal("has the format of torch 2.8 and older, whose parts are pickles", path)
            for entry in entries:
                name = entry.filename.partition("/")[2]
                if _DROPPED.fullmatch(name) or entry.is_dir():
                    continue
                if name not in {_MODEL, _WEIGHTS, _CONSTANTS, *_MARKS} and not _TENSOR.fullmatch(name):
                    raise refusal(f"contains {name[:100]!a}", path)
                # torch writes every record once and does not compress it.
                if name in records or entry.compress_type != zipfile.ZIP_STORED:
                    raise refusal(f"contains {name} twice or compressed", path)
                if name.endswith(".json") and entry.file_size > _LIMIT_GRAPH_BYTES:
                    raise refusal(f"has a graph of {entry.file_size >> 20} MiB", path)
                records[name] = archive.read(entry)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _damaged(error, path) from error
    return records


def _checked_model(model: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the description of the graph without metadata, and with known operators only."""
    module = model["graph_module"]
    module["metadata"], module["treespec_namedtuple_fields"] = {}, {}
    module["module_call_graph"] = [entry for entry in module["module_call_graph"] if entry["fqn"] == ""]
    model["guards_code"] = []  # Python that torch would compile; it only repeats which sizes are accepted
    for node in module["graph"]["nodes"]:
        node["metadata"] = {}
        _check_operator(node["target"], path)
    for entry in module["module_call_graph"]:
        for key in ("in_spec", "out_spec"):
            _check_containers(json.loads(entry["signature"][key]), path)
    _check_strings(model, path)
    return model


def _check_operator(target: str, path: Path) -> None:
    operator = _ATEN.fullmatch(target)
    if not _ARITHMETIC.fullmatch(target) and (operator is None or operator[1] in _REACHES_FILES):
        raise refusal(f"calls {target[:100]!a}", path)


def _check_containers(spec: list[Any], path: Path) -> None:
    """Check a tree of containers: a context of other types could import a module."""
    pending = [spec[1]]
    while pending:
        node = pending.pop()
        keys = json.loads(node["context"] or "null")
        plain = keys is None or (isinstance(keys, list) and all(isinstance(key, str) for key in keys))
        if node["type"] not in _CONTAINERS or not plain:
            raise refusal(f"takes or returns a {str(node['type'])[:100]!a}", path)
        for key in keys or []:
            _check_name(key, path)
        pending += node["children_spec"]


def _check_strings(model: dict[str, Any], path: Path) -> None:
    """Check every string and key of the description: most of them become part of generated source."""
    for key, value in _strings(model):
        _STRINGS.get(key, _check_name)(value, path)


def _strings(model: Any) -> Iterator[tuple[str, str]]:
    """Yield every string with the key under which it is, and every key of a table as a name."""
    pending: list[tuple[str, Any]] = [("", model)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, list):
            pending += [(key, item) for item in value]
        elif isinstance(value, dict):
            pending += value.items()
            yield from (("", name) for name in value)


def _check_name(name: str, path: Path) -> None:
    if name and (not _NAME.fullmatch(name) or any(part.startswith("__") for part in name.split("."))):
        raise refusal(f"has the name {name[:100]!a}", path)


def _check_word(word: str, path: Path) -> None:
    if not _WORD.fullmatch(word):
        raise refusal(f"passes the text {word[:100]!a} to an operator", path)


def _check_expression(text: str, path: Path) -> None:
    """Check a size, such as ``Mul(Integer(2), Symbol('s0'))``: sympy evaluates it as Python."""
    tree = ast.parse(text[:100_000], mode="eval")
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    for node in ast.walk(tree):
        known = isinstance(node, _EXPRESSION_NODES)
        if isinstance(node, ast.Call):
            known = isinstance(node.func, ast.Name) and node.func.id in _EXPRESSION_FUNCTIONS
        elif isinstance(node, ast.Name):
            known = node.id in called or bool(_SYMBOL.fullmatch(node.id))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            known = bool(_SYMBOL.fullmatch(node.value)) or node.value.replace(".", "").isalnum()
        if not known:
            raise refusal(f"computes a size as {text[:100]!a}", path)


def _ignore(_value: str, _path: Path) -> None:
    """Accept a string that is checked elsewhere or only compared."""


_STRINGS: dict[str, Callable[[str, Path], None]] = {
    "target": _ignore,  # _check_operator
    "in_spec": _ignore,  # _check_containers
    "out_spec": _ignore,
    "torch_version": _ignore,
    "as_string": _check_word,
    "expr_str": _check_expression,
}
"""How the strings under a key are checked; all others are names."""


def _checked_tensors(config: dict[str, Any], path: Path) -> dict[str, Any]:
    for name, tensor in config["config"].items():
        place = f"{tensor['path_name']}"
        if tensor["use_pickle"] or not re.fullmatch(r"(?:weight|tensor)_\d{1,6}", place):
            raise refusal(f"holds {name[:100]!a} as a pickle", path)
    _check_strings(config, path)
    return config


def _dumped(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _written(records: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    buffer.seek(0)
    return buffer


def _damaged(error: Exception, path: Path) -> SubmissionError:
    line = (str(error).strip().splitlines() or [""])[0][:200]
    return SubmissionError(
        f"is no exported program that this version of torch can read: {type(error).__name__}: {line}",
        where=path.name,
        hint="export it again",
    )
