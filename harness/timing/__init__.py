"""How long a forward pass takes: clock, protocol, measurement, statistics."""

from harness.timing.clock import Clock, EventClock, HostClock, Reading, clock_for
from harness.timing.measure import (
    Sample,
    Sampling,
    Timing,
    frame_of_call,
    fresh_frames,
    repeated_frame,
    time_forward,
)
from harness.timing.protocol import (
    ESR,
    NTIRE23,
    NTIRE23_CPU,
    PROTOCOLS,
    ROBUST,
    Precision,
    Statistic,
    TimingProtocol,
    get_protocol,
    protocol_for,
)
from harness.timing.statistics import bootstrap_interval, summarise

__all__ = [
    "ESR",
    "NTIRE23",
    "NTIRE23_CPU",
    "PROTOCOLS",
    "ROBUST",
    "Clock",
    "EventClock",
    "HostClock",
    "Precision",
    "Reading",
    "Sample",
    "Sampling",
    "Statistic",
    "Timing",
    "TimingProtocol",
    "bootstrap_interval",
    "clock_for",
    "frame_of_call",
    "fresh_frames",
    "get_protocol",
    "protocol_for",
    "repeated_frame",
    "summarise",
    "time_forward",
]
