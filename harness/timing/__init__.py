"""How long a forward pass takes: protocols, interleaved rounds, and checks of what was timed.

Workers import this package for its frames and protocols. What the controller needs beside them is therefore imported
from its module, such as :mod:`harness.timing.rounds`, and not from here.
"""

from harness.timing.frames import FrameSource, frame_of_call
from harness.timing.protocol import (
    ESR,
    NTIRE23,
    NTIRE23_CPU,
    PROTOCOLS,
    ROBUST,
    Precision,
    TimingProtocol,
    caution,
    get_protocol,
    protocol_for,
)

__all__ = [
    "ESR",
    "NTIRE23",
    "NTIRE23_CPU",
    "PROTOCOLS",
    "ROBUST",
    "FrameSource",
    "Precision",
    "TimingProtocol",
    "caution",
    "frame_of_call",
    "get_protocol",
    "protocol_for",
]
