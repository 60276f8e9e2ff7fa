"""Find the state dict of a network among all that a checkpoint holds: wrappers, prefixes and averaged copies."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from harness.errors import CheckpointError

WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts store the state dict, in order of preference."""

_NETWORKS = "model|net|network|params|weights|state|generator"
_AVERAGED = re.compile(
    # Not as a part of another word, such as "schema".
    rf"(?<![a-z])(ema|swa|avg|average|averaged|averager|shadow|polyak|(ema|swa)({_NETWORKS})|({_NETWORKS})(ema|swa))(?![a-z])"
)
# Boundaries between words in names such as netEMA and modelAvg.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WRAPPING = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, DataParallel, FSDP and activation checkpointing put into names of the tensors of a part."""
_STATISTICS = re.compile(r"(?:^|\.)(?:running_mean|running_var|num_batches_tracked)$")  # no parameters
_COUNTERS = ("total_ops", "total_params")  # buffers that the profiler thop adds to networks
# Levels of nested mappings that are searched.
_MAX_DEPTH = 6
_MAX_MAPPINGS = 20_000  # optimizers keep one for each parameter
_MAX_LISTED = 8


@dataclass(frozen=True, slots=True)
class StateDict:
    """Named tensors in a checkpoint.

    Attributes
    ----------
    path
        Keys that lead to them, from the outermost.
    tensors
        By name.
    prefix
        What was removed from their names.
    averaged
        Whether they are a running average of the trained weights.
    others
        Number of tensors that are stored beside them, outside of `prefix`.
    is_list
        Whether the file holds a list of averaged parameters without names, as ``shadow_params`` of torch_ema; its names
        are positions.
    """

    path: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    prefix: str = ""
    averaged: bool = False
    others: int = 0
    is_list: bool = False

    @property
    def label(self) -> str:
        """Name for messages and for the manifest's ``weights_key``: keys and prefix, joined with ``/``."""
        return "/".join(filter(None, [*self.path, self.prefix.rstrip(".")]))

    @property
    def names(self) -> tuple[str, ...]:
        """What the manifest's ``weights_key`` may call them, the most specific name first."""
        return self.label, "/".join(self.path), "".join(self.path[-1:]), self.prefix.rstrip("."), self.prefix


def state_dicts(content: Any) -> list[StateDict]:
    """Return every mapping from names to tensors in a checkpoint, at any depth, the outermost first."""
    found: list[StateDict] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    visited = 0
    # The list grows while it is read, so that outer mappings come before inner ones.
    for path, value in waiting:
        inner = _as_mapping(value)
        if inner is None:
            continue
        visited += 1
        if visited > _MAX_MAPPINGS:  # a pickle may contain a mapping that contains itself many times
            break
        tensors = {key: one for key, one in inner.items() if isinstance(key, str) and isinstance(one, Tensor)}
        if tensors:
            # torch.optim.swa_utils.AveragedModel has a buffer n_averaged.
            found.append(StateDict(path, tensors, averaged=_names_an_average(path) or "n_averaged" in tensors))
        elif isinstance(value, list | tuple) and _names_an_average(path) and all(map(torch.is_tensor, value)) and value:
            found.append(StateDict(path, {str(i): one for i, one in enumerate(value)}, averaged=True, is_list=True))
        if len(path) < _MAX_DEPTH:
            waiting += [((*path, str(key)), one) for key, one in inner.items() if not isinstance(one, Tensor)]
    return found


