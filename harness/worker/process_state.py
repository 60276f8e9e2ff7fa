"""Protect the worker's state while a submission is loaded, and emulate CUDA calls on machines without a GPU."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import torch

from harness.worker.import_state import ImportState
from harness.worker.torch_settings import float32_precisions, set_float32_precisions

T = TypeVar("T")

PATCHING = threading.RLock()
"""Held while methods of torch are replaced, and while it is checked that they are not: a process may have several
threads with a network each."""


@contextlib.contextmanager
def preserved(folder: Path, notes: list[str]) -> Iterator[None]:
    """Change to ``folder`` within the block; afterwards restore changed process settings and add a note for each.

    A submission that, for example, sets the number of threads would otherwise be timed under its own conditions.
    """
    previous, imports = _current_folder(), ImportState(folder)
    settings: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "the number of threads": (torch.get_num_threads, torch.set_num_threads),
        "grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
        "how float32 is computed": (float32_precisions, set_float32_precisions),
    }
    if hasattr(os, "sched_getaffinity"):
        settings["the processors it runs on"] = (partial(os.sched_getaffinity, 0), partial(os.sched_setaffinity, 0))
    before = {name: read() for name, (read, _) in settings.items()}
    # Submitted code may open files by paths relative to its folder.
    os.chdir(folder)
    try:
        yield
    finally:
        _return_to(previous)
        for name in imports.restored():
            _once(notes, f"the code changed {name} while loading; restored")
        for name, (read, write) in settings.items():
            if read() != before[name]:
                _once(notes, f"the code changed {name} while loading; restored")
                write(before[name])


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # submitted code has removed it
        return os.sep


def _return_to(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError:
        os.chdir(os.sep)  # the worker opens no file by a relative path


@contextlib.contextmanager
def without_cuda(notes: list[str]) -> Iterator[None]:
    """On a machine without a GPU, ignore requests for CUDA within the block, and add a note if there were any.

    Most challenge submissions call ``.cuda()``, ``.to("cuda")`` or ``torch.load`` on a checkpoint saved on a GPU
    without checking ``torch.cuda.is_available()``.
    """
    # With a GPU, requests for CUDA are fulfilled.
    if torch.cuda.is_available():
        yield
        return
    # Only during loading. In a timed forward pass, patched methods would cost time.
    note = "requests CUDA while loading; kept on the CPU"

    def stay(self: T, *_: object, **__: object) -> T:
        _once(notes, note)
        return self

    with contextlib.ExitStack() as stack:
        stack.enter_context(PATCHING)
        for owner in (torch.Tensor, torch.nn.Module):
            stack.enter_context(mock.patch.object(owner, "cuda", stay))
            stack.enter_context(mock.patch.object(owner, "to", _to_cpu(owner.to, notes, note)))
        stack.enter_context(mock.patch.object(torch, "load", _load_on_cpu(torch.load)))
        yield


def _to_cpu(to: Callable[..., Any], notes: list[str], note: str) -> Callable[..., Any]:
    @functools.wraps(to)
    def moved(self: Any, *args: Any, **kwargs: Any) -> Any:
        if any(map(_is_cuda, (*args, *kwargs.values()))):
            _once(notes, note)
            args = tuple("cpu" if _is_cuda(value) else value for value in args)
            kwargs = {key: "cpu" if _is_cuda(value) else value for key, value in kwargs.items()}
        return to(self, *args, **kwargs)

    return moved


def _load_on_cpu(load: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load)
    def loaded(file: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        return load(file, "cpu" if map_location is None or _is_cuda(map_location) else map_location, *args, **kwargs)

    return loaded


def _is_cuda(value: object) -> bool:
    return (isinstance(value, str) and value.startswith("cuda")) or (
        isinstance(value, torch.device) and value.type == "cuda"
    )


def _once(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)
