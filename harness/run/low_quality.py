"""Why a network is far below bicubic interpolation: another value range or another order of its channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from harness.data import Dataset
from harness.engines import Opener
from harness.errors import WorkerError
from harness.isolation.session import VALUE_RANGES
from harness.machine.quiet import QUIET_HOURS
from harness.quality import evaluate_pair, upscale_bicubic
from harness.run.plan import Plan
from harness.run.stages import BREACHES
from harness.run.submission_worker import SubmissionWorker
from harness.submissions.submission import Submission

Image = NDArray[np.uint8]
Upscale = Callable[[Image], Image]

BELOW_DB = 1.0
"""dB below bicubic from which the order BGR is tried."""
FAR_BELOW_DB = 3.0
"""dB below bicubic from which the other value range is tried too, in a worker of its own."""
GAIN_DB = 1.0
"""dB by which another use must be better to be reported."""

_SIDE = 128  # of the LR crops that are tried, pixels
_CROPS = 2


def explain_low_quality(plan: Plan, worker: SubmissionWorker, engine: Opener, psnr: float) -> list[str]:
    """Return a remark about the use in which a network is much better than as it was measured, if there is one.

    Other uses are tried only of a submission that is far below bicubic, on crops of the data set.

    Parameters
    ----------
    plan
        The run.
    worker
        The submission's worker, with its network loaded. Afterwards it may be another one, which uses the network in
        another way, or none: nothing more may be measured with it.
    engine
        Starts another worker.
    psnr
        RGB PSNR of the network on the first image, dB.

    Raises
    ------
    WorkerError
        The submission breaks the rules.
    """
    with QUIET_HOURS.work():
        behind = _bicubic_on_first(plan.dataset, plan.track.scale, plan.track.convention) - psnr
    if behind < BELOW_DB or worker.submission.kind == "baseline":
        return []
    try:
        return _compare(plan, worker, engine, try_ranges=behind >= FAR_BELOW_DB)
    except WorkerError as error:
        if error.kind in BREACHES:
            raise
        return []  # a network that fails in another use was not made for it


# The same for all submissions of a run.
@lru_cache(maxsize=4)
def _bicubic_on_first(dataset: Dataset, scale: int, convention: str) -> float:
    lr, hr = dataset.pair(0)
    return evaluate_pair(upscale_bicubic(lr, scale), hr, convention, scale=scale).psnr_rgb


def _compare(plan: Plan, worker: SubmissionWorker, engine: Opener, *, try_ranges: bool) -> list[str]:
    # All uses are compared on the same crops, so that the images' own difficulty cancels.
    pairs = [_crops(*plan.dataset.pair(index), plan.track.scale) for index in range(min(_CROPS, len(plan.dataset)))]
    session = worker.running
    measured = _psnr(plan, pairs, session.upscale)
    reached = {"BGR images": _psnr(plan, pairs, _in_bgr(session.upscale))}
    if try_ranges:
        # White is 1 or 255: frames in the wrong range are almost black or far too bright for the network.
        (other,) = (value for value in VALUE_RANGES if value != session.job.value_range)
        session = worker.reopen(engine, replace(worker.job(), submission=_with_range(worker.submission, other)))
        reached[f"value_range = {other}"] = _psnr(plan, pairs, session.upscale)
        reached[f"value_range = {other} and BGR images"] = _psnr(plan, pairs, _in_bgr(session.upscale))
    best = max(reached, key=lambda use: reached[use])
    if reached[best] < measured + GAIN_DB:
        return []
    return [f"would reach {reached[best]:.2f} dB with {best}, in place of {measured:.2f} dB (on crops of the images)"]


def _crops(lr: Image, hr: Image, scale: int) -> tuple[Image, Image]:
    """Return the centre of a pair of images."""
    top, left = ((side - min(side, _SIDE)) // 2 for side in lr.shape[:2])
    height, width = (min(side, _SIDE) for side in lr.shape[:2])
    inside = hr[scale * top : scale * (top + height), scale * left : scale * (left + width)]
    return np.ascontiguousarray(lr[top : top + height, left : left + width]), inside


@QUIET_HOURS.work()
def _psnr(plan: Plan, pairs: list[tuple[Image, Image]], upscale: Upscale) -> float:
    scale, convention = plan.track.scale, plan.track.convention
    return fmean(evaluate_pair(upscale(lr), hr, convention, scale=scale).psnr_rgb for lr, hr in pairs)


def _in_bgr(upscale: Upscale) -> Upscale:
    # Red and blue are exchanged before and after, so that the result is RGB again.
    return lambda lr: upscale(np.ascontiguousarray(lr[..., ::-1]))[..., ::-1]


def _with_range(submission: Submission, value_range: float) -> Submission:
    return replace(submission, manifest=submission.manifest.model_copy(update={"value_range": value_range}))
