"""Timing protocols: how often a network is called, on which input, in which order, and which statistic counts.

The worker imports this module, so it imports nothing of the controller when it is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from harness.errors import UsageError
from harness.results.record import Statistic
from harness.suggestions import choice

if TYPE_CHECKING:
    from harness.statistics.runtime_summary import SummaryRule

Precision = Literal["fp32", "fp16", "bf16"]
Inputs = Literal["reused", "fresh", "dataset"]

WARMUP_SHARE = 0.2
"""Share of the budget after which the warm-up ends: beyond it, samples are worth more than a warmer start."""
_SLOW_CALL_SHARE = 1 / 3  # of the budget


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
        Precision of the network, for speed and for quality alike.
    order
        ``alone``: a network is timed from its first call to its last before the next one begins. ``rounds``: all
        networks stay loaded and take turns, with the anchor network between them. ``harness.run.timing_order`` has a
        class for each.
    inputs
        ``reused``: one frame for all calls; ``fresh``: a frame that the network has not seen, for every call, at the
        track's size; ``dataset``: each image of the data set once, at its own size.
    warmup
        Number of untimed calls before the first sample; the largest number if there is a budget.
    repeats
        Largest number of timed calls, or of rounds if networks take turns.
    min_repeats
        Smallest number of timed calls or rounds, unless a single call takes longer than the budget.
    budget_s
        Seconds for the timing of one network, after which no further call begins; None for no limit.
    statistic
        Statistic of the samples that the score uses.
    turn_statistic
        How the calls of one turn are summarised, if networks take turns.
    half_width
        A time counts as stable if half the width of its 95 % interval is at most this fraction of it.
    processes
        Largest number of processes in which a network is timed, one after the other, if networks take turns. They share
        the budget.
    min_processes
        Number of processes after which a network is finished if its time is far from those of all others, see
        :func:`harness.statistics.settled.settled`.
    fixed_processes
        Whether no network is finished before `processes`, unless its calls take too long for as many.
    unranked_share
        Share of the budget that a network without a rank has if it is timed in several processes.
    turn_s
        Mean length of a turn, seconds. It covers several time slices of the operating system's scheduler, so that
        whatever runs beside the network affects all turns alike.
    anchor_turn_s
        Length of a turn of the anchor, seconds. There are two of them for each turn of a network.
    """

    name: str
    description: str
    precision: Precision
    order: str
    inputs: Inputs
    warmup: int
    repeats: int
    min_repeats: int
    budget_s: float | None
    statistic: Statistic
    half_width: float = 0.02
    turn_statistic: Statistic = "mean"
    processes: int = 1
    min_processes: int = 1
    fixed_processes: bool = False
    unranked_share: float = 1.0
    turn_s: float = 0.1
    anchor_turn_s: float = 0.05

    @property
    def fresh_inputs(self) -> bool:
        """Whether every call gets a frame that the network has not seen."""
        return self.inputs == "fresh"

    @property
    def takes_turns(self) -> bool:
        """Whether all networks stay loaded and take turns beside the anchor network."""
        return self.order == "rounds"

    @property
    def summary_rule(self) -> SummaryRule:
        """How the samples are summarised."""
        from harness.statistics.runtime_summary import SummaryRule  # not needed in a worker

        return SummaryRule(self.statistic, self.half_width, in_rounds=self.takes_turns)

    @property
    def fewest_processes(self) -> int:
        """In how many processes a network is timed that needs no more: its time is far from others, or has no rank."""
        return self.processes if self.fixed_processes else min(self.min_processes, self.processes)

    def share_of_budget(self, *, is_ranked: bool) -> float:
        """Return the share of the budget for a network that is timed in several processes."""
        return 1.0 if is_ranked or self.fixed_processes else self.unranked_share

    def is_slow(self, call_ms: float) -> bool:
        """Return whether a call takes more than a third of the budget.

        Checks that need calls of their own are skipped for such a network.
        """
        return self.budget_s is not None and call_ms / 1e3 > _SLOW_CALL_SHARE * self.budget_s

    def describe_warmup(self) -> str:
        """Return the warm-up rule in words."""
        if self.takes_turns:
            return (
                f"a first call, then until the later half of them agrees with the earlier, at most {self.warmup} calls"
            )
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
        if self.takes_turns:
            limit = "" if self.budget_s is None else f" or {self.budget_s:g} s a model are spent"
            rule = f"until the interval is {self.half_width:.1%} to either side{limit}, {inputs}"
            spread = f", shared among up to {self.processes} processes of each network" if self.processes > 1 else ""
            return f"rounds of all networks with the anchor between them, {rule}{spread}"
        if self.budget_s is None:
            return f"{self.repeats} calls, {inputs}"
        return f"up to {self.repeats} calls within {self.budget_s:g} s, at least {self.min_repeats}, {inputs}"


