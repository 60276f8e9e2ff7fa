"""All pages of an output are read before the clock stops, whatever its layout."""

import mmap
import os

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.worker.clock import HostClock
from harness.worker.materialise import materialised

PAGES = 40


def sparse(pages: int) -> tuple[int, Tensor]:
    """Return an empty memory file, which gets a page when one is read, and a tensor on it."""
    fd = os.memfd_create("pages")
    os.ftruncate(fd, pages * mmap.PAGESIZE)
    memory = np.frombuffer(mmap.mmap(fd, pages * mmap.PAGESIZE), np.float32)
    return fd, torch.from_numpy(memory)


def pages_of(fd: int) -> int:
    """Return how many pages a memory file has."""
    return os.fstat(fd).st_blocks * 512 // mmap.PAGESIZE


@pytest.mark.parametrize(
    ("view", "pages"),
    [
        (lambda flat: flat.view(1, 4, -1, 32), PAGES),
        (lambda flat: flat.view(1, -1, 32, 4).permute(0, 3, 1, 2), PAGES),  # channels last
        (lambda flat: flat.view(1, PAGES, 1, -1)[:, 10:20], 10),
        (lambda flat: flat[5:6].view(1, 1, 1, 1).expand(1, 3, 8, 8), 1),
        (lambda flat: flat[:0], 0),
    ],
)
def test_every_page_of_an_output_is_read_inside_of_the_window(view, pages: int) -> None:
    fd, flat = sparse(PAGES)
    assert pages_of(fd) == 0
    seen = []
    output = view(flat)
    clock = HostClock(lambda: seen.append(pages_of(fd)))
    clock.time(lambda: output)
    assert seen == [0, pages]
    os.close(fd)


@pytest.mark.parametrize("output", [None, "text", torch.ones(3).to_sparse(), torch.empty(3, device="meta")])
def test_what_is_no_plain_output_is_left_to_later_checks(output: object) -> None:
    assert materialised(output) is output


def test_a_pending_sign_is_applied_inside_of_the_window() -> None:
    ready = torch.linspace(0, 1, 48).view(1, 3, 4, 4)
    pending = torch._neg_view(-ready)
    assert pending.is_neg()
    output = HostClock().time(lambda: pending).output
    assert not output.is_neg()
    assert torch.equal(output, ready)
