"""Outputs through shared memory: what arrives, what a hostile worker can do to it, and what happens without it."""

import json
import mmap
import os
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import soon

from harness.errors import WorkerError
from harness.isolation.channel import Channel
from harness.isolation.messages import MAGIC, PREFIX, Message, ProtocolError, decode, encode
from harness.isolation.sandbox import bwrap_problem
from harness.isolation.segment import SEGMENT_BYTES, Segment
from harness.isolation.session import Session

Open = Callable[..., Session]

SECRET = bytes(range(16))
SIZE = 1 << 16

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no shared memory of a fixed size here")
needs_bwrap = pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")
sandboxes = pytest.mark.parametrize("sandbox", ["process", pytest.param("bwrap", marks=needs_bwrap)])

NEAREST = """
import ctypes, fcntl, mmap, os, threading, time
import numpy as np
from torch import nn

class Nearest(nn.Module):
    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=2, mode="nearest")

def srmodel(scale=2):
    return Nearest()

def descriptors():
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if "memfd:sr-harness" in os.readlink(f"/proc/self/fd/{fd}"):
                yield fd
        except OSError:
            pass
"""


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(SIZE)
    assert made is not None
    yield made
    made.close()


def nearest(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def shared_bytes(session: Session, count: int) -> np.ndarray:
    """Return what is at the beginning of the memory that a session shares with its worker."""
    segment = session.exchange._worker.channel._segment  # type: ignore[attr-defined]
    with mmap.mmap(segment.fd, SEGMENT_BYTES, prot=mmap.PROT_READ) as view:
        return np.frombuffer(view[:count], np.uint8)


def framed(header: dict[str, object], payload: bytes = b"") -> Callable[[int], bytearray]:
    """Return a reader of a frame with this header."""
    raw = json.dumps({"name": "upscale", "body": {}, **header}).encode()
    rest = bytearray(PREFIX.pack(MAGIC, SECRET, 0, len(raw), len(payload)) + raw + payload)

    def read(count: int) -> bytearray:
        part = rest[:count]
        del rest[:count]
        return part

    return read


def image_of(*shape: int) -> dict[str, object]:
    return {"dtype": "uint8", "shape": list(shape)}


def test_arrays_cross_in_memory_and_only_their_shapes_in_the_frame(segment: Segment) -> None:
    rng = np.random.default_rng(2)
    arrays = (rng.integers(0, 256, (9, 7, 3), np.uint8)[:, ::2], rng.random((2, 3), np.float32), np.zeros((0, 3), "u1"))
    buffers = encode(Message("upscale", {}, arrays), SECRET, 0, segment)
    assert len(buffers) == 1
    data = bytearray(buffers[0])
    arrived = decode(lambda count: bytearray(data.pop(0) for _ in range(count)), SECRET, 0, segment=segment)
    for sent, own in zip(arrays, arrived.arrays, strict=True):
        np.testing.assert_array_equal(own, sent)
    segment.write([np.full(SIZE, 9, np.uint8)])
    for sent, own in zip(arrays, arrived.arrays, strict=True):
        np.testing.assert_array_equal(own, sent)


def test_nobody_can_change_the_size_of_the_memory(segment: Segment) -> None:
    for size in (0, SIZE - 1, SIZE + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, size)
    assert os.fstat(segment.fd).st_size == SIZE


@pytest.mark.parametrize(
    ("header", "payload", "message"),
    [
        ({"arrays": [image_of(11, 10, 3)], "shared": True}, b"", "over the limit of 300"),
        ({"arrays": [image_of(10, 10, 3)], "shared": True}, bytes(300), "describes 0 bytes of arrays, the frame has"),
        ({"arrays": [image_of(10, 10, 3)], "shared": 1}, b"", "bad header: shared"),
        ({"arrays": [image_of(10, -10, 3)], "shared": True}, b"", "bad header"),
        ({"arrays": [image_of(10, 10, 3)]}, b"", "describes 300 bytes of arrays, the frame has 0"),
    ],
)
def test_a_reply_that_lies_about_the_memory_is_refused(
    segment: Segment, header: dict[str, object], payload: bytes, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        decode(framed(header, payload), SECRET, 0, max_payload=300, segment=segment)


def test_arrays_beyond_the_memory_or_in_none_are_refused(segment: Segment) -> None:
    header = {"arrays": [image_of(SIZE + 1)], "shared": True}
    with pytest.raises(ProtocolError, match=f"{SIZE + 1} bytes of arrays in shared memory of {SIZE}"):
        decode(framed(header), SECRET, 0, segment=segment)
    with pytest.raises(ProtocolError, match="but there is none"):
        decode(framed(header), SECRET, 0)


sides = st.integers(-1, 1 << 21)
specs = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["uint8", "float32", "object"]), "shape": st.lists(sides, max_size=5)}
)


