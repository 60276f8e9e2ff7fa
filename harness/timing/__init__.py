"""How long a forward pass takes: protocol, measurement, statistics.

The names below are found without importing torch; clocks are in `harness.timing.clock`.
"""

from harness.timing.comparison import TimeComparison, compare_times
from harness.timing.contender import Contender
from harness.timing.frames import FrameSource
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
    caution,
    get_protocol,
    protocol_for,
)
from harness.timing.rounds import AnchorLostError, Rounds
from harness.timing.statistics import (
    anchor_level,
    bootstrap_interval,
    joined,
    pace_of,
    process_spread,
    round_ratios,
    summarise,
    summarise_record,
)

__all__ = [
    "ESR",
    "NTIRE23",
    "NTIRE23_CPU",
    "PROTOCOLS",
    "ROBUST",
    "AnchorLostError",
    "Contender",
    "FrameSource",
    "Precision",
    "Rounds",
    "Sample",
    "Sampling",
    "Statistic",
    "TimeComparison",
    "Timing",
    "TimingProtocol",
    "anchor_level",
    "bootstrap_interval",
    "caution",
    "compare_times",
    "frame_of_call",
    "fresh_frames",
    "get_protocol",
    "joined",
    "pace_of",
    "process_spread",
    "protocol_for",
    "repeated_frame",
    "round_ratios",
    "summarise",
    "summarise_record",
    "time_forward",
]
