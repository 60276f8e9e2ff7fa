"""Weights: read without executing what a pickle asks for, unwrapped, and fitted to a network's keys."""

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
"""Keys under which training scripts store the state dict, in the order in which they are preferred."""
PREFIXES = ("module.", "network.", "model.", "net.", "generator.", "netG.", "_orig_mod.")
"""What wrappers (DataParallel, Lightning, compile) put before the names of a network's own parameters."""

_CONVERT = (
    "if you trust where it came from, `harness convert FILE OUT.safetensors --trust-pickle` converts it, "
    "and `harness run --trust-pickle` executes it in the sandbox"
)
_SHOWN = 8


def read_state_dict(
    path: Path, *, expected: Collection[str] | None = None, limit_bytes: int = 4 * GIB, trust_pickle: bool = False
) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint to main memory.

    Parameters
    ----------
    path
        A safetensors file, or what ``torch.save`` wrote (current or legacy format).
    expected
        Names of the network's own parameters: decides which prefix is stripped. Without it ``module.`` and
        ``network.`` are stripped where every key has them.
    limit_bytes
        Tensors that would take more in total are refused from their metadata.
    trust_pickle
        Execute the pickle's code. Only inside a sandbox, or for a file of one's own.

    Raises
    ------
    CheckpointError
        The file is missing, empty, truncated, no checkpoint, wants code, or is too large.
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
            "is a web page (HTML) saved under a checkpoint's name",
            where=where,
            hint="download the file itself, not the page that offers it",
        )


def _is_safetensors(path: Path, head: bytes) -> bool:
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
            f"is no complete safetensors file ({error})", where=str(path), hint="copy it again or save it anew"
        ) from error


def _read_torch(path: Path, head: bytes, limit_bytes: int, trust_pickle: bool) -> Any:
    zipped = head.startswith(b"PK")
    if zipped:
        _check_zip(path, limit_bytes)
    elif not head.startswith(b"\x80"):
        raise CheckpointError(
            "is neither safetensors nor a file that torch.save wrote",
            where=str(path),
            hint="save it with safetensors.torch.save_file(network.state_dict(), ...)",
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols, which says nothing to a submitter
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle, mmap=zipped or None)
    except pickle.UnpicklingError as error:
        raise _pickle_error(str(error), path) from error
    except MemoryError as error:
        raise _too_large(None, limit_bytes, path) from error
    except Exception as error:  # a damaged pickle raises whatever its opcodes lead to
        raise CheckpointError(
            f"is damaged: {_first_line(error)}", where=str(path), hint="copy it again or save it anew"
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
        raise CheckpointError(
            "is a compressed zip, which torch.save never writes", where=str(path), hint="save it anew with torch.save"
        )
    if total > limit_bytes:
        raise _too_large(total, limit_bytes, path)


def _too_large(size: int | None, limit_bytes: int, path: Path) -> CheckpointError:
    amount = "more memory than there is" if size is None else f"{size / GIB:.1f} GiB"
    return CheckpointError(
        f"its tensors take {amount}, the limit is {limit_bytes / GIB:.1f} GiB",
        where=str(path),
        hint="store the weights only, without optimizer state or expanded views",
    )


def _pickle_error(message: str, path: Path) -> CheckpointError:
    wanted = dict.fromkeys(re.findall(r"GLOBAL ([\w.]+)", message))
    if wanted:
        what = f"wants to run code while it is loaded ({', '.join(wanted)}); only tensors are allowed"
    else:
        what = "is damaged, or a pickle of something other than tensors, which is not executed"
    return CheckpointError(what, where=str(path), hint=_CONVERT)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    for _ in WRAPPERS:
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
            f"holds no named tensors (it holds a {type(content).__name__})",
            where=str(path),
            hint="save network.state_dict()",
        )
    return state


def _check_tensors(state: Mapping[str, Tensor], path: Path, limit_bytes: int) -> None:
    total = 0
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise CheckpointError(
                f"{name} is a sparse, quantized or empty-shell tensor", where=str(path), hint="store dense tensors"
            )
        total += tensor.numel() * tensor.element_size()
    if total > limit_bytes:
        raise _too_large(total, limit_bytes, path)


def strip_prefix(state: dict[str, Tensor], expected: Collection[str] | None = None) -> dict[str, Tensor]:
    """Return ``state`` with the wrappers' prefix removed from its keys.

    With ``expected`` a prefix goes only where that makes all keys fit, since a network may have a part called
    ``network`` itself; without it ``module.`` and ``network.`` go where every key has them.
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
    """Return whether ``key`` is a buffer that the profiler thop leaves in a network and thus in its checkpoint."""
    return key.rpartition(".")[2] in ("total_ops", "total_params")


def misfits(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """Return what keeps the checkpoint ``state`` from filling the parameters ``own``, or None where it fits."""
    # Batch norm of torch before 0.4.1 did not count its batches, which inference does not use.
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
    rest = len(keys) - _SHOWN
    return ", ".join(key[:120] for key in keys[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
