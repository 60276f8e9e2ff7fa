"""Read checkpoints without executing pickled code, unwrap state dicts and match their keys to a network."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import CheckpointError

GIB = 2**30
WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts store the state dict, in order of preference."""
PREFIXES = ("module.", "network.", "model.", "net.", "generator.", "netG.", "_orig_mod.")
"""Prefixes that wrappers (DataParallel, Lightning, torch.compile) add to parameter names."""

_CONVERT = (
    "if you trust its source, `harness convert FILE OUT.safetensors --trust-pickle` converts it, "
    "and `harness run --trust-pickle` executes it in the sandbox"
)
_MAX_LISTED_KEYS = 8


def read_state_dict(
    path: Path, *, expected: Collection[str] | None = None, limit_bytes: int = 4 * GIB, trust_pickle: bool = False
) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint into main memory.

    Parameters
    ----------
    path
        A safetensors file or a file written by ``torch.save`` (current or legacy format).
    expected
        Parameter names of the network, which determine the prefix to strip. By default, ``module.`` and ``network.``
        are stripped if all keys have them.
    limit_bytes
        Largest total size of the tensors. Checked from metadata, before memory is allocated.
    trust_pickle
        Whether to execute code in a pickle. Use it only inside a sandbox or for trusted files.

    Returns
    -------
    dict of str to Tensor
        State dict on the CPU, in the stored dtypes.

    Raises
    ------
    CheckpointError
        The file is missing, empty, damaged, too large or not a checkpoint, or contains code.
    """
    head = _head(path)
    if _is_safetensors(path, head):
        content: Any = _read_safetensors(path, limit_bytes)
    else:
        content = _read_torch(path, head, limit_bytes, trust_pickle)
    state = _unwrap(content, path)
    _check_tensors(state, path, limit_bytes)
    stripped = strip_prefix(state, expected)
    return {key: value for key, value in stripped.items() if key in (expected or ()) or not _is_count(key)}


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(
            f"cannot be opened: {error.strerror}", where=str(path), hint="check the path under [weights]"
        ) from error
    _refuse_lookalikes(head, path)
    return head


def _refuse_lookalikes(head: bytes, path: Path) -> None:
    where = str(path)
    if not head:
        raise CheckpointError("is empty (0 bytes)", where=where, hint="copy the checkpoint again")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            "is a Git LFS pointer, not the weights themselves", where=where, hint="run `git lfs pull` in its repository"
        )
    if re.match(rb"\s*(<!doctype|<html|<\?xml|<head|<body)", head, re.IGNORECASE):
        raise CheckpointError(
            "is a web page (HTML) with the file name of a checkpoint",
            where=where,
            hint="download the file itself, not its download page",
        )


def _is_safetensors(path: Path, head: bytes) -> bool:
    # The format begins with an 8-byte length and a JSON header; no magic number.
    return path.suffix == ".safetensors" or (len(head) > 8 and head[8:9] == b"{" and head[:2] != b"PK")


def _read_safetensors(path: Path, limit_bytes: int) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.stat().st_size > limit_bytes:
        raise _too_large(path.stat().st_size, limit_bytes, path)
    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"is not a complete safetensors file ({error})", where=str(path), hint="copy or save it again"
        ) from error


def _read_torch(path: Path, head: bytes, limit_bytes: int, trust_pickle: bool) -> Any:
    zipped = head.startswith(b"PK")
    if zipped:
        _check_zip(path, limit_bytes)
    elif not head.startswith(b"\x80"):
        raise CheckpointError(
            "is neither a safetensors file nor a file written by torch.save",
            where=str(path),
            hint="save it with safetensors.torch.save_file(network.state_dict(), ...)",
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickle protocols; irrelevant to the submitter
            # mmap only works for the zip format. It avoids a copy of the file in memory.
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle, mmap=zipped or None)
    except pickle.UnpicklingError as error:
        raise _pickle_error(str(error), path) from error
    except MemoryError as error:
        raise _too_large(None, limit_bytes, path) from error
    except Exception as error:  # the opcodes of a damaged pickle may raise any exception
        raise CheckpointError(
            f"is damaged: {_first_line(error)}", where=str(path), hint="copy or save it again"
        ) from error


def _check_zip(path: Path, limit_bytes: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            "is truncated or damaged (its index, at the end of the file, is missing)",
            where=str(path),
            hint="copy the checkpoint again and compare the sizes",
        ) from error
    if packed:
        # Compression would allow a small file to expand without limit, and would defeat mmap.
        raise CheckpointError(
            "is a compressed zip, which torch.save never writes", where=str(path), hint="save it again with torch.save"
        )
    if total > limit_bytes:
        raise _too_large(total, limit_bytes, path)


def _too_large(size: int | None, limit_bytes: int, path: Path) -> CheckpointError:
    amount = "more than the available memory" if size is None else f"{size / GIB:.1f} GiB"
    return CheckpointError(
        f"its tensors take {amount}, the limit is {limit_bytes / GIB:.1f} GiB",
        where=str(path),
        hint="store the weights only, without optimizer state or expanded views",
    )


def _pickle_error(message: str, path: Path) -> CheckpointError:
    # torch names the rejected classes and functions in its message only.
    wanted = dict.fromkeys(re.findall(r"GLOBAL ([\w.]+)", message))
    if wanted:
        what = f"wants to run code while it is loaded ({', '.join(wanted)}); only tensors are allowed"
    else:
        what = "is damaged, or is a pickle of objects other than tensors, which is not executed"
    return CheckpointError(what, where=str(path), hint=_CONVERT)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict inside a module or inside nested dictionaries with the keys :data:`WRAPPERS`."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    for _ in WRAPPERS:  # a bound on the nesting: a pickle may contain a dictionary that contains itself
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    state = (
        {key: value for key, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not state or not all(isinstance(key, str) for key in state):
        raise CheckpointError(
            f"contains no named tensors (it contains a {type(content).__name__})",
            where=str(path),
            hint="save network.state_dict()",
        )
    return state


def _check_tensors(state: Mapping[str, Tensor], path: Path, limit_bytes: int) -> None:
    # Expanded views share storage: a small file may contain tensors that become huge when they are copied.
    total = 0
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise CheckpointError(
                f"{name} is a sparse, quantized or meta tensor", where=str(path), hint="store dense tensors"
            )
        total += tensor.numel() * tensor.element_size()
    if total > limit_bytes:
        raise _too_large(total, limit_bytes, path)


def strip_prefix(state: dict[str, Tensor], expected: Collection[str] | None = None) -> dict[str, Tensor]:
    """Remove the prefixes of wrappers from the keys of ``state``. A prefix is removed only if all keys have it.

    With ``expected``, a prefix other than ``module.`` is removed only if the result has keys of the network, which may
    itself have a submodule called ``network``. Without it, only ``module.`` and ``network.`` are removed.
    """
    if expected is not None and set(state) == set(expected):
        return state
    prefixes = PREFIXES if expected is not None else PREFIXES[:2]
    for prefix in prefixes:
        if all(key.startswith(prefix) for key in state):
            shorter = {key.removeprefix(prefix): value for key, value in state.items()}
            if expected is None or prefix == "module." or set(shorter) & set(expected):
                return strip_prefix(shorter, expected)
    return state


def _is_count(key: str) -> bool:
    """Return whether ``key`` is a buffer that the profiler thop adds to networks and thereby to checkpoints."""
    return key.rpartition(".")[2] in ("total_ops", "total_params")


def misfits(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """Return how the checkpoint ``state`` differs from the network's parameters ``own``, or None if it matches."""
    # torch before 0.4.1 did not store num_batches_tracked, which inference does not use.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} ({_shape(state[key])} for {_shape(own[key])})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    groups = (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
    found = [f"{len(keys)} {label}: {_bounded(keys)}" for label, keys in groups if keys]
    return "; ".join(found) or None


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _bounded(keys: list[str]) -> str:
    rest = len(keys) - _MAX_LISTED_KEYS
    return ", ".join(key[:120] for key in keys[:_MAX_LISTED_KEYS]) + (f" and {rest} more" if rest > 0 else "")
