"""The framing: what goes in comes out, and nothing but a documented error comes of anything else."""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from damage import SECRET, framed, mutated, reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.isolation.channel import Channel
from harness.isolation.messages import (
    MAGIC,
    PREFIX,
    ChannelClosed,
    DeadlinePassed,
    Message,
    ProtocolError,
    decode,
    encode,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))

arrays = hnp.arrays(
    st.sampled_from([np.uint8, np.float32]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    elements={"allow_nan": False},
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
messages = st.builds(
    Message,
    st.from_regex(r"[a-z_]{1,32}", fullmatch=True),
    st.dictionaries(st.text(max_size=10), json_values, max_size=4),
    st.lists(arrays, max_size=3).map(tuple),
)


@settings(max_examples=max(100, EXAMPLES // 10), deadline=None)
@given(messages, st.integers(0, 2**32 - 1))
def test_a_message_survives_the_journey(message: Message, sequence: int) -> None:
    data = b"".join(encode(message, SECRET, sequence))
    arrived = decode(reader(data), SECRET, sequence)
    assert arrived.name == message.name
    assert arrived.body == message.body
    assert len(arrived.arrays) == len(message.arrays)
    for got, sent in zip(arrived.arrays, message.arrays, strict=True):
        assert got.dtype == sent.dtype
        np.testing.assert_array_equal(got, sent)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300) | st.binary(max_size=300).map(framed))
def test_random_bytes_raise_documented_errors_only(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(reader(data), SECRET, 0)


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages, st.data())
def test_a_damaged_frame_is_refused_or_still_a_valid_message(message: Message, data: st.DataObject) -> None:
    frame = bytearray(b"".join(encode(message, SECRET, 0)))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(frame)))
    try:
        arrived = decode(reader(bytes(frame[:cut])), SECRET, 0, max_payload=1 << 16)
    except ProtocolError:
        return
    assert all(array.dtype in (np.uint8, np.float32) for array in arrived.arrays)


header_like = st.fixed_dictionaries(
    {},
    optional={
        "name": json_values | st.just("load"),
        "body": json_values,
        "arrays": json_values
        | st.lists(st.fixed_dictionaries({"dtype": json_values | st.just("uint8"), "shape": json_values})),
        "more": json_values,
    },
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(header_like, st.binary(max_size=20))
def test_well_framed_nonsense_raises_documented_errors_only(header: object, payload: bytes) -> None:
    data = framed(json.dumps(header).encode(), payload)
    with contextlib.suppress(ProtocolError):
        decode(reader(data), SECRET, 0)


CORPUS = [
    b'{"name":"load","body":{"params_before":41400,"size_multiple":1,"weights":true,"info":{},"notes":[]},"arrays":[]}',
    b'{"name":"time","body":{"samples_ms":[9.5,9.75,1e1],"clock":"monotonic clock","at_s":[0.1,0.2,3e-1]},"arrays":[]}',
    b'{"name":"upscale","body":{},"arrays":[{"dtype":"uint8","shape":[2,3,3]},{"dtype":"float32","shape":[]}]}',
    b'{"name":"error","body":{"stage":"time","type":"X","message":"\\u00e9\\n","traceback":null},"arrays":[]}',
]


def test_a_hundred_thousand_damaged_frames_raise_documented_errors_only() -> None:
    random = Random(20230523)
    outcomes = Counter()
    for _ in range(100_000):
        header = mutated(random.choice(CORPUS), random)
        data = framed(header, bytes(random.choice((0, 22, 18))))
        if random.random() < 0.2:
            data = mutated(data, random)
        try:
            decode(reader(data), SECRET, 0, max_payload=1 << 16)
            outcomes["accepted"] += 1
        except ProtocolError as error:
            outcomes[error.kind] += 1
    assert outcomes["accepted"] > 1000  # so that what lies behind the header was reached too
    assert outcomes["ProtocolError"] > 50_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (framed(b'{"name":"load"}', secret=bytes(16)), "secret"),
        (framed(b'{"name":"load"}', sequence=7), "received frame 7 instead of frame 0"),
        (b"HTTP/1.1 200 OK" + bytes(40), "not a frame"),
        (PREFIX.pack(MAGIC, SECRET, 0, 1 << 31, 0), "over the limit"),
        (PREFIX.pack(MAGIC, SECRET, 0, 2, 1 << 63), "over the limit"),
        (framed(b'{"name":"load","arrays":[{"dtype":"uint8","shape":[2,3]}]}', b"12345"), "describes 6 bytes"),
        (framed(b'{"name":"load","arrays":[{"dtype":"object","shape":[]}]}'), "dtype"),
        (framed(b'{"name":"load","arrays":[{"dtype":"uint8","shape":[-1]}]}'), "shape"),
        (
            framed(b'{"name":"load","arrays":[{"dtype":"uint8","shape":[1048576,1048576,1048576,1048576]}]}'),
            "describes",
        ),
        (framed(b'{"name":"load","body":' + b'{"a":' * 50_000), "header"),
        (framed(b'{"name":"../load"}'), "name"),
        (framed(b"\xff\xfe"), "header"),
        (framed(b'{"name":"load","pickle":"gASV"}'), "pickle"),
    ],
)
def test_each_forgery_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        decode(reader(data), SECRET, 0)


def test_nothing_is_allocated_for_a_payload_that_is_over_the_limit() -> None:
    asked = []

    def read(count: int) -> bytearray:
        asked.append(count)
        return bytearray(PREFIX.pack(MAGIC, SECRET, 0, 2, 1 << 40))

    with pytest.raises(ProtocolError):
        decode(read, SECRET, 0, max_payload=100)
    assert asked == [PREFIX.size]


def test_the_prefix_is_as_documented() -> None:
    assert PREFIX.size == 4 + 16 + 4 + 4 + 8
    assert PREFIX.pack(MAGIC, SECRET, 1, 2, 3)[20:] == struct.pack("!IIQ", 1, 2, 3)


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours, SECRET), Channel(theirs, SECRET)


def test_a_large_array_crosses_a_socket(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    image = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    sender = threading.Thread(target=ours.send, args=(Message("upscale", {}, (image[:, ::2],)), 3), daemon=True)
    sender.start()
    arrived = theirs.receive(3, time.monotonic() + 60)
    sender.join(60)
    np.testing.assert_array_equal(arrived.arrays[0], image[:, ::2])


def test_silence_ends_at_the_deadline(channels: tuple[Channel, Channel]) -> None:
    ours, _theirs = channels
    begin = time.monotonic()
    with pytest.raises(DeadlinePassed):
        ours.receive(0, begin + 0.3)
    assert 0.25 < time.monotonic() - begin < 60


def test_a_peer_that_does_not_read_does_not_block_the_sender(channels: tuple[Channel, Channel]) -> None:
    ours, _theirs = channels
    with pytest.raises(DeadlinePassed):
        ours.send(Message("upscale", {}, (np.zeros((4000, 4000), np.uint8),)), 0, time.monotonic() + 0.3)


def test_a_closed_peer_is_noticed_at_once(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    theirs.close()
    with pytest.raises(ChannelClosed):
        ours.receive(0, time.monotonic() + 30)
    with pytest.raises(ChannelClosed):
        ours.send(Message("load"), 0, time.monotonic() + 30)


def test_a_dead_process_is_noticed_although_its_socket_lives_on() -> None:
    ours, theirs = socket.socketpair()
    begin = time.monotonic()
    with ours, theirs, pytest.raises(ChannelClosed):
        Channel(ours, SECRET, alive=lambda: False).receive(0, begin + 600)
    assert time.monotonic() - begin < 60
