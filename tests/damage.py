"""Frames as a stranger sends them: framed by hand, and with pieces replaced by what parsers stumble over."""

from collections.abc import Callable
from random import Random

from harness.isolation.messages import MAGIC, PREFIX, ChannelClosed

SECRET = bytes(range(16))
TOKENS = [b"{", b"}", b"[", b"]", b'"', b"\\u0000", b"\\ud800", b"-1", b"1e999", b"NaN", b"null", b",", b":"]
TOKENS += [b"9" * 5000, b"\xff", b"\0", b"../", b"=", b"\n", b"'''", b"true", b"[" * 2000]


def reader(data: bytes) -> Callable[[int], bytearray]:
    """Return a read function on `data` like that of a channel."""
    rest = memoryview(data)

    def read(count: int) -> bytearray:
        nonlocal rest
        if count > len(rest):
            raise ChannelClosed
        part, rest = bytearray(rest[:count]), rest[count:]
        return part

    return read


def framed(header: bytes, payload: bytes = b"", *, secret: bytes = SECRET, sequence: int = 0) -> bytes:
    """Return a frame whose prefix fits what it holds."""
    return PREFIX.pack(MAGIC, secret, sequence, len(header), len(payload)) + header + payload


def mutated(data: bytes, random: Random) -> bytes:
    """Return `data` with one to four pieces of up to twelve bytes replaced, cut or doubled."""
    result = bytearray(data)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(result) + 1)
        end = min(len(result), start + random.randint(0, 12))
        replacements = (random.randbytes(1), random.choice(TOKENS), b"", bytes(result[start:end]) * 2)
        result[start:end] = random.choice(replacements)
    return bytes(result)
