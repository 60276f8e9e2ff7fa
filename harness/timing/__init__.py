"""How long a forward pass takes: clock, protocol, measurement, statistics."""

from harness.timing.clock import Clock, EventClock, HostClock, clock_for
from harness.timing.measure import Sample, Sampling, Timing, fresh_frames, repeated_frame, time_forward
from harness.timing.protocol import NTIRE23, NTIRE23_CPU, Precision, Statistic, TimingProtocol, protocol_for
from harness.timing.statistics import bootstrap_interval, summarise

__all__ = [
    "NTIRE23",
    "NTIRE23_CPU",
    "Clock",
    "EventClock",
    "HostClock",
    "Precision",
    "Sample",
    "Sampling",
    "Statistic",
    "Timing",
    "TimingProtocol",
    "bootstrap_interval",
    "clock_for",
    "fresh_frames",
    "protocol_for",
    "repeated_frame",
    "summarise",
    "time_forward",
]
