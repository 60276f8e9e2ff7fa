"""Decide which form of a network is measured.

The author's inference form is used if it is correct. Automatic collapse is then applied to the selected form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.complexity.copying import copied
from harness.complexity.parameters import count_parameters
from harness.reparam import author
from harness.reparam.author import AuthorForm
from harness.reparam.collapse import Collapse, collapse
from harness.reparam.outcome import Outcome
from harness.reparam.parametrizations import fold_parametrizations, make_copyable
from harness.reparam.proof import Difference, accepted_multiple
from harness.reparam.reference import SINGLE_TOLERANCE, Reference
from harness.reparam.search import Clock, Search
from harness.reparam.sizes import FULL_SIZE, Size
from harness.results.schema import FormName, NetworkForm, Reparam

AUTHOR_TOLERANCE = 1e-3
"""Largest error of an author's inference form on [0, 1]: a quarter of an 8-bit quantization step."""

REPORTED_ERROR = 1e-4
"""Error above which an accepted author's form is mentioned in the notes."""

MAX_NOTES = 24
"""Maximum number of regions listed in the notes, for collapsed and not collapsed regions each."""

MAX_SINGLE_TRIALS = 16
"""Maximum number of regions that are tested separately if the network with all regions collapsed is not equal."""


def reparameterize(
    network: nn.Module,
    *,
    hook: str | None = None,
    frames: Sequence[Tensor] = (),
    value_range: float = 1.0,
    size_multiple: int = 1,
    search: Search | None = None,
    sizes: Sequence[Size] = (FULL_SIZE,),
) -> Outcome:
    """Convert a training form to its inference form and verify that both produce the same image.

    The author's method is called first. If it raises, or its result differs by more than :data:`AUTHOR_TOLERANCE`,
    the training form is used instead. Automatic collapse is then applied to the selected form.

    Parameters
    ----------
    network
        Network in eval mode, float32, on the CPU; it is not changed.
    hook
        Name of the author's method from the manifest. None searches for the usual names; ``"none"`` disables
        reparameterization.
    frames
        Photographs for the comparison, each of shape (1, 3, H, W), float32, in ``[0, value_range]``.
    value_range
        Largest pixel value of the network's input and output, 1 or 255.
    size_multiple
        Height and width of an input must be multiples of this.
    search
        Whether and how to collapse automatically after the author's method; by default all that is exact.
    sizes
        Heights and widths of the images for which the network is used: forms are compared on strips of these sides.

    Returns
    -------
    Outcome
        The last of the forms that were made (the given object if nothing changed), the record, and all forms.
    """
    if hook == "none":
        return _unchanged(network, ["switched off by the manifest"])
    # Version counters, by which in-place changes are detected, do not exist in inference mode.
    with _one_thread(), torch.inference_mode(False):
        make_copyable(network)
        try:
            executed = copied(network)
        except Exception as error:  # noqa: BLE001  # __deepcopy__ of submitted classes may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return _unchanged(network, [f"not reparameterized: the network cannot be copied ({reason})"])
        # This also runs the copy, which some training forms need to convert themselves, see `_author_form`.
        multiple = accepted_multiple(executed, declared=size_multiple)
        if not multiple:
            return _unchanged(network, ["not reparameterized: the network accepts none of the tested input sizes"])
        reference = Reference(network, frames, multiple=multiple, value_range=value_range, sizes=sizes)
        return _reparameterized(reference, executed, hook, search or Search())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, because for images this small thread synchronization costs more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _reparameterized(reference: Reference, executed: nn.Module, hook: str | None, search: Search) -> Outcome:
    """Make all forms; ``executed`` is a copy of the network that has run."""
    form, notes = _author_form(reference, hook, executed)
    # Without an author's form, the training form is collapsed.
    own = form.network or reference.network
    base, folded = _folded(reference, own) if search.automatic else (own, [])
    work = _collapsed(reference.with_network(base), search) if search.automatic else Collapse()
    notes += _listed("folded the parametrization of", folded)
    notes += _listed("collapsed", work.folded) + _listed("not collapsed:", work.refused)
    forms: dict[FormName, tuple[nn.Module, str]] = {}
    if form.network is not None:
        forms["author"] = form.network, f"author: {form.hook}"
    if work.network or folded:
        both = " + ".join([*([f"author: {form.hook}"] if form.network else []), "automatic"])
        # Folding of parametrizations alone is a form of its own, too.
        forms["automatic"] = work.network or base, both
    return _outcome(reference, forms, notes, tuple(work.sinks))


def _folded(reference: Reference, network: nn.Module) -> tuple[nn.Module, list[str]]:
    """Fold torch's parametrizations, and return the names of their weights; nothing if the output would change."""
    try:
        folded, names = fold_parametrizations(network)
        equal = not names or reference.with_network(network).difference(folded).largest <= SINGLE_TOLERANCE
    except Exception:  # noqa: BLE001  # a parametrization is submitted code, too
        return network, []
    return (folded, names) if equal else (network, [])


def _listed(verb: str, texts: list[str]) -> list[str]:
    rest = len(texts) - MAX_NOTES
    more = [f"{verb} {rest} more"] if rest > 0 else []
    return [f"{verb} {text}" for text in texts[:MAX_NOTES]] + more


