"""Decide which form of a network is measured: as its authors left it, or collapsed by the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.results.schema import FormName, NetworkForm, Reparam, ReparamPolicy
from harness.statistics.inference import is_significant
from harness.tracks import Track

LEAST_GAIN = 0.05
"""Share of the multiply-accumulates that a collapse must save to be used without being timed."""

_FIGURES: Mapping[str, str] = {"params": "parameters", "macs": "MACs", "activations": "activations"}


@dataclass(frozen=True, slots=True)
class FormTimes:
    """Times of two forms that took turns in one process.

    Attributes
    ----------
    own_ms, collapsed_ms
        Medians of their calls, milliseconds.
    ratio
        Median over the rounds of the collapsed form's time divided by the other's.
    p_value
        Two-sided, of the hypothesis that both are equally fast.
    rounds
        Number of rounds.
    """

    own_ms: float
    collapsed_ms: float
    ratio: float
    p_value: float
    rounds: int


@dataclass(frozen=True, slots=True)
class FormChoice:
    """The form to measure, and why. The reason is empty if there is no other form or if the gain is clear."""

    form: FormName
    reason: str = ""


def scored_figures(track: Track) -> tuple[str, ...]:
    """Return which figures that depend on a network's form a track scores or ranks by."""
    used = {*track.needs, *(gate.figure for gate in track.gates)}
    used.update(name for names in track.rank_sums.values() for name in names)
    return tuple(name for name in _FIGURES if name in used)


def own_form(forms: Sequence[NetworkForm]) -> NetworkForm:
    """Return the form that the authors left: converted by their own method if that is correct, else as it is loaded."""
    # Forms are in the order loaded, author, automatic. The last one that is not automatic is the authors' best.
    return next((form for form in reversed(forms) if form.name != "automatic"), forms[-1])


def choose(policy: ReparamPolicy, forms: Sequence[NetworkForm], scored: Sequence[str]) -> FormChoice | None:
    """Return the form to measure; None if both forms must be timed to decide.

    Parameters
    ----------
    policy
        What the run asked for.
    forms
        All forms of the network, counted.
    scored
        From :func:`scored_figures`: a collapse never raises one of them.
    """
    # The worker appends the automatic form last, and only if it collapsed or folded something.
    own, collapsed = own_form(forms), forms[-1]
    if collapsed.name != "automatic":
        return FormChoice(own.name)
    # The collapse was made only to be named in the reason.
    if policy != "auto":
        return FormChoice(own.name, f"the author's form is measured; {describe(collapsed, own)}")
    raised = [name for name in scored if _is_raised(getattr(own, name), getattr(collapsed, name))]
    if raised:
        names = " and ".join(_FIGURES[name] for name in raised)
        said = f"the collapse is not used because the track scores {names}, which it does not keep down"
        return FormChoice(own.name, f"{said}; {describe(collapsed, own)}")
    # A small saving in operations does not decide: a larger kernel with fewer operations may still be slower.
    if collapsed.params > own.params or not _saves(own.macs, collapsed.macs):
        return None
    return FormChoice(collapsed.name)


def choose_by_time(forms: Sequence[NetworkForm], times: FormTimes | None) -> FormChoice:
    """Return the faster form; the authors' own if the two cannot be told apart, or if they were not timed."""
    own, collapsed = own_form(forms), forms[-1]
    if times is None:
        said = "the collapse saves little and could not be timed beside the author's form, which is measured"
        return FormChoice(own.name, f"{said}; {describe(collapsed, own)}")
    timed = f"{times.collapsed_ms:.3g} against {times.own_ms:.3g} ms in {times.rounds} rounds"
    if not is_significant(times.p_value):
        said = f"the collapse saves little and is not faster beyond chance ({timed}), so the author's form is measured"
        return FormChoice(own.name, f"{said}; {describe(collapsed, own)}")
    if times.ratio < 1:
        said = f"the collapsed form is measured because it is faster ({timed})"
        return FormChoice(collapsed.name, f"{said}; {describe(own, collapsed)}")
    # p is significant and the ratio is at least 1: the collapse is slower.
    said = f"the author's form is measured because it is faster than the collapsed one ({timed})"
    return FormChoice(own.name, f"{said}; {describe(collapsed, own)}")


def chosen(reparam: Reparam, policy: ReparamPolicy, choice: FormChoice, times: FormTimes | None = None) -> Reparam:
    """Return the record with the form that is measured and with what both forms took, if they were timed."""
    own = own_form(reparam.forms)
    taken = {} if times is None else {own.name: times.own_ms, "automatic": times.collapsed_ms}
    forms = [form.model_copy(update={"runtime_ms": taken.get(form.name)}) for form in reparam.forms]
    used = next(form for form in forms if form.name == choice.form)
    changed = used.name != "loaded"
    update = {
        "method": used.method,
        "params_after": used.params,
        # Before and after are given only where the measured network is another one than the loaded one.
        "macs_before": forms[0].macs if changed else None,
        "macs_after": used.macs if changed else None,
        "max_abs_error": used.max_abs_error,
        "policy": policy,
        "form": used.name,
        "reason": choice.reason,
        "forms": forms,
    }
    return reparam.model_copy(update=update)


def describe(form: NetworkForm, measured: NetworkForm) -> str:
    """Return what a form that is not measured has, compared with the one that is."""
    name = {"loaded": "the form as loaded", "author": "the author's form", "automatic": "the collapsed form"}[form.name]
    figures = [f"{form.params:,} parameters instead of {measured.params:,}"]
    if form.macs is not None and measured.macs is not None:
        figures.append(f"{form.macs / 1e9:.4g} G MACs instead of {measured.macs / 1e9:.4g} G")
    return f"{name} has {' and '.join(figures)}"


def _is_raised(own: int | None, collapsed: int | None) -> bool:
    """Return whether a figure rises, or may rise because it is unknown."""
    return own is None or collapsed is None or collapsed > own


def _saves(own: int | None, collapsed: int | None) -> bool:
    return own is not None and collapsed is not None and collapsed <= (1 - LEAST_GAIN) * own
