"""How long a forward pass takes: protocols, rounds and checks of what was timed."""

from harness.timing.contender import Contender
from harness.timing.frames import FrameSource, frame_of_call
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
    "Statistic",
    "TimingProtocol",
    "caution",
    "frame_of_call",
    "get_protocol",
    "protocol_for",
]