@settings(max_examples=300, deadline=None)
@given(st.lists(specs, max_size=3), st.booleans(), st.binary(max_size=8))
def test_invented_shapes_raise_documented_errors_only(arrays: list[object], shared: bool, payload: bytes) -> None:
    made = Segment.create(1 << 12)
    assert made is not None
    try:
        arrived = decode(framed({"arrays": arrays, "shared": shared}, payload), SECRET, 0, 1 << 11, made)
    except ProtocolError:
        return
    finally:
        made.close()
    assert sum(array.nbytes for array in arrived.arrays) <= 1 << 11


@sandboxes
def test_an_output_is_written_where_both_can_see_it(open_small: Open, frame: np.ndarray, sandbox: str) -> None:
    with open_small(NEAREST, sandbox=sandbox) as session:
        session.load()
        output = session.upscale(frame)
        np.testing.assert_array_equal(output, nearest(frame))
        np.testing.assert_array_equal(shared_bytes(session, output.size), output.ravel())


SCRIBBLES = """
def scribble():
    fd = next(descriptors())
    with mmap.mmap(fd, os.fstat(fd).st_size) as view:
        while True:
            view[: 1 << 16] = bytes([77]) * (1 << 16)
            time.sleep(0.01)

class Network(Nearest):
    def forward(self, x):
        if x.shape[-1] == 33:
            threading.Timer(1.0, scribble).start()
        return super().forward(x)

def srmodel(scale=2):
    return Network()
"""


@sandboxes
def test_what_a_worker_writes_after_its_reply_changes_nothing(
    open_small: Open, frame: np.ndarray, sandbox: str
) -> None:
    with open_small(NEAREST + SCRIBBLES, sandbox=sandbox) as session:
        session.load()
        output = session.upscale(frame)
        kept = output.copy()
        assert soon(lambda: (shared_bytes(session, output.size) == 77).all()), "the worker does not write"
        np.testing.assert_array_equal(output, kept)
        assert not np.shares_memory(output, session.exchange._worker.channel._segment._bytes)  # type: ignore[attr-defined]


def test_a_worker_that_would_shrink_the_memory_cannot(open_small: Open, frame: np.ndarray) -> None:
    shrinks = """
class Network(Nearest):
    def forward(self, x):
        for fd in descriptors():
            try:
                os.ftruncate(fd, 0)
                print("shrunk")
            except OSError as error:
                print("refused:", error.strerror)
        return super().forward(x)

def srmodel(scale=2):
    return Network()
"""
    with open_small(NEAREST + shrinks) as session:
        session.load()
        np.testing.assert_array_equal(session.upscale(frame), nearest(frame))
        assert "refused: Operation not permitted" in session.exchange.log_tail()
        assert "shrunk" not in session.exchange.log_tail()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("np.zeros((66, 46, 3), np.uint8)", "an image of"),
        ("np.zeros((46, 33, 3), np.float32)", "over the limit"),
        ("np.zeros((46, 66, 2), np.uint8)", "an image of"),
        ("np.zeros((4600, 6600, 3), np.uint8)", "over the limit"),
    ],
)
def test_an_output_of_a_forged_shape_is_an_error(open_small: Open, frame: np.ndarray, reply: str, message: str) -> None:
    forges = f"import harness.worker.timed_calls as own\nown.to_image = lambda *_: {reply}\n"
    with open_small(NEAREST + forges) as session:
        session.load()
        with pytest.raises(WorkerError, match=message) as caught:
            session.upscale(frame)
    assert (caught.value.stage, caught.value.kind) == ("upscale", "ProtocolError")


def test_without_shared_memory_outputs_come_through_the_socket(
    open_small: Open, frame: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segment, "create", lambda: None)
    with open_small(NEAREST) as session:
        session.load()
        np.testing.assert_array_equal(session.upscale(frame), nearest(frame))


def test_what_is_too_large_for_the_memory_comes_through_the_socket(
    open_small: Open, frame: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Segment.create(3 * 33 * 23)  # the frame, but not the output
    monkeypatch.setattr(Segment, "create", lambda: small)
    with open_small(NEAREST) as session:
        session.load()
        output = session.upscale(frame)
        np.testing.assert_array_equal(output, nearest(frame))


def test_a_system_without_such_memory_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert Segment.create() is None


def test_a_closed_channel_holds_no_memory(segment: Segment) -> None:
    made = Segment.create(SIZE)
    ours, theirs = socket.socketpair()
    theirs.close()
    channel = Channel(ours, SECRET, segment=made)
    assert made is not None
    channel.close()
    channel.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made.fd)


def test_memory_may_be_closed_while_another_thread_copies_from_it() -> None:
    """A run that is stopped closes it beside a request; the memory is unmapped when the last view is gone."""
    segment = Segment.create(SIZE)
    assert segment is not None
    view = segment.frame(4, 4)
    assert view is not None
    segment.close()
    view[:] = 7
    assert int(view.sum()) == 7 * view.size
