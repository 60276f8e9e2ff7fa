"""Stand-ins for classes of training frameworks in a checkpoint, so that its tensors are read without executing them.

A checkpoint of Lightning holds callbacks and hyperparameters beside the state dict. torch reads a pickle with
``weights_only=True`` if each class in it is allowed. A stand-in takes the place of such a class: nothing is imported,
no method of the class runs, and what the object held is dropped, except for the items of a mapping.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch

FRAMEWORKS = frozenset(
    "addict argparse collections easydict enum hydra lightning lightning_fabric lightning_utilities ml_collections "
    "mmcv mmengine numpy omegaconf pathlib pytorch_lightning torchmetrics typing yacs".split()
)
"""Packages whose classes get a stand-in. Those of other packages are refused with their names."""
_PLAIN = frozenset(
    {"builtins.dict", "builtins.int", "builtins.float", "builtins.list", "builtins.str", "builtins.tuple"}
)


class StandIn(dict[Any, Any]):
    """An object of which only the items are kept."""

    def __new__(cls, *_arguments: Any, **_keywords: Any) -> Self:
        """Return an empty object, whatever the arguments are."""
        return super().__new__(cls)

    def __init__(self, *_arguments: Any, **_keywords: Any) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Drop the state."""

    def append(self, element: object) -> None:
        """Drop an element of a list."""

    def extend(self, elements: object) -> None:
        """Drop elements of a list."""


@contextlib.contextmanager
def stand_ins(path: Path) -> Iterator[None]:
    """Allow the classes of training frameworks in a checkpoint within the block, each as a stand-in.

    If the checkpoint also wants others, or is not of the zip format of ``torch.save``, nothing is allowed.
    """
    try:
        wanted = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # noqa: BLE001 -- the opcodes of a damaged pickle may raise any exception
        wanted = []
    # All or nothing: torch would refuse the file for one unknown class in any case.
    if not all(name.partition(".")[0] in FRAMEWORKS or name in _PLAIN for name in wanted):
        wanted = []
    with torch.serialization.safe_globals([(_stand_in(name), name) for name in wanted]):
        yield


def _stand_in(name: str) -> type[StandIn]:
    return type(name.rpartition(".")[2], (StandIn,), {})
