"""Read checkpoints without executing pickled code, unwrap state dicts and match their keys to a network."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import CheckpointError
from harness.submissions import state_dicts
from harness.submissions.stand_ins import stand_ins
from harness.submissions.state_dicts import StateDict

GIB = 2**30
PREFIXES = ("module.", "network.", "model.", "net.", "generator.", "netG.", "_orig_mod.")
"""Prefixes that wrappers (DataParallel, Lightning, torch.compile) add to parameter names."""

_CONVERT = (
    "if you trust its source, `harness convert FILE OUT.safetensors --trust-pickle` converts it, "
    "and `harness run --trust-pickle` executes it in the sandbox"
)
_MAX_LISTED_KEYS = 8


def read_state_dict(
    path: Path,
    *,
    expected: Collection[str] | None = None,
    limit_bytes: int = 4 * GIB,
    trust_pickle: bool = False,
    key: str | None = None,
) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint into main memory. Parameters and errors are those of :func:`read_weights`."""
    weights = read_weights(path, expected=expected, limit_bytes=limit_bytes, trust_pickle=trust_pickle, key=key)
    return weights.tensors


@dataclass(frozen=True, slots=True)
class Weights:
    """The state dict that was chosen from a checkpoint.

    Attributes
    ----------
    tensors
        On the CPU, in the stored dtypes, by the names of the network's parameters.
    notes
        Which of several was chosen, for the report; empty if there was no choice.
    """

    tensors: dict[str, Tensor]
    notes: list[str]


def read_weights(
    path: Path,
    *,
    expected: Collection[str] | None = None,
    limit_bytes: int = 4 * GIB,
    trust_pickle: bool = False,
    key: str | None = None,
) -> Weights:
    """Read a state dict from a checkpoint into main memory.

    Parameters
    ----------
    path
        A safetensors file or a file written by ``torch.save`` (current or legacy format).
    expected
        Names of the network's parameters and buffers, or a mapping from them to tensors. They determine which of the
        checkpoint's state dicts is read, and the prefix to strip. By default, the usual names decide, and ``module.``
        and ``network.`` are stripped if all keys have them.
    limit_bytes
        Largest total size of the tensors. Checked from metadata, before memory is allocated.
    trust_pickle
        Whether to execute code in a pickle. Use it only inside a sandbox or for trusted files.
    key
        Name of the state dict to read, the manifest's ``weights_key``. By default, averaged weights are preferred.

    Raises
    ------
    CheckpointError
        The file is missing, empty, damaged, too large or not a checkpoint, or contains code, or the state dict to read
        is in doubt.
    """
    head = refuse_lookalikes(path)
    if _is_safetensors(path, head):
        content: Any = _read_safetensors(path, limit_bytes)
    else:
        content = _read_torch(path, head, limit_bytes, trust_pickle)
    found = state_dicts.state_dicts(content)
    chosen, notes = _select(found, expected, key, path)
    if chosen is None:
        raise _nothing_named(content, found, key, path)
    _check_tensors(chosen.tensors, path, limit_bytes)
    # Counters of profilers are dropped unless the network itself has buffers of these names.
    wanted = expected or ()
    tensors = {name: t for name, t in chosen.tensors.items() if name in wanted or not state_dicts.is_counter(name)}
    return Weights(tensors, notes)


def _select(
    found: list[StateDict], expected: Collection[str] | None, key: str | None, path: Path
) -> tuple[StateDict | None, list[str]]:
    """Return the state dict to read with remarks; the closest one if none fits, None if there is none."""
    if expected is None:
        named = [one for one in state_dicts.outside_optimizers(found) if not one.is_list]
        chosen = state_dicts.choose(named, key, str(path))
        return _stripped(chosen, None), []
    fitting = state_dicts.fitting(found, expected)
    chosen = state_dicts.choose(fitting, key, str(path))
    if chosen is None:
        return _stripped(state_dicts.fallback(found, key, expected), expected), []
    notes = [*state_dicts.remarks(chosen, fitting, path.name), *state_dicts.unassigned(found, fitting, path.name)]
    return chosen, notes


def _stripped(chosen: StateDict | None, expected: Collection[str] | None) -> StateDict | None:
    return None if chosen is None else replace(chosen, tensors=strip_prefix(dict(chosen.tensors), expected))


def _nothing_named(content: Any, found: list[StateDict], key: str | None, path: Path) -> CheckpointError:
    where = str(path)
    if key is not None and found:
        names = state_dicts.listed([one.label for one in found])
        return CheckpointError(f"holds no weights called {key}", where=where, hint=f"weights_key may be {names}")
    what = type(content).__name__
    if isinstance(content, Mapping):
        keys = state_dicts.listed([str(one) for one in content])
        what = f"{what} with the keys {keys}" if content else f"{what} without keys"
    return CheckpointError(
        f"contains no named tensors (it contains a {what})", where=where, hint="save network.state_dict()"
    )


def refuse_lookalikes(path: Path) -> bytes:
    """Return the first bytes of a file of weights.

    Raises
    ------
    CheckpointError
        The file cannot be opened, is empty, or is a Git LFS pointer or a web page.
    """
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
    # The current format of torch.save is a zip file. A pickle (legacy format) begins with the opcode PROTO, 0x80.
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
        with (
            stand_ins(path),
            warnings.catch_warnings(action="ignore"),
        ):  # about pickle protocols; irrelevant to the submitter
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
            # torch.jit.save writes constants.pkl, torch.save does not.
            scripted = any(entry.filename.endswith("/constants.pkl") for entry in archive.infolist())
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            "is truncated or damaged (its index, at the end of the file, is missing)",
            where=str(path),
            hint="copy the checkpoint again and compare the sizes",
        ) from error
    if scripted:
        raise CheckpointError(
            "is a TorchScript program, not a state dict",
            where=str(path),
            hint="return torch.jit.load(file) from the factory, without [weights], or save network.state_dict()",
        )
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
            # Wrappers may be nested, so that the result is searched for further prefixes.
            shorter = {key.removeprefix(prefix): value for key, value in state.items()}
            if expected is None or prefix == "module." or set(shorter) & set(expected):
                return strip_prefix(shorter, expected)
    return state


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
