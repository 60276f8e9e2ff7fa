"""Comparison of timed outputs with other outputs of the same frames.

A network could do less work while it is timed. Strips of the outputs of its timed calls are therefore compared with
what it returns for the same frames in a call of its own. Which calls are compared is drawn after they were made. Where
the output of a network for a crop of a frame is part of that for the frame, crops around the strips are enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.errors import WorkerError
from harness.timing.checks import disqualify
from harness.timing.crops import accepts_no_such_size, upscale_strips
from harness.timing.frames import Image
from harness.timing.strips import Strips
from harness.timing.timed_worker import TimedWorker

_TOLERANCE = {"fp32": 0.01, "fp16": 0.15, "bf16": 1.0}  # mean difference in levels; other kernels round differently
# A network with random numbers of its own. Those of torch, numpy and Python are seeded alike before each call.
_MAX_SPREAD = 0.5  # levels
_SPREAD_TOLERANCE = 0.1  # of the difference of two outputs of one kind
_STANDARD_ERRORS = 5.0  # allowed beside it
_ATTEMPTS = 3  # a difference of spreads must be found so often in a row
_DIFFERENT_INPUTS = 8.0  # mean difference in levels
_FLAT = 0.5  # standard deviation in levels below which an image shows nothing

_TIMED = "the output of a timed call differs from the untimed one of the same frame"
_FIRST = "the output of its first call differs from that of the same frame in a later one"
_LATER = "the output of a timed call differs from that of the same frame after the images had been upscaled"
_OTHER_PROCESS = "the image differs from that of the same frame in another process of the network"


@dataclass(frozen=True, slots=True)
class OutputSample:
    """A network's output for some frame, in part.

    Attributes
    ----------
    frame
        Input, H x W x 3, uint8.
    strips
        Parts of the output.
    """

    frame: Image
    strips: Strips


@dataclass(frozen=True, slots=True)
class Upscaled:
    """A frame and its image.

    Attributes
    ----------
    frame
        Input, H x W x 3, uint8.
    image
        Output, uint8.
    """

    frame: Image
    image: Image


@dataclass(slots=True)
class OutputCheck:
    """Compare a network's outputs.

    Every method that compares raises WorkerError of the kind `DISQUALIFIED` where outputs differ by more than
    rounding explains.

    Parameters
    ----------
    worker
        Process that runs the network.
    precision
        ``fp32``, ``fp16`` or ``bf16``. It determines the allowed difference.
    crop_scale
        Upscaling factor, if outputs for crops may be compared first; None if whole outputs must be. It becomes None
        where crops differ.

    Attributes
    ----------
    last
        Parts of the last timed output that was compared; None before the first comparison.
    compared
        The last frame that was upscaled as a whole in a call of its own.
    first
        Parts of the output of the first call; None if they are not kept.
    notes
        What a reader must know about the outputs.
    """

    worker: TimedWorker
    precision: str
    crop_scale: int | None = None
    last: OutputSample | None = None
    notes: list[str] = field(default_factory=list)
    compared: Upscaled | None = None
    first: OutputSample | None = None

    def check(self, frame: Image, strips: Strips, reference: Image | None = None) -> None:
        """Check the output of a timed call.

        Parameters
        ----------
        frame
            Input of that call, H x W x 3, uint8.
        strips
            Parts of its output.
        reference
            The same frame upscaled in a call of its own. By default the worker is asked now, for crops if they may be
            compared.

        Raises
        ------
        WorkerError
            Of the kind `DISQUALIFIED`: the outputs differ, or the same picture came back for different frames. An
            output that shows nothing is no sign of that: a network in the wrong value range saturates everywhere.
        """
        sample = self.last = OutputSample(frame, strips)
        if reference is None and self.crops_agree(sample):
            return
        image = self.worker.upscale(frame) if reference is None else reference
        self._compare(sample, image, _TIMED)
        other = self.compared
        is_repeated = other is not None and _differ(frame, other.frame) and np.array_equal(image, other.image)
        if is_repeated and _shows_something(image, frame):
            disqualify("the same image came back for different frames: an old result was returned")
        self.compared = Upscaled(frame, image)

    def crops_agree(self, sample: OutputSample) -> bool:
        """Return whether outputs for crops agree with parts of an output of this network.

        If not, only the output for the whole frame can tell whether the network is honest. Crops are then not tried
        again, because a network with global operations is more likely than a cheat.
        """
        if self.crop_scale is None or not np.isfinite(sample.strips.values).all():
            return False
        try:
            parts = upscale_strips(self.worker.upscale, sample.frame, sample.strips, self.crop_scale)
        except WorkerError as error:
            if not accepts_no_such_size(error):
                raise
            parts = None  # the network accepts no such size
        if parts is not None and np.abs(sample.strips.rounded() - parts).mean() <= _TOLERANCE[self.precision]:
            return True
        self.crop_scale = None
        return False

    def remember_first(self, frame: Image, strips: Strips) -> None:
        """Keep parts of the output of the first call, whose input was `frame`, for :meth:`check_first`."""
        self.first = OutputSample(frame, strips)

    def check_first(self, later: Image | None = None) -> Upscaled | None:
        """Compare the output of the first call with a later one of the same frame, and return that.

        Parameters
        ----------
        later
            The later output as an image. By default the worker is asked for it now.
        """
        if self.first is None:
            return None
        image = self.worker.upscale(self.first.frame) if later is None else later
        self._compare(self.first, image, _FIRST)
        return Upscaled(self.first.frame, image)

    def check_later(self, sample: OutputSample) -> None:
        """Compare a timed output with one of the same frame after the scored images were upscaled."""
        if not self.crops_agree(sample):
            self._compare(sample, self.worker.upscale(sample.frame), _LATER)

    def check_whole(self, strips: Strips, image: Image) -> None:
        """Check that the output of a timed call, which is asked for afterwards, is what it was when the clock stopped.

        Parameters
        ----------
        strips
            Parts of the output, taken when the clock stopped.
        image
            The output.
        """
        difference = _difference(strips, image)
        # Written such that NaN is a difference, too.
        if not difference <= _TOLERANCE[self.precision]:
            disqualify(f"the output of the timed call changed by {difference:.3g} levels after the clock had stopped")

    def check_same_output(self, strips: Strips, other: Upscaled) -> None:
        """Compare the output of a call with that of another process of the network for the same frame.

        Every process is timed, and the images of the last one are scored, so all must run the same network.
        """
        sample = OutputSample(other.frame, strips)
        difference = self._difference(sample, other.image)
        if difference > _TOLERANCE[self.precision]:
            # Both are made in this process: what another one does excuses nothing.
            one, second = (self.worker.upscale(sample.frame) for _ in range(2))
            self._excuse(sample, difference, one, second, _OTHER_PROCESS)

    def _compare(self, sample: OutputSample, reference: Image, message: str) -> None:
        difference = self._difference(sample, reference)
        if difference > _TOLERANCE[self.precision]:
            self._excuse(sample, difference, reference, self.worker.upscale(sample.frame), message)

    def _difference(self, sample: OutputSample, image: Image) -> float:
        if not np.isfinite(sample.strips.values).all():
            disqualify("the timed output holds values that are not finite")
        return _difference(sample.strips, image)

    def _excuse(self, sample: OutputSample, difference: float, one: Image, second: Image, message: str) -> None:
        """Disqualify a network whose outputs differ, unless its own randomness explains it.

        Parameters
        ----------
        sample
            The timed output.
        difference
            By how much it differs from another one of the same frame, levels.
        one, second
            Two outputs for that frame, made in calls of their own in this process.
        message
            What differs.
        """
        # A network with random elements differs from itself. Measure by how much before calling it a cheat.
        spread = _spread(sample.strips, one, second)
        # Only a network whose own randomness is small is examined further; nothing else explains a difference.
        if spread <= _TOLERANCE[self.precision] or spread > _MAX_SPREAD or difference > _MAX_SPREAD:
            disqualify(f"{message} by {difference:.3g} of 255 levels on average; two untimed ones by {spread:.2g}")
        self._check_randomness(sample.frame, message)
        note = f"two outputs of one frame differ by {spread:.2g} levels: it has random numbers of its own"
        if not self.notes:
            self.notes.append(note)

    def _check_randomness(self, frame: Image, message: str) -> None:
        """Compare what the network's own random numbers do to timed and to untimed outputs.

        Two outputs of one frame must differ as much within a burst of timed calls as in calls of their own, and as much
        as one of each kind. Lower precision in timed calls adds to the last of the three, and less randomness in them
        takes from the first.
        """
        for _ in range(_ATTEMPTS):
            single, again = (self.worker.upscale(frame).astype(np.float32) for _ in range(2))
            between = np.ascontiguousarray(frame[::-1])
            # The first and the third frame are equal: strips of output 1 are compared with the image of output 3.
            strips = self.worker.time([frame, between, frame], 0, 3, 3, None, inputs="dataset").strips[0]
            timed = self.worker.last_image(frame).astype(np.float32)
            pairs = [single - again, strips.rounded() - strips.of(timed), timed - single]
            spreads, errors = zip(*map(_mean_and_error, pairs), strict=True)
            highest, lowest = np.argmax(spreads), np.argmin(spreads)
            margin = _SPREAD_TOLERANCE * spreads[highest] + _STANDARD_ERRORS * (errors[highest] + errors[lowest])
            if spreads[highest] - spreads[lowest] <= margin:
                return
        disqualify(
            f"{message}: two untimed ones differ by {spreads[0]:.3g} levels on average, two timed ones by "
            f"{spreads[1]:.3g}, one of each by {spreads[2]:.3g}, where equal networks differ equally"
        )


def _mean_and_error(difference: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean absolute value of a difference of two outputs, and its standard error."""
    absolute = np.abs(difference)
    return float(absolute.mean()), float(absolute.std() / np.sqrt(absolute.size))


def _difference(strips: Strips, image: Image) -> float:
    """Return the mean difference of strips and an image, in levels, after rounding."""
    return float(np.abs(strips.rounded() - strips.of(image)).mean())


def _spread(strips: Strips, one: Image, other: Image) -> float:
    """Return the mean difference of two images in the places of strips, in levels."""
    return float(np.abs(strips.of(one) - strips.of(other)).mean())


def _shows_something(image: Image, frame: Image) -> bool:
    """Return whether an output is more than one value, or one pattern for each pixel of its frame."""
    height, width, channels = frame.shape
    # One block of scale x scale output pixels for each pixel of the frame.
    pixels = image.reshape(height, image.shape[0] // height, width, image.shape[1] // width, channels)
    return float(pixels.mean(axis=(1, 3)).std(axis=(0, 1)).max()) > _FLAT


def _differ(one: Image, other: Image) -> bool:
    """Return whether two frames differ clearly."""
    if one.shape != other.shape:
        return False
    # The difference of two uint8 values can be negative.
    return float(np.abs(one.astype(np.int16) - other).mean()) > _DIFFERENT_INPUTS
