"""Messages between the controller and a worker: a fixed prefix, a JSON header and raw array bytes.

If both ends share memory, array bytes are stored there instead of in the frame; see `harness.isolation.segment`.

Nothing is pickled, because unpickling data from a worker would execute its code in the controller. A frame is::

    magic (4) | secret (16) | sequence (u32) | header length (u32) | payload length (u64) | header | payload

in network byte order. The header contains the name of the message, its fields as JSON, and the dtypes and shapes of the
arrays. The reader validates every part before using it or allocating memory for it. For an invalid frame it raises
:class:`ProtocolError` or a subclass, and no other exception.
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
# Upper bounds for any frame. The controller passes a tighter one for the payload of each reply.
MAX_HEADER_BYTES = 4 << 20
MAX_PAYLOAD_BYTES = 8 << 30
MAX_ARRAYS = 4096  # a request may carry all frames of a data set

Array = NDArray[Any]


class ProtocolError(WorkerError):
    """The other end sent an invalid frame, or not the expected one."""

    def __init__(self, what: str, *, kind: str = "ProtocolError") -> None:
        super().__init__(what, stage="channel", kind=kind)


class ChannelClosed(ProtocolError):  # noqa: N818  end-of-file is not always an error
    """The other end closed the channel or its process ended."""

    def __init__(self, what: str = "the channel was closed") -> None:
        super().__init__(what, kind="ChannelClosed")


class DeadlinePassed(ProtocolError):  # noqa: N818
    """The other end did not send, or did not read, a frame in time."""

    def __init__(self, what: str = "the deadline passed") -> None:
        super().__init__(what, kind="Timeout")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: name, JSON-serializable fields and arrays (uint8 or float32).

    A reply also has the times of the marks that came before it, seconds, see :mod:`harness.isolation.marks`; None where
    there are no marks. The reply to a request that `is_judged` has the time that passed until it came, in seconds, and
    the part for which other programs may have delayed it, see :mod:`harness.isolation.delays`; `is_judged` is not sent
    to the other end.
    """

    name: str
    body: dict[str, Any] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()
    marks: tuple[float, ...] | None = None
    wall_s: float | None = None
    delay_s: float = 0.0
    is_judged: bool = False
    """Whether the duration of a request is compared with the times in the reply."""


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
    """Whether the arrays are stored consecutively in shared memory instead of in the payload."""

    @property
    def nbytes(self) -> int:
        return sum(spec.nbytes for spec in self.arrays)


Read = Callable[[int], bytearray]
"""Returns exactly the requested number of bytes, or raises :class:`ChannelClosed` or :class:`DeadlinePassed`."""


def encode(message: Message, secret: bytes, sequence: int, segment: Segment | None = None) -> list[memoryview]:
    """Return a frame as buffers to send in order.

    Arrays are written to shared memory if they fit. Otherwise they are part of the frame; contiguous arrays are not
    copied.

    Parameters
    ----------
    message
        Message to encode.
    secret
        The channel's secret, 16 bytes.
    sequence
        Sequence number of the frame.
    segment
        Shared memory; None if there is none.

    Raises
    ------
    ProtocolError
        The header is larger than ``MAX_HEADER_BYTES``.
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
    """Read and validate one frame. Arrays are copied, so that the sender cannot change them afterwards.

    Parameters
    ----------
    read
        Returns the next bytes of the stream.
    secret
        The channel's secret, 16 bytes. A frame without it did not come from the harness's code in the worker.
    sequence
        Expected sequence number.
    max_payload
        Largest accepted number of array bytes.
    segment
        Shared memory of this channel; None if there is none.

    Raises
    ------
    ProtocolError
        The frame is invalid or not the expected one.
    """
    header_length, payload_length = _check_prefix(bytes(read(PREFIX.size)), secret, sequence)
    if header_length > MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {header_length} bytes is over the limit of {MAX_HEADER_BYTES}")
    if payload_length > max_payload:
        raise ProtocolError(f"{payload_length} bytes of arrays are over the limit of {max_payload}")
    header = _parse_header(bytes(read(header_length)))
    # The two lengths are redundant. If they differ, one of them is wrong, and the next frame could not be found.
    in_frame = 0 if header.shared else header.nbytes
    if in_frame != payload_length:
        raise ProtocolError(f"the header describes {in_frame} bytes of arrays, the frame has {payload_length}")
    if header.shared:
        arrays = _take_shared(header, segment, max_payload)
    else:
        arrays = tuple(_read_array(read, spec) for spec in header.arrays)
    return Message(header.name, dict(header.body), arrays)


def _check_prefix(prefix: bytes, secret: bytes, sequence: int) -> tuple[int, int]:
    """Validate the prefix and return the lengths of header and payload in bytes."""
    magic, given_secret, given_sequence, header_length, payload_length = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ProtocolError("the data are not a frame")
    # Constant time, so that submitted code cannot find the secret byte by byte from response times.
    if not hmac.compare_digest(given_secret, secret):
        raise ProtocolError("a frame without this channel's secret: forged", kind=DISQUALIFIED)
    if given_sequence != sequence:
        # A duplicated or replayed reply carries the number of an earlier request.
        raise ProtocolError(f"received frame {given_sequence} instead of frame {sequence}")
    return header_length, payload_length


def _parse_header(raw: bytes) -> _Header:
    try:
        return _Header.model_validate_json(raw)
    except ValidationError as error:
        # Without the input, which the sender controls; the message goes into the report.
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "header"
        raise ProtocolError(f"bad header: {place}: {first['msg']}"[:500]) from None


def _take_shared(header: _Header, segment: Segment | None, max_payload: int) -> tuple[Array, ...]:
    """Copy the arrays out of shared memory after checking their total size."""
    if segment is None:
        raise ProtocolError("the header declares arrays in shared memory, but there is none")
    if header.nbytes > max_payload:
        raise ProtocolError(f"{header.nbytes} bytes of shared arrays are over the limit of {max_payload}")
    if header.nbytes > segment.size:
        raise ProtocolError(f"{header.nbytes} bytes of arrays in shared memory of {segment.size} bytes")
    arrays, offset = [], 0
    for spec in header.arrays:
        array = np.empty(spec.shape, spec.dtype)
        segment.read_into(array, offset)
        arrays.append(array)
        offset += array.nbytes
    return tuple(arrays)


def _read_array(read: Read, spec: _ArraySpec) -> Array:
    return np.frombuffer(read(spec.nbytes), dtype=spec.dtype).reshape(spec.shape)
