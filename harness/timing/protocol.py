"""Protocols: how often a network is called, on what, and which statistic of the samples counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harness.errors import UsageError

Precision = Literal["fp32", "fp16", "bf16"]
Statistic = Literal["mean", "median"]


@dataclass(frozen=True, slots=True)
class TimingProtocol:
    """A rule for timing that a report can state and a reader can repeat.

    Attributes
    ----------
    name
        What ``--protocol`` and the report call it.
    precision
        In which the network runs, for speed and for quality alike.
    warmup
        Untimed calls before the first sample.
    repeats
        Timed calls at the most.
    min_repeats
        Timed calls at the least, unless a single call outlasts the budget.
    budget_s
        Seconds after which no further call begins; None for no limit.
    fresh_inputs
        Whether every call gets a frame that it has not seen.
    statistic
        What the score uses.
    """

    name: str
    precision: Precision
    warmup: int
    repeats: int
    min_repeats: int
    budget_s: float | None
    fresh_inputs: bool
    statistic: Statistic

    def describe_warmup(self) -> str:
        """Return the warm-up rule in words."""
        if self.budget_s is None:
            return f"{self.warmup} calls"
        return f"{self.warmup} call(s), at most a fifth of the budget"

    def describe_repeats(self) -> str:
        """Return the rule for the number of timed calls in words."""
        inputs = "a new frame each" if self.fresh_inputs else "one input, reused"
        if self.budget_s is None:
            return f"{self.repeats} calls, {inputs}"
        return f"up to {self.repeats} calls within {self.budget_s:g} s, at least {self.min_repeats}, {inputs}"


# As published: `runtime_demo.py` of the NTIRE 2023 real-time challenge; its input is portrait, ours landscape.
NTIRE23 = TimingProtocol(
    name="ntire23",
    precision="fp16",
    warmup=50,
    repeats=244,
    min_repeats=244,
    budget_s=None,
    fresh_inputs=False,
    statistic="mean",
)
# The same measurement where there is no accelerator. Half precision is emulated on most CPUs, and a mean of few
# samples is at the mercy of whatever else the machine does, so: float32, median, as many calls as time allows.
NTIRE23_CPU = TimingProtocol(
    name="ntire23-cpu",
    precision="fp32",
    warmup=3,
    repeats=244,
    min_repeats=3,
    budget_s=8.0,
    fresh_inputs=True,
    statistic="median",
)


def protocol_for(
    device_kind: str, *, budget_s: float | None = None, precision: Precision | None = None
) -> TimingProtocol:
    """Return the protocol for a kind of device.

    Parameters
    ----------
    device_kind
        ``cpu``, or an accelerator's kind such as ``cuda``.
    budget_s
        Replaces the protocol's time budget per model, seconds.
    precision
        Replaces the protocol's precision.

    Raises
    ------
    UsageError
        The budget is not positive.
    """
    protocol = NTIRE23_CPU if device_kind == "cpu" else NTIRE23
    if budget_s is not None:
        if not budget_s > 0:
            raise UsageError(
                f"a time budget of {budget_s:g} s leaves no time to measure",
                mend="give a positive number of seconds",
            )
        protocol = replace(protocol, budget_s=budget_s, min_repeats=min(protocol.min_repeats, 3))
    return replace(protocol, precision=precision) if precision else protocol
