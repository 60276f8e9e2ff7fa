"""Build the zoo: copy its folders, and make the checkpoints and archives that are broken on purpose.

Each folder beside this file is one behaviour, with an ``expected.toml`` that names the row it must end as:

``status``
    ``ok``, ``failed``, ``unsupported`` or, for those that cheat, ``disqualified``.
``stage``
    Where it ends; absent where that depends on the protocol.
``type``
    The error's type, such as ``Timeout`` or ``Crash``.
``match``
    Regular expression on the error's message.
``note``
    Regular expression that one of the row's notes matches.
``sandbox``
    True where only a sandbox holds the submission.
``accelerator``
    The status on an accelerator, where it is another one.
``process``
    True where it would harm the process that loads it, so that it must have one of its own.
``second_core``
    True where it takes a second processor. On a machine that has none free it gains nothing, and its row may be ``ok``.
"""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import os
import shutil
import stat
import struct
import sys
import tomllib
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

ZOO = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour: where it was built, and the row that it must end as."""

    folder: str
    path: Path
    status: str
    stage: str | None = None
    type: str | None = None
    match: str | None = None
    note: str | None = None
    sandbox: bool = False
    process: bool = False
    accelerator: str | None = None
    second_core: bool = False


def expectations() -> dict[str, dict]:
    """Return the contents of every ``expected.toml``, by folder."""
    files = sorted(ZOO.glob("*/expected.toml"))
    return {file.parent.name: tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def build_zoo(destination: Path) -> list[Case]:
    """Build every submission under ``destination`` and return what each must end as."""
    destination.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, expected in expectations().items():
        path = destination / name
        if name in ARCHIVES:
            path = path.with_suffix(".zip")
            ARCHIVES[name](path)
        else:
            source = ZOO / ("honest_nearest" if name in FOLDERS else name)
            shutil.copytree(source, path, ignore=shutil.ignore_patterns("expected.toml", "__pycache__"))
            if name in FOLDERS:
                _write_manifest(path, name)
                FOLDERS[name](path)
            for file, content in CONTENTS.get(name, dict)().items():
                (path / file).parent.mkdir(exist_ok=True)
                (path / file).write_bytes(content)
            for file, target in LINKS.get(name, {}).items():
                (path / file).symlink_to(target)
        cases.append(Case(name, path, **expected))
    return cases


class _Command:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, ("touch /tmp/unpickled",)


def _saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _state(scale: int = 2) -> dict[str, torch.Tensor]:
    """Return a convolution that repeats each pixel scale x scale times."""
    channels = 3 * scale**2
    weight = torch.zeros(channels, 3, 3, 3)
    for channel in range(channels):
        weight[channel, channel // scale**2, 1, 1] = 1.0
    return {"conv.weight": weight, "conv.bias": torch.zeros(channels)}


def _without_bias() -> dict[str, torch.Tensor]:
    return {"conv.weight": _state()["conv.weight"]}


def _with_tail() -> dict[str, torch.Tensor]:
    return _state() | {"tail.weight": torch.zeros(3), "tail.bias": torch.zeros(3)}


def _sparse() -> torch.Tensor:
    with warnings.catch_warnings(action="ignore"):
        return torch.sparse_coo_tensor(
            torch.zeros(1, 1, dtype=torch.long), torch.ones(1), (2**60,), check_invariants=True
        )


def _byte_code(source: str) -> bytes:
    """Return byte code that Python takes without comparing it with a source file (PEP 552, unchecked hash)."""
    return (
        importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(compile(source, "-", "exec"))
    )


def _program(change: Callable[[dict, dict], None]) -> bytes:
    """Return an archive with what the loader of exported programs reads of a graph of one operator, changed."""
    node = {"target": "torch.ops.aten.relu.default", "inputs": [], "outputs": [], "metadata": {}}
    graph = {"nodes": [node], "tensor_values": {"x": {"sizes": [{"as_int": 1}]}}}
    model = {"graph_module": {"graph": graph, "module_call_graph": []}}
    weights = {"config": {"w": {"path_name": "weight_0", "use_pickle": False}}}
    change(model, weights)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x2/models/model.json", json.dumps(model))
        archive.writestr("x2/data/weights/model_weights_config.json", json.dumps(weights))
        archive.writestr("x2/data/weights/weight_0", _saved(_Command()))
        archive.writestr("x2/data/constants/model_constants_config.json", '{"config": {}}')
    return buffer.getvalue()


def _pickled_weight(_model: dict, weights: dict) -> None:
    weights["config"]["w"]["use_pickle"] = True


def _call_of_os(model: dict, _weights: dict) -> None:
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def _evaluated_size(model: dict, _weights: dict) -> None:
    size = {"as_expr": {"expr_str": "__import__('os').system('touch /tmp/unpickled')"}}
    model["graph_module"]["graph"]["tensor_values"]["x"]["sizes"] = [size]


LINKS = {"links_out": {"requirements.txt": "/etc/passwd"}}
"""Links that a folder gets, by name."""

CONTENTS: dict[str, Callable[[], dict[str, bytes]]] = {
    # Not a file of its own, so that tools which read all Python files of the project can.
    "syntax_error": lambda: {"arch.py": b"def srmodel(:\n    pass\n"},
    "honest_trained": lambda: {"x2.safetensors": save(_state())},
    "keys_missing": lambda: {"x2.pth": _saved(_without_bias())},
    "keys_extra": lambda: {"x2.pth": _saved(_with_tail())},
    "keys_misshaped": lambda: {"x2.pth": _saved(_state(3))},
    "checkpoint_truncated": lambda: {"x2.pth": _saved(_state())[:-300]},
    "checkpoint_empty": lambda: {"x2.pth": b""},
    "checkpoint_html": lambda: {"x2.pth": b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"},
    "checkpoint_lfs": lambda: {"x2.pth": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 99\n"},
    "checkpoint_pickle": lambda: {"x2.pth": _saved({"state_dict": _state(), "hook": _Command()})},
    "checkpoint_module": lambda: {"x2.pth": _saved(torch.nn.Conv2d(3, 12, 3))},
    "checkpoint_sparse": lambda: {"x2.pth": _saved({"conv.weight": _sparse()})},
    "checkpoint_huge": lambda: {"x2.pth": _saved({"conv.weight": torch.zeros(1).expand(2**20, 2**20)})},
    "program_pickled_weight": lambda: {"x2.pt2": _program(_pickled_weight)},
    "program_calls_os": lambda: {"x2.pt2": _program(_call_of_os)},
    "program_computes_size": lambda: {"x2.pt2": _program(_evaluated_size)},
    "byte_code_alone": lambda: {"hidden.pyc": _byte_code("raise SystemExit('hidden code ran')")},
    "byte_code_cached": lambda: {
        f"__pycache__/arch.{sys.implementation.cache_tag}.pyc": _byte_code("raise SystemExit('hidden code ran')")
    },
    "checkpoint_safetensors_cut": lambda: {"x2.safetensors": save(_state())[:-20]},
}


def _write_manifest(folder: Path, name: str, more: str = "") -> None:
    (folder / "submission.toml").write_text(f'[submission]\nname = "{name}"\nscales = [2]\n{more}')


def _move_down(folder: Path) -> None:
    """Leave nothing in the folder but folders in folders, with an empty file at the bottom."""
    for file in folder.iterdir():
        file.unlink()
    _nest(folder, 300)  # deeper ones cannot be removed by `shutil.rmtree`


def _nest(folder: Path, depth: int) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):  # one by one, because the whole path is longer than the system allows
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def _sparse_file(folder: Path) -> None:
    with (folder / "data.bin").open("wb") as file:
        file.truncate(1 << 42)


def _odd_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "broken").symlink_to("nothing")
    (folder / "circle").symlink_to("circle")


def _link_as_manifest(folder: Path) -> None:
    (folder / "submission.toml").unlink()
    (folder / "submission.toml").symlink_to("/etc/passwd")


FOLDERS: dict[str, Callable[[Path], object]] = {
    # Honest networks in folders that no repository can hold, or that are too large for one.
    "folder_deep": _move_down,
    "folder_deep_beside": lambda folder: _nest(folder, 60),
    "folder_sparse_file": _sparse_file,
    "link_to_kernel_log": lambda folder: (folder / "log").symlink_to("/proc/kmsg"),
    "link_as_manifest": _link_as_manifest,
    "manifest_backtracking": lambda folder: _write_manifest(
        folder, "a", 'x = 1\ndescription = """\n[' + " " * 3600 + 'x\n"""\n'
    ),
    "manifest_many_mistakes": lambda folder: _write_manifest(
        folder, "a", "".join(f"k{number} = 1\n" for number in range(80_000))
    ),
    "manifest_many_parts": lambda folder: _write_manifest(folder, "a", ".".join("a" * 20_000) + " = 1\n"),
    "requirements_marker": lambda folder: (folder / "requirements.txt").write_text(
        "# for another system\nnumpy; os_name == 'none'\n"
    ),
    "pipe_beside": _odd_files,
}

_ARCH = (ZOO / "honest_trained" / "arch.py").read_text(encoding="utf-8")


def _pack(path: Path, *entries: tuple[str | zipfile.ZipInfo, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr("arch.py", _ARCH)
        archive.writestr("checkpoint.pth", _saved(_state()))
        for name, content in entries:
            archive.writestr(name, content)


def _link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("utils")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def _encrypted(path: Path) -> None:
    _pack(path)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)


def _truncated(path: Path) -> None:
    _pack(path)
    path.write_bytes(path.read_bytes()[:-100])


def _zip64_index(path: Path) -> None:
    """Write an archive with a large index whose size only the records of zip64 state."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(9000):
            entry = zipfile.ZipInfo(f"{number}")
            entry.comment = b"c" * 1400
            archive.writestr(entry, "")
    raw = path.read_bytes()
    end = raw.rindex(b"PK\x05\x06")
    size, offset = struct.unpack("<II", raw[end + 12 : end + 20])
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 9000, 9000, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    small = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9000, 9000, 0, 0xFFFFFFFF, 0)
    path.write_bytes(raw[:end] + record + locator + small)


ARCHIVES: dict[str, Callable[[Path], None]] = {
    "zip_protocol": lambda path: _pack(path, ("utils/__init__.py", ""), ("results/1.png", b"not read")),
    "zip_slip": lambda path: _pack(path, ("../escaped.py", "")),
    "zip_absolute": lambda path: _pack(path, ("/tmp/escaped.py", "")),
    "zip_symlink": lambda path: _pack(path, (_link(), "/etc")),
    "zip_bomb": lambda path: _pack(path, ("zeros.bin", bytes(2**25))),
    "zip_nested": lambda path: _pack(path, ("more.zip", b"PK")),
    "zip_encrypted": _encrypted,
    "zip_duplicate": lambda path: _pack(path, ("arch.py", "")),
    "zip_case": lambda path: _pack(path, ("ARCH.py", "")),
    "zip_truncated": _truncated,
    "archive_deep_names": lambda path: _pack(path, *[("d/" * 400 + str(number), "") for number in range(20)]),
    "archive_index_of_zip64": _zip64_index,
    "archive_many_folders": lambda path: _pack(
        path, *[("/".join(f"{number}{letter}" for letter in "abcd") + "/x", "") for number in range(4900)]
    ),
}