def _outcome(
    reference: Reference,
    forms: dict[FormName, tuple[nn.Module, str]],
    notes: list[str],
    regions: tuple[str, ...],
) -> Outcome:
    """Return the last form, with a record of all of them."""
    if not forms:
        return _unchanged(reference.network, notes)
    records = [_loaded(reference.network)]
    for name, (network, method) in forms.items():
        # Compare with the given network, not with the author's form, so that the error of both steps is included.
        error = reference.difference(network).largest
        # JSON has no infinity.
        known = error if math.isfinite(error) else None
        params = count_parameters(network)
        records.append(NetworkForm(name=name, method=method, params=params, max_abs_error=known))
    record = Reparam(
        method=records[-1].method,
        params_before=records[0].params,
        params_after=records[-1].params,
        max_abs_error=records[-1].max_abs_error,
        notes=notes,
        forms=records,
    )
    networks: dict[FormName, nn.Module] = {"loaded": reference.network}
    networks.update({name: network for name, (network, _) in forms.items()})
    return Outcome(networks[records[-1].name], record, networks, regions)


def _loaded(network: nn.Module) -> NetworkForm:
    return NetworkForm(name="loaded", method="none", params=count_parameters(network))


def _unchanged(network: nn.Module, notes: list[str]) -> Outcome:
    form = _loaded(network)
    record = Reparam(
        method="none", params_before=form.params, params_after=form.params, notes=notes, forms=[form], form="loaded"
    )
    return Outcome(network, record, {"loaded": network})


def _author_form(reference: Reference, hook: str | None, executed: nn.Module) -> tuple[AuthorForm, list[str]]:
    """Return the author's inference form if it is correct, and notes for the report.

    ``executed`` is a copy that has run once, because some training forms convert themselves in their first forward
    pass.
    """
    form = author.convert(reference.network, hook)
    # Another number of parameters after one forward pass shows that the network converted itself.
    if form.network is None and hook is None and count_parameters(executed) != count_parameters(reference.network):
        form = AuthorForm(executed, "first forward")
    if form.network is None:
        return form, [form.note] if form.note else []
    gap = _difference(reference, form.network)
    if isinstance(gap, str) or not gap.largest <= AUTHOR_TOLERANCE:
        reason = gap if isinstance(gap, str) else f"error {gap}"
        return AuthorForm(None), [f"the author's {form.hook} is wrong: {reason}; the training form is used"]
    return form, [f"the author's {form.hook} differs by {gap}"] if gap.largest > REPORTED_ERROR else []


def _difference(reference: Reference, converted: nn.Module) -> Difference | str:
    """Return the difference, or why the converted form is wrong: its exception, or a difference at other sizes."""
    try:
        gap = reference.difference(converted)
        if not gap.largest <= AUTHOR_TOLERANCE or not reference.may_depend_on_size(converted):
            return gap
        return reference.mismatch_in_use(converted, AUTHOR_TOLERANCE) or gap
    except Exception as error:  # noqa: BLE001  # submitted code may raise anything; the error is reported as a note
        return f"it raises {type(error).__name__}: {error}".splitlines()[0]


def _collapsed(reference: Reference, search: Search) -> Collapse:
    """Collapse all regions if the result is equal, else only those that are equal when collapsed separately."""
    clock, inexact = search.started(), search.allow_border_error
    work = collapse(
        reference.network,
        reference.small_image,
        allow_border_error=inexact,
        choice=search.choice(),
        clock=clock,
        sizes=reference.sizes,
    )
    # With border errors allowed, the whole network differs by design, so that there is nothing to verify here.
    if work.network is None or inexact:
        return work
    mismatch = _mismatch(reference, work)
    if not mismatch:
        return work
    # Each region was verified on its own, but the network may depend on something that tracing does not record. Find
    # the regions that can be collapsed without a difference of the whole network.
    good = _equal_alone(reference, work.sinks, clock) if len(work.sinks) > 1 else set()
    again = _chosen(reference, good) if good else Collapse()
    if again.network is not None and _mismatch(reference, again):
        again = Collapse()
    again.refused.append(f"{len(work.sinks) - len(again.sinks)} regions: {mismatch}")
    return again


def _chosen(reference: Reference, sinks: set[str]) -> Collapse:
    """Collapse the regions that end in some nodes only."""
    return collapse(reference.network, reference.small_image, choice=sinks.__contains__, sizes=reference.sizes)


def _equal_alone(reference: Reference, sinks: list[str], clock: Clock) -> set[str]:
    """Return the last nodes of the regions for which the network stays equal when only they are collapsed."""
    good: set[str] = set()
    for sink in sinks[:MAX_SINGLE_TRIALS]:
        if clock.is_late:
            break
        alone = _chosen(reference, {sink})
        if alone.network is not None and not _mismatch(reference, alone):
            good.add(sink)
    return good


def _mismatch(reference: Reference, work: Collapse) -> str:
    """Return why a collapsed network is not equal to the reference; empty if it is equal."""
    assert work.network is not None
    assert work.exact is not None
    try:
        with torch.no_grad():
            return reference.mismatch(work.network, work.exact, measured=work.measured)
    except Exception as error:  # noqa: BLE001  # a network that raises is not equal
        return f"it raises {type(error).__name__}: {error}".splitlines()[0]
