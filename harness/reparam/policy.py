"""Which form of a network is measured: the author's inference form where it is right, then automatic collapse."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.complexity.parameters import count_parameters
from harness.reparam import author
from harness.reparam.author import AuthorForm
from harness.reparam.collapse import Collapse, collapse
from harness.reparam.outcome import Outcome
from harness.reparam.proof import Difference, accepted_multiple
from harness.reparam.reference import Reference
from harness.results.schema import Reparam

AUTHOR_TOLERANCE = 1e-3
"""Largest error of an author's inference form on [0, 1]: a quarter of a step of 8 bits."""

REMARKABLE = 1e-4
"""An accepted author's form whose error is larger than this is named in the notes."""

LISTED = 24
"""Regions that are named in the notes, of each kind."""

SALVAGE = 16
"""Regions that are tried one by one where all together are not equal."""


def reparameterize(
    network: nn.Module,
    *,
    hook: str | None = None,
    frames: Sequence[Tensor] = (),
    value_range: float = 1.0,
    size_multiple: int = 1,
    allow_border_error: bool = False,
    automatic: bool = True,
) -> Outcome:
    """Turn a training form into its inference form, and prove that both give the same image.

    The author's method comes first. Where it crashes or its result is wrong by more than
    :data:`AUTHOR_TOLERANCE`, the original form goes on. Automatic collapse then works on what there is.

    Parameters
    ----------
    network
        In eval mode, float32, on the CPU; it is never changed.
    hook
        The author's method as the manifest names it; None looks for the field's usual names; ``"none"``
        leaves the network as it is.
    frames
        Photographs for the comparison, each of shape (1, 3, H, W), float32, in ``[0, value_range]``.
    value_range
        The largest pixel value that the network takes and gives, 1 or 255.
    size_multiple
        Height and width must be multiples of this.
    allow_border_error
        Also collapse regions that are equal in the interior of the image only.
    automatic
        Whether to collapse automatically; without, the author's method alone is called.

    Returns
    -------
    Outcome
        The network to measure (the given object where nothing changed) and the record.
    """
    if hook == "none":
        return _kept(network, ["switched off by the manifest"])
    with _one_thread(), torch.inference_mode(False):
        return _reparameterized(network, hook, frames, value_range, size_multiple, allow_border_error, automatic)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Work with one thread: the images are so small that more of them only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _reparameterized(
    network: nn.Module,
    hook: str | None,
    frames: Sequence[Tensor],
    value_range: float,
    size_multiple: int,
    allow_border_error: bool,
    automatic: bool,
) -> Outcome:
    try:
        called = copy.deepcopy(network)
    except Exception as error:  # noqa: BLE001  # foreign classes refuse to be copied in any way
        return _kept(network, [f"the network cannot be copied ({type(error).__name__}), and is left as it is"])
    multiple = accepted_multiple(called, declared=size_multiple)
    if not multiple:
        return _kept(network, ["the network takes none of the sizes on which two forms are compared"])
    reference = Reference(network, frames, multiple=multiple, value_range=value_range)
    form, notes = _author_form(reference, hook, called)
    base = form.network or network
    work = _collapsed(reference.other(base), allow_border_error) if automatic else Collapse()
    notes += _listed("folded", work.folded) + _listed("left", work.refused)
    methods = [f"author: {form.hook}"] if form.network else []
    methods += ["automatic"] if work.network else []
    return _outcome(reference, work.network or base, " + ".join(methods), notes)


def _listed(verb: str, texts: list[str]) -> list[str]:
    rest = len(texts) - LISTED
    more = [f"{verb} {rest} more"] if rest > 0 else []
    return [f"{verb} {text}" for text in texts[:LISTED]] + more


def _outcome(reference: Reference, network: nn.Module, method: str, notes: list[str]) -> Outcome:
    if not method:
        return _kept(reference.network, notes)
    error = reference.difference(network).largest
    record = Reparam(
        method=method,
        params_before=count_parameters(reference.network),
        params_after=count_parameters(network),
        max_abs_error=error if math.isfinite(error) else None,
        notes=notes,
    )
    return Outcome(network, record)


def _kept(network: nn.Module, notes: list[str]) -> Outcome:
    params = count_parameters(network)
    return Outcome(network, Reparam(method="none", params_before=params, params_after=params, notes=notes))


def _author_form(reference: Reference, hook: str | None, called: nn.Module) -> tuple[AuthorForm, list[str]]:
    """Give what the author's method makes, where it is right, and remarks.

    ``called`` is a copy that has run once: some training forms convert themselves in their first forward.
    """
    form = author.convert(reference.network, hook)
    if form.network is None and hook is None and count_parameters(called) != count_parameters(reference.network):
        form = AuthorForm(called, "first forward")
    if form.network is None:
        return form, [form.note] if form.note else []
    gap = _difference(reference, form.network)
    if isinstance(gap, str) or not gap.largest <= AUTHOR_TOLERANCE:
        reason = f"it raises {gap}" if isinstance(gap, str) else f"error {gap}"
        return AuthorForm(None), [f"the author's {form.hook} is wrong: {reason}; the training form is used"]
    return form, [f"the author's {form.hook} differs by {gap}"] if gap.largest > REMARKABLE else []


def _difference(reference: Reference, converted: nn.Module) -> Difference | str:
    """Give the difference, or the exception of the converted form in words."""
    try:
        return reference.difference(converted)
    except Exception as error:  # noqa: BLE001  # foreign code raises anything, and it becomes a remark
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _collapsed(reference: Reference, allow_border_error: bool) -> Collapse:
    """Collapse what is proved equal: all regions together, else those that are so one by one."""
    work = collapse(reference.network, reference.small_image, allow_border_error=allow_border_error)
    if work.network is None or allow_border_error:
        return work
    doubt = _refutation(reference, work)
    if not doubt:
        return work
    good = _salvageable(reference, work.sinks) if len(work.sinks) > 1 else set()
    again = collapse(reference.network, reference.small_image, choice=good.__contains__) if good else Collapse()
    if again.network is not None and _refutation(reference, again):
        again = Collapse()
    again.refused.append(f"{len(work.sinks) - len(again.sinks)} regions as they were: {doubt}")
    return again


def _salvageable(reference: Reference, sinks: list[str]) -> set[str]:
    """Find the regions that are equal when collapsed alone."""
    good: set[str] = set()
    for sink in sinks[:SALVAGE]:
        alone = collapse(reference.network, reference.small_image, choice={sink}.__contains__)
        if alone.network is not None and not _refutation(reference, alone):
            good.add(sink)
    return good


def _refutation(reference: Reference, work: Collapse) -> str:
    assert work.network is not None
    assert work.exact is not None
    try:
        with torch.no_grad():
            return reference.refutation(work.network, work.exact)
    except Exception as error:  # noqa: BLE001  # a form that raises is not equal
        return f"it raises {type(error).__name__}: {error}".splitlines()[0]
