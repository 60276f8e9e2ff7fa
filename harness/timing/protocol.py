"""Protocols: how often a network is called, on what, in which company, and which statistic of the samples counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harness.errors import UsageError
from harness.results.schema import Statistic
from harness.statistics.runtime_summary import SummaryRule

Precision = Literal["fp32", "fp16", "bf16"]
Order = Literal["alone", "rounds"]
Inputs = Literal["reused", "fresh", "dataset"]


@dataclass(frozen=True, slots=True)
class TimingProtocol:
    """A rule for timing that a report can state and a reader can repeat.

    Attributes
    ----------
    name
        What ``--protocol`` and the report call it.
    description
        The rule in one sentence.
    precision
        In which the network runs, for speed and for quality alike.
    order
        ``alone``: a network is timed from its first call to its last before the next one begins. ``rounds``: all
        networks stay loaded and take turns, with the anchor network between them.
    inputs
        ``reused``: one frame for all calls; ``fresh``: a frame that the network has not seen, for every call, at the
        track's size; ``dataset``: each image of the data set once, at its own size.
    warmup
        Untimed calls before the first sample, at the most where there is a budget.
    repeats
        Timed calls at the most; rounds at the most where they are interleaved.
    min_repeats
        Timed calls or rounds at the least, unless a single call outlasts the budget.
    budget_s
        Seconds of a model's timing after which no further call begins; None for no limit.
    statistic
        What the score uses.
    turn_statistic
        What the calls of one turn are taken together by, where networks take turns.
    half_width
        A time counts as stable where its 95 % interval reaches no further than this to either side, as a fraction.
    processes
        In how many processes, one after the other, a network is timed where networks take turns; the budget is shared
        among them.
    """

    name: str
    description: str
    precision: Precision
    order: Order
    inputs: Inputs
    warmup: int
    repeats: int
    min_repeats: int
    budget_s: float | None
    statistic: Statistic
    half_width: float = 0.02
    turn_statistic: Statistic = "mean"
    processes: int = 1

    @property
    def fresh_inputs(self) -> bool:
        """Whether every call gets a frame that it has not seen."""
        return self.inputs == "fresh"

    @property
    def summary_rule(self) -> SummaryRule:
        """How the samples are summarised."""
        return SummaryRule(self.statistic, self.half_width, in_rounds=self.order == "rounds")

    def describe_warmup(self) -> str:
        """Return the warm-up rule in words."""
        if self.order == "rounds":
            return f"until the later half of its calls agrees with the earlier, at most {self.warmup} calls"
        if not self.warmup:
            return "none"
        if self.budget_s is None:
            return f"{self.warmup} calls"
        return f"{self.warmup} call(s), at most a fifth of the budget"

    def describe_repeats(self) -> str:
        """Return the rule for the number of timed calls in words."""
        if self.inputs == "dataset":
            return "one call for each image of the data set, at its own size"
        inputs = "a new frame each" if self.fresh_inputs else "one input, reused"
        if self.order == "rounds":
            limit = "" if self.budget_s is None else f" or {self.budget_s:g} s a model are spent"
            rule = f"until the interval is {self.half_width:.1%} to either side{limit}, {inputs}"
            spread = f", shared among up to {self.processes} processes of each network" if self.processes > 1 else ""
            return f"rounds of all networks with the anchor between them, {rule}{spread}"
        if self.budget_s is None:
            return f"{self.repeats} calls, {inputs}"
        return f"up to {self.repeats} calls within {self.budget_s:g} s, at least {self.min_repeats}, {inputs}"


# As published: `runtime_demo.py` of the NTIRE 2023 real-time challenge; its input is portrait, ours landscape.
NTIRE23 = TimingProtocol(
    name="ntire23",
    description="the 2023 real-time challenge as published: one frame, 50 calls to warm up, the mean of 244",
    precision="fp16",
    order="alone",
    inputs="reused",
    warmup=50,
    repeats=244,
    min_repeats=244,
    budget_s=None,
    statistic="mean",
)
# The same measurement where there is no accelerator. Half precision is emulated on most CPUs, and a mean of few
# samples is at the mercy of whatever else the machine does, so: float32, median, as many calls as time allows.
NTIRE23_CPU = TimingProtocol(
    name="ntire23-cpu",
    description="the 2023 challenge's measurement for a CPU: float32, new frames, the median of what fits the budget",
    precision="fp32",
    order="alone",
    inputs="fresh",
    warmup=3,
    repeats=244,
    min_repeats=3,
    budget_s=8.0,
    statistic="median",
)
# As `test_demo.py` of the NTIRE efficient super-resolution challenges does it, the cold first call included.
ESR = TimingProtocol(
    name="esr",
    description="the efficient super-resolution challenges as published: one call for each image, cold, their mean",
    precision="fp32",
    order="alone",
    inputs="dataset",
    warmup=0,
    repeats=100_000,
    min_repeats=1,
    budget_s=None,
    statistic="mean",
)
ROBUST = TimingProtocol(
    name="robust",
    description="interleaved rounds beside an anchor network; the median of the ratios to it, scaled back",
    precision="fp32",
    order="rounds",
    inputs="fresh",
    warmup=12,
    repeats=400,
    min_repeats=3,
    budget_s=8.0,
    statistic="median",
    half_width=0.005,
    processes=3,
)

PROTOCOLS: dict[str, TimingProtocol] = {p.name: p for p in (NTIRE23, NTIRE23_CPU, ESR, ROBUST)}
"""Every protocol, by what ``--protocol`` calls it."""


def get_protocol(name: str) -> TimingProtocol:
    """Return the protocol called `name`.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"there is no protocol {name!r}", hint=f"choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_for(
    device_kind: str,
    *,
    name: str | None = None,
    budget_s: float | None = None,
    precision: Precision | None = None,
    processes: int | None = None,
) -> TimingProtocol:
    """Return the protocol for a kind of device.

    Parameters
    ----------
    device_kind
        ``cpu``, or an accelerator's kind such as ``cuda``.
    name
        Which protocol; None for `robust`.
    budget_s
        Replaces the protocol's time budget per model, seconds.
    precision
        Replaces the protocol's precision.
    processes
        Replaces the number of processes that a network is timed in; by default as many as the budget has seconds,
        up to the protocol's number.

    Raises
    ------
    UsageError
        There is no such protocol, the budget is not positive, or the protocol does not know several processes.
    """
    on_cpu = device_kind == "cpu"
    protocol = get_protocol(name or ROBUST.name)
    if protocol.order == "rounds" and not on_cpu:
        # In half precision, as the real-time challenges time. By events the host's other work is in no call, and the
        # first one after another process had the card may take three times as long: hence the median of a turn.
        protocol = replace(protocol, precision="fp16", turn_statistic="median")
    if budget_s is not None:
        if not budget_s > 0:
            raise UsageError(
                f"a time budget of {budget_s:g} s leaves no time to measure",
                hint="give a positive number of seconds",
            )
        few = max(1, min(protocol.processes, int(budget_s)))
        protocol = replace(protocol, budget_s=budget_s, min_repeats=min(protocol.min_repeats, 3), processes=few)
    if processes is not None:
        protocol = replace(protocol, processes=_checked_processes(protocol, processes))
    return replace(protocol, precision=precision) if precision else protocol


def caution(protocol: TimingProtocol, device_kind: str) -> str | None:
    """Return what a reader must know of times by this protocol on a kind of device; None where that is nothing."""
    if device_kind != "cpu" or protocol.precision == "fp32":
        return None
    return (
        f"a CPU emulates {protocol.precision}: its times tell nothing of an accelerator's; "
        "measure with --precision fp32, or with --protocol robust or ntire23-cpu"
    )


def _checked_processes(protocol: TimingProtocol, processes: int) -> int:
    if processes < 1:
        raise UsageError(f"a network cannot be timed in {processes} processes", hint="give 1 or more")
    if processes > 1 and protocol.order != "rounds":
        raise UsageError(
            f"protocol {protocol.name} times a network in one process", hint="drop --processes or use --protocol robust"
        )
    return processes
