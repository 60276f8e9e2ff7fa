"""What a submission prints is there as soon as it was printed, and bounded."""

import os
from collections.abc import Iterator

import pytest

from harness.isolation.log import LogCapture


@pytest.fixture
def captured() -> Iterator[tuple[LogCapture, int]]:
    log = LogCapture(keep_bytes=1000, catch_up_s=60.0)
    writer = os.dup(log.writer)
    log.start()
    yield log, writer
    os.close(writer)
    log.finish()


def test_what_was_printed_is_there_at_once(captured: tuple[LogCapture, int]) -> None:
    log, writer = captured
    for number in range(300):
        os.write(writer, b"%d\n" % number)
        assert log.tail().splitlines()[-1] == str(number)


def test_a_flood_leaves_its_beginning_and_its_end(captured: tuple[LogCapture, int]) -> None:
    log, writer = captured
    for start in range(0, 300_000, 1000):
        os.write(writer, b"".join(b"%07d\n" % (start + number) for number in range(0, 1000, 8)))
    text = log.text()
    assert text.startswith("0000000\n0000008\n")
    assert text.endswith("0299992\n")
    kept, missing = len(text), int(text.split("[... ")[1].split()[0])
    assert kept < 70_000
    assert kept - len(f"\n[... {missing} bytes omitted ...]\n") + missing == 300_000


def test_after_the_end_it_is_still_there() -> None:
    log = LogCapture()
    writer = os.dup(log.writer)
    log.start()
    os.write(writer, b"the last word")
    os.close(writer)
    log.finish()
    assert log.text() == log.tail() == "the last word"