# As published: `runtime_demo.py` of the NTIRE 2023 real-time challenge; its input is portrait, here it is landscape.
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
# The same measurement for a CPU. Most CPUs emulate half precision, hence float32. The mean of a few samples depends on
# other programs, hence the median of as many calls as the budget allows.
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
# As in `test_demo.py` of the NTIRE efficient super-resolution challenges, which counts the cold first call.
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
    min_processes=2,
    # Short processes tell as well as long ones by how much two of one network differ.
    unranked_share=0.5,
)

PROTOCOLS: dict[str, TimingProtocol] = {p.name: p for p in (NTIRE23, NTIRE23_CPU, ESR, ROBUST)}
"""Every protocol, by the name that ``--protocol`` takes."""


def get_protocol(name: str) -> TimingProtocol:
    """Return the protocol called `name`.

    Raises
    ------
    UsageError
        There is no protocol of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"there is no protocol {name!r}", hint=choice(name, PROTOCOLS))
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
        Name of the protocol; None for `robust`.
    budget_s
        Replaces the protocol's time budget per network, seconds. There are then no more processes than seconds.
    precision
        Replaces the protocol's precision.
    processes
        Number of processes for each network, also for those that would be finished after fewer.

    Raises
    ------
    UsageError
        There is no such protocol, the budget is not positive, or the protocol uses one process only.
    """
    on_cpu = device_kind == "cpu"
    protocol = get_protocol(name or ROBUST.name)
    if protocol.takes_turns and not on_cpu:
        # Half precision, as in the real-time challenges. The median of a turn, because the first call after another
        # process used the device may take three times as long. The device's events measure the times, so that the
        # host's other work is in none of them and no mean is needed to share it out.
        protocol = replace(protocol, precision="fp16", turn_statistic="median")
    if budget_s is not None:
        if not (budget_s > 0 and math.isfinite(budget_s)):
            what = "is no time" if budget_s > 0 or math.isnan(budget_s) else "leaves no time to measure"
            raise UsageError(f"a time budget of {budget_s:g} s {what}", hint="give a positive number of seconds")
        # At most one process for each second. ntire23 requires 244 calls, which a budget need not allow.
        few = max(1, min(protocol.processes, int(budget_s)))
        protocol = replace(protocol, budget_s=budget_s, min_repeats=min(protocol.min_repeats, 3), processes=few)
    if processes is not None:
        protocol = replace(protocol, processes=_checked_processes(protocol, processes), fixed_processes=True)
    return replace(protocol, precision=precision) if precision else protocol


def caution(protocol: TimingProtocol, device_kind: str) -> str | None:
    """Return a warning about all times of a protocol on a kind of device; None if there is none."""
    if device_kind != "cpu" or protocol.precision == "fp32":
        return None
    return (
        f"a CPU emulates {protocol.precision}: its times tell nothing of an accelerator's; "
        "measure with --precision fp32, or with --protocol robust or ntire23-cpu"
    )


def _checked_processes(protocol: TimingProtocol, processes: int) -> int:
    if processes < 1:
        raise UsageError(f"a network cannot be timed in {processes} processes", hint="give 1 or more")
    if processes > 1 and not protocol.takes_turns:
        raise UsageError(
            f"protocol {protocol.name} times a network in one process", hint="drop --processes or use --protocol robust"
        )
    return processes