def _as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Return what a module, a mapping, or a list or tuple of such holds; None for everything else."""
    if isinstance(value, torch.nn.Module):
        return value.state_dict()
    if isinstance(value, list | tuple):
        return {str(index): one for index, one in enumerate(value) if isinstance(one, Mapping | list | tuple)}
    return value if isinstance(value, Mapping) else None


def fitting(found: Sequence[StateDict], expected: Collection[str]) -> list[StateDict]:
    """Return all that hold exactly the parameters of a network, each with the prefix removed that makes them fit.

    If none fits, wrappers of parts are removed from the names, as in ``body._orig_mod.0.weight``. The state of an
    optimizer is left out: it may be named like the parameters.

    Parameters
    ----------
    found
        The checkpoint's state dicts.
    expected
        Names of the network's parameters and buffers; if it is a mapping to tensors, their shapes must agree too.
    """
    found = outside_optimizers(found)
    named = [one for one in found if not one.is_list]
    fits = [one for candidate in named for one in _fits(candidate, expected) or _fits_inside(candidate, expected)]
    fits = fits or [one for candidate in named for one in _fits_unwrapped(candidate, expected)]
    return fits + [
        one for candidate in found if candidate.is_list for one in _fits_in_order(candidate, fits[:1], expected)
    ]


def called(found: Sequence[StateDict], key: str) -> list[StateDict]:
    """Return the state dicts that `key` denotes: those of which it is the most specific name."""
    for level in zip(*(one.names for one in found), strict=True):
        if key in level:
            return [one for one, name in zip(found, level, strict=True) if name == key]
    return []


def choose(found: Sequence[StateDict], key: str | None, where: str) -> StateDict | None:
    """Return the state dict to load: the one called `key`, else the averaged one, else the one of the usual name.

    Parameters
    ----------
    found
        State dicts that all could be loaded.
    key
        The manifest's ``weights_key``; None if it has none.
    where
        The file, for messages.

    Raises
    ------
    CheckpointError
        Several remain that differ.
    """
    if key is not None:
        found = called(found, key)
    for group in ([one for one in found if one.averaged], found):
        if not group:
            continue
        usual = sorted((one for one in group if _rank(one) <= _OUTERMOST), key=_rank)
        # A usual name decides. Without one, several are interchangeable if they are equal.
        if usual or all(_equal(one, group[0]) for one in group):
            return (usual or group)[0]
        raise CheckpointError(
            f"holds several sets of weights that fit: {listed([one.label for one in group])}",
            where=where,
            hint="name the right one in the manifest: weights_key = " + repr(group[0].label).replace("'", '"'),
        )
    return None


def fallback(found: Sequence[StateDict], key: str | None, expected: Collection[str]) -> StateDict | None:
    """Return the state dict that comes closest to a network, to say what is wrong with it; None if there is none.

    Parameters
    ----------
    found
        The checkpoint's state dicts.
    key
        The manifest's ``weights_key``: only what it denotes is considered.
    expected
        Names of the network's parameters; empty if they are not known.
    """
    named = [one for one in (found if key is None else called(found, key)) if not one.is_list]
    names = set(expected)
    last_parts = {name.rpartition(".")[2] for name in expected}

    def closeness(one: StateDict) -> tuple[int, int, bool, int]:
        known = len(names & one.tensors.keys())
        alike = sum(name.rpartition(".")[2] in last_parts for name in one.tensors)
        return known, alike, one.averaged, -_rank(one)

    return max(named, key=closeness, default=None)


def remarks(chosen: StateDict, fitting: Sequence[StateDict], file: str) -> list[str]:
    """Return a remark for the report if there was a choice, or if a part of the checkpoint was left out."""
    passed_over = [one.label for one in fitting if one is not chosen and not _equal(one, chosen)]
    name = f"{chosen.label} of {file}" if chosen.label else file
    notes = []
    if passed_over:
        kind = ", the averaged weights" if chosen.averaged else ""
        notes.append(f"loaded {name}{kind}; it also holds {listed(passed_over)} (weights_key chooses)")
    elif chosen.others:
        notes.append(f"loaded {name}; {chosen.others} other tensors there are not the network's")
    return notes


def unassigned(found: Sequence[StateDict], fitting: Sequence[StateDict], file: str) -> list[str]:
    """Return a remark if averaged weights were left out because they have no names and do not fit in their order."""
    fits = {one.path for one in fitting}
    left = [one.label for one in found if one.is_list and one.path not in fits]
    return (
        [f"{listed(left)} of {file}, averaged weights without names, do not fit the network's parameters"]
        if left
        else []
    )


def outside_optimizers(found: Sequence[StateDict]) -> list[StateDict]:
    """Return the state dicts that are not the state of an optimizer or a schedule."""
    return [one for one in found if not any(re.match("optim|sched|lr_sched|scaler", part) for part in one.path)]


def is_counter(key: str) -> bool:
    """Return whether a tensor of this name is no weight: what profilers and averages add to networks."""
    return key.rpartition(".")[2] in _COUNTERS or key == "n_averaged"


def listed(names: Sequence[str]) -> str:
    """Return the first names, separated by commas, and how many more there are."""
    rest = len(names) - _MAX_LISTED
    shown = ", ".join(name[:120] or "the outermost" for name in names[:_MAX_LISTED])
    return shown + (f" and {rest} more" if rest > 0 else "")


def _names_an_average(path: Sequence[str]) -> bool:
    return any(_AVERAGED.search(_CAMEL.sub("_", part).lower()) for part in path)


_OUTERMOST = len(WRAPPERS)


def _rank(one: StateDict) -> int:
    """Return the place of a state dict's name among the usual ones, after which comes a file without wrapper."""
    # A prefix is a name only where other tensors stand beside those that have it.
    name = one.prefix.rstrip(".") if one.others else "/".join(one.path[-1:])
    if name in WRAPPERS:
        return WRAPPERS.index(name)
    return _OUTERMOST if not name else _OUTERMOST + 1


