"""Framed messages between the controller and a worker: a fixed prefix, a JSON header, raw array bytes.

Where both ends share memory, the bytes of arrays lie there and not in the frame; see `harness.isolation.segment`.

Nothing is ever unpickled. A frame is::

    magic (4) | secret (16) | sequence (u32) | header length (u32) | payload length (u64) | header | payload

in network byte order. The header names the message, carries its small fields as JSON and describes the arrays
whose bytes follow. The reader checks every part before it believes it or allocates for it, and raises
:class:`ProtocolError` or its subclasses, never anything else.
"""

from __future__ import annotations

import hmac
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from harness.errors import DISQUALIFIED, WorkerError
from harness.isolation.segment import Segment

MAGIC = b"SRH1"
SECRET_BYTES = 16
PREFIX = struct.Struct(f"!4s{SECRET_BYTES}sIIQ")
MAX_HEADER_BYTES = 4 << 20
MAX_PAYLOAD_BYTES = 8 << 30
MAX_ARRAYS = 4096

Array = NDArray[Any]


class ProtocolError(WorkerError):
    """A peer sent bytes that are not a valid frame, or not the frame that is due."""

    def __init__(self, what: str, *, kind: str = "ProtocolError") -> None:
        super().__init__(what, stage="channel", kind=kind)


class ChannelClosed(ProtocolError):  # noqa: N818  an end of the stream is not always a fault
    """The other end closed the channel or died."""

    def __init__(self, what: str = "the channel was closed") -> None:
        super().__init__(what, kind="ChannelClosed")


class DeadlinePassed(ProtocolError):  # noqa: N818
    """The other end neither sent nor read what was due in time."""

    def __init__(self, what: str = "the deadline passed") -> None:
        super().__init__(what, kind="Timeout")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its name, its small fields and its arrays."""

    name: str
    body: dict[str, Any] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()


class _ArraySpec(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    dtype: Literal["uint8", "float32"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=1 << 20)]], Field(max_length=4)]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    body: dict[str, JsonValue] = {}
    arrays: Annotated[list[_ArraySpec], Field(max_length=MAX_ARRAYS)] = []
    shared: bool = False
    """Whether the arrays lie in the shared memory, one after another, and not in the payload."""

    @property
    def nbytes(self) -> int:
        return sum(spec.nbytes for spec in self.arrays)


Read = Callable[[int], bytearray]
"""Returns exactly as many bytes as asked for, or raises :class:`ChannelClosed` or :class:`DeadlinePassed`."""


def encode(message: Message, secret: bytes, sequence: int, segment: Segment | None = None) -> list[memoryview]:
    """Return the frame as buffers to send in order; arrays go to the shared memory where there is one that holds them.

    Otherwise they are part of the frame, and not copied where they are contiguous.
    """
    arrays = [np.ascontiguousarray(array) for array in message.arrays]
    specs = [_ArraySpec.model_validate({"dtype": a.dtype.name, "shape": list(a.shape)}) for a in arrays]
    shared = segment is not None and any(array.nbytes for array in arrays) and segment.write(arrays)
    header = _Header(name=message.name, body=message.body, arrays=specs, shared=shared).model_dump_json().encode()
    if len(header) > MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {len(header)} bytes is over the limit of {MAX_HEADER_BYTES}")
    payload = [] if shared else [array.reshape(-1).view(np.uint8).data for array in arrays if array.nbytes]
    prefix = PREFIX.pack(MAGIC, secret, sequence, len(header), sum(buffer.nbytes for buffer in payload))
    return [memoryview(prefix + header), *payload]


def decode(
    read: Read,
    secret: bytes,
    sequence: int,
    max_payload: int = MAX_PAYLOAD_BYTES,
    segment: Segment | None = None,
) -> Message:
    """Read and validate one frame; its arrays are the reader's own, wherever they lay.

    Parameters
    ----------
    read
        Gives the next bytes of the stream.
    secret
        Shared by both ends of this channel alone; a frame without it is a forgery.
    sequence
        Number that the frame must carry.
    max_payload
        Largest number of array bytes to accept.
    segment
        The memory that this channel's ends share, where there is one.

    Raises
    ------
    ProtocolError
        For anything that is not exactly the frame that is due.
    """
    header_length, payload_length = _check_prefix(bytes(read(PREFIX.size)), secret, sequence)
    if header_length > MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {header_length} bytes is over the limit of {MAX_HEADER_BYTES}")
    if payload_length > max_payload:
        raise ProtocolError(f"{payload_length} bytes of arrays are over the limit of {max_payload}")
    header = _parse_header(bytes(read(header_length)))
    in_frame = 0 if header.shared else header.nbytes
    if in_frame != payload_length:
        raise ProtocolError(f"the header describes {in_frame} bytes of arrays, the frame has {payload_length}")
    if header.shared:
        arrays = _take_shared(header, segment, max_payload)
    else:
        arrays = tuple(_read_array(read, spec) for spec in header.arrays)
    return Message(header.name, dict(header.body), arrays)


def _check_prefix(prefix: bytes, secret: bytes, sequence: int) -> tuple[int, int]:
    magic, given_secret, given_sequence, header_length, payload_length = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError("the bytes are not a frame")
    if not hmac.compare_digest(given_secret, secret):
        raise ProtocolError("a frame without this channel's secret: forged", kind=DISQUALIFIED)
    if given_sequence != sequence:
        raise ProtocolError(f"frame {given_sequence} came where frame {sequence} was due")
    return header_length, payload_length


def _parse_header(raw: bytes) -> _Header:
    try:
        return _Header.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "header"
        raise ProtocolError(f"bad header: {place}: {first['msg']}"[:500]) from None


def _take_shared(header: _Header, segment: Segment | None, max_payload: int) -> tuple[Array, ...]:
    """Copy the arrays out of the shared memory, once their sizes are known to be allowed."""
    if segment is None:
        raise ProtocolError("arrays are said to be in shared memory, and there is none")
    if header.nbytes > max_payload:
        raise ProtocolError(f"{header.nbytes} bytes of shared arrays are over the limit of {max_payload}")
    if header.nbytes > segment.size:
        raise ProtocolError(f"{header.nbytes} bytes of arrays in shared memory of {segment.size} bytes")
    arrays, place = [], 0
    for spec in header.arrays:
        array = np.empty(spec.shape, spec.dtype)
        segment.read_into(array, place)
        arrays.append(array)
        place += array.nbytes
    return tuple(arrays)


def _read_array(read: Read, spec: _ArraySpec) -> Array:
    return np.frombuffer(read(spec.nbytes), dtype=spec.dtype).reshape(spec.shape)