def _fits_inside(candidate: StateDict, expected: Collection[str]) -> list[StateDict]:
    """Return the candidate with the prefix added that all names of the network have and its own do not."""
    prefix = f"{next(iter(expected), '').partition('.')[0]}."
    if not all(key.startswith(prefix) for key in expected):
        return []
    inner: Collection[str] = [key.removeprefix(prefix) for key in expected]
    if isinstance(expected, Mapping):
        inner = {key.removeprefix(prefix): tensor for key, tensor in expected.items()}
    # Without a further prefix: any two layers of one kind would fit with their own names removed.
    found = [one for one in _fits(candidate, inner) if not one.prefix] or _fits_inside(candidate, inner)
    return [replace(one, tensors={prefix + key: tensor for key, tensor in one.tensors.items()}) for one in found]


def _fits_unwrapped(candidate: StateDict, expected: Collection[str]) -> list[StateDict]:
    """Return the candidate with the names of the network if they differ only by wrappers of parts."""
    names = {_WRAPPING.sub("", name): name for name in expected}
    tensors = {_WRAPPING.sub("", key): tensor for key, tensor in candidate.tensors.items()}
    if len(names) < len(expected) or len(tensors) < len(candidate.tensors):  # two names have become one
        return []
    shapes: Collection[str] = names
    if isinstance(expected, Mapping):
        shapes = {short: expected[name] for short, name in names.items()}
    found = _fits(replace(candidate, tensors=tensors), shapes)
    return [replace(one, tensors={names[key]: tensor for key, tensor in one.tensors.items()}) for one in found]


def _fits(candidate: StateDict, expected: Collection[str]) -> list[StateDict]:
    """Return the candidate with each prefix removed that makes its names those of the network."""
    own = {key: tensor for key, tensor in candidate.tensors.items() if key in expected or not is_counter(key)}
    needed = {key for key in expected if not _is_optional(key)}
    if not needed:
        return []
    # The longest name is least likely to end another one. What precedes it in a key of the checkpoint is the prefix.
    probe = max(needed, key=len)
    prefixes = {key.removesuffix(probe) for key in own if key.endswith(probe)}
    found = []
    for prefix in sorted(prefix for prefix in prefixes if not prefix or prefix.endswith(".")):
        inner = {key.removeprefix(prefix): tensor for key, tensor in own.items() if key.startswith(prefix)}
        if needed <= inner.keys() <= set(expected) and _same_shapes(inner, expected):
            averaged = candidate.averaged or _names_an_average(prefix.split("."))
            others = len(own) - len(inner)
            found.append(replace(candidate, tensors=inner, prefix=prefix, averaged=averaged, others=others))
    return found


def _fits_in_order(candidate: StateDict, named: Sequence[StateDict], expected: Collection[str]) -> list[StateDict]:
    """Return a list of averaged parameters with the names of the network's, whose buffers are those of `named`."""
    if not isinstance(expected, Mapping):
        return []
    names = [key for key in expected if not _STATISTICS.search(key)]
    if [tensor.shape for tensor in candidate.tensors.values()] != [expected[name].shape for name in names]:
        return []
    tensors = dict(zip(names, candidate.tensors.values(), strict=True))
    if len(names) == len(expected):
        return [replace(candidate, tensors=tensors)]
    return [replace(candidate, tensors={**one.tensors, **tensors}) for one in named]


def _same_shapes(tensors: Mapping[str, Tensor], expected: Collection[str]) -> bool:
    if not isinstance(expected, Mapping):
        return True
    return all(tensor.shape == expected[key].shape for key, tensor in tensors.items())


def _is_optional(key: str) -> bool:
    # torch before 0.4.1 did not store num_batches_tracked, which inference does not use.
    return key.endswith("num_batches_tracked")


def _equal(one: StateDict, other: StateDict) -> bool:
    if one.tensors.keys() != other.tensors.keys():
        return False
    pairs = [(tensor, other.tensors[key]) for key, tensor in one.tensors.items()]
    dense = all(_is_plain(tensor) for pair in pairs for tensor in pair)
    return dense and all(first is second or torch.equal(first, second) for first, second in pairs)


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor's values take no more memory than the file has: sparse and expanded ones may."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
