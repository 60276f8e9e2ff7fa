"""Check a network against the submission contract on small inputs, for ``harness check`` and for loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic  # bound before submitted code could replace it
from typing import Any

import torch
from torch import Tensor, nn

from harness.complexity.input_size import smallest_multiple
from harness.errors import ContractError
from harness.results.record import Colour
from harness.submissions.finding import Finding
from harness.worker.accuracy import (
    FAR_BELOW_DB,
    better_colour,
    better_range,
    bicubic_psnr,
    padded,
    photograph,
    psnr_in_range,
)
from harness.worker.importing import describe
from harness.worker.obstacles import obstacle

_MEND_FORWARD = "it must take one float32 RGB image on the CPU, without gradients"

_COMMON_SIDE = 192  # a multiple of most windows and strides
_FEW_PIXELS = 8
_SEARCH_S = 60.0  # of sizes: a network that fails slowly would take minutes for all of them


def find_size_multiple(network: nn.Module, scale: int, value_range: float = 1.0, declared: int = 1) -> int:
    """Return the smallest multiple, among those that are tried, such that the network accepts inputs of such sides.

    Parameters
    ----------
    network
        Network in eval mode.
    scale, value_range
        Declarations of the manifest.
    declared
        Multiple that the manifest declares. It is tried first, then multiples of it.

    Raises
    ------
    ContractError
        No size works, or the output has a fault that no other size would avoid, such as a wrong scale or dtype.
    """
    last: Finding | None = None
    deadline = monotonic() + _SEARCH_S

    def accepts(height: int, width: int) -> bool:
        nonlocal last
        # Not before the first fault, which the message states.
        if last is not None and monotonic() > deadline:
            raise ContractError(
                f"{last.what}; no other input size that was tried in {_SEARCH_S:g} s works either",
                hint="declare the size_multiple that the network needs",
            )
        fault = _fault_at(network, _noise(network, height, width) * value_range, scale)
        if fault is not None and fault.of_any_size:
            raise ContractError(fault.what, hint=fault.hint)
        last = fault or last
        return fault is None

    found = smallest_multiple(accepts, declared)
    if found is None:
        assert last is not None
        raise ContractError(f"{last.what}; no other input size that was tried works either", hint=last.hint)
    return found


@dataclass(frozen=True, slots=True)
class _Fault(Finding):
    """An error of one forward pass; ``of_any_size``: whether an input of another size would have it too."""

    of_any_size: bool = False


def _fault_at(network: nn.Module, frame: Tensor, scale: int) -> _Fault | None:
    try:
        with torch.no_grad():  # not inference_mode: tensors that the network caches could not be used in later calls
            output = network(frame)
    except (Exception, SystemExit) as error:  # what a submitted forward raises is the finding
        if (reason := obstacle(error)) is not None:
            raise reason from error
        shape = "x".join(map(str, frame.shape))
        what = f"the forward pass raised {describe(error)} for an input of {shape}"
        return _Fault("error", what, _MEND_FORWARD, isinstance(error, MemoryError | SystemExit))
    return output_fault(output, frame, scale)


def scale_of(network: nn.Module) -> int | None:
    """Return the integer factor by which the network upscales an image, or None if there is none."""
    found: int | None = None

    def upscales(height: int, width: int) -> bool:
        nonlocal found
        found = _factor_at(network, height, width)
        return found is not None

    if not upscales(_COMMON_SIDE, _COMMON_SIDE):
        smallest_multiple(upscales)
    return found


def _factor_at(network: nn.Module, height: int, width: int) -> int | None:
    try:
        with torch.no_grad():
            output = network(_noise(network, height, width))
    except (Exception, SystemExit):  # noqa: BLE001 -- the contract's own checks report why
        return None
    if not isinstance(output, Tensor) or output.ndim != 4:
        return None
    (factor, rest), across = (divmod(out, side) for out, side in zip(output.shape[2:], (height, width), strict=True))
    return factor if factor and not rest and across == (factor, 0) else None


def _noise(network: nn.Module, height: int, width: int) -> Tensor:
    """Return reproducible values in [0, 1], 1x3xHxW, on the device of the network.

    The seed depends on the size. With one seed, images of all sizes would begin alike, and a network that recognises
    frames by their content would answer with the output of another size.
    """
    generator = torch.Generator().manual_seed(height << 32 | width)
    return torch.rand(1, 3, height, width, generator=generator).to(_device(network))


def _device(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def output_fault(output: Any, frame: Tensor, scale: int) -> _Fault | None:
    """Return the error in type, shape or dtype of ``output`` for the input ``frame`` (1x3xHxW), or None."""
    if not isinstance(output, Tensor):
        return _Fault(
            "error", f"returns a {type(output).__name__}, not a tensor", "return the upscaled image alone", True
        )
    wanted = (1, 3, frame.shape[2] * scale, frame.shape[3] * scale)
    if tuple(output.shape) != wanted:
        return _shape_fault(tuple(output.shape), wanted, frame, scale)
    if not output.is_floating_point():
        return _Fault(
            "error", f"returns {output.dtype}", "return floating point; the harness rounds to 8 bit itself", True
        )
    if output.device != frame.device:
        return _Fault(
            "error", f"returns a tensor on {output.device}", "keep the computation on the input's device", True
        )
    return None


def _shape_fault(shape: tuple[int, ...], wanted: tuple[int, ...], frame: Tensor, scale: int) -> _Fault:
    seen = "x".join(map(str, shape))
    said = f"returns {seen} for an input of {'x'.join(map(str, frame.shape))}, expected {'x'.join(map(str, wanted))}"
    if len(shape) == 4 and shape[1] != 3:
        return _Fault("error", said, f"return 3 channels (RGB), not {shape[1]}", True)
    ratio = shape[2] / frame.shape[2] if len(shape) == 4 else 0.0
    if len(shape) == 4 and ratio.is_integer() and ratio == shape[3] / frame.shape[3] != scale:
        hint = f"it upscales by {ratio:g}, not by {scale}: set scales = [{ratio:g}] in the manifest"
        return _Fault("error", said, hint, True)
    return _Fault("error", said, _size_hint(shape, wanted))


def _size_hint(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return how to correct a size; a difference of a few pixels has usual causes."""
    excess = {out - right for out, right in zip(shape[2:], wanted[2:], strict=True)} if len(shape) == 4 else set()
    if len(excess) == 1 and 0 < abs(pixels := excess.pop()) <= _FEW_PIXELS:
        if pixels > 0:
            cause = "crop what padding inside the network added, or correct padding and output_padding"
            # 's'[:0] is empty: no plural for one pixel.
            return f"it is {pixels} pixel{'s'[: pixels - 1]} too large: {cause} of the transposed convolution"
        cause = "a transposed convolution needs output_padding = stride - 1 with padding = kernel // 2"
        return f"it is {-pixels} pixel{'s'[: -pixels - 1]} too small: {cause}; convolutions need padding"
    return "return one image, upscaled by the scale exactly, without border"


def check_network(
    network: nn.Module,
    scale: int,
    value_range: float = 1.0,
    size_multiple: int = 1,
    colour: Colour | None = None,
    *,
    trained: bool = True,
) -> list[Finding]:
    """Check a loaded network against the contract on small inputs.

    Parameters
    ----------
    network
        Network in eval mode, float32, on the CPU.
    scale, value_range, size_multiple
        Declarations of the manifest.
    colour
        Colour space that the manifest declares. If it declares none, others than RGB are tried.
    trained
        Whether the network has weights, so that its output can be compared with bicubic interpolation.

    Returns
    -------
    list of Finding
        One finding per check. If the forward pass fails, only that error.
    """
    try:
        multiple = find_size_multiple(network, scale, value_range, size_multiple)
    except ContractError as error:
        return [Finding("error", error.what, error.hint or "")]
    frame = padded(photograph(scale)[0], multiple) * value_range
    frame = frame.to(_device(network))
    with torch.no_grad():
        fault = _fault_at(network, frame.clone(), scale)
        if fault:
            return [Finding("error", fault.what, fault.hint)]
        output = network(frame.clone())
        sizes = ("x".join(map(str, shape)) for shape in (frame.shape, output.shape))
        # Each call gets a clone, because a forward pass may change its input, see `_keeps_input`.
        findings = [Finding("ok", f"upscales by {scale}: {' to '.join(sizes)}")]
        findings += [check(output, value_range) for check in _OUTPUT_CHECKS]
        if trained:
            findings.append(_range(output, value_range))
            findings.append(_accuracy(network, scale, value_range, multiple, colour))
        findings.append(_repeats(network, frame, output))
        findings.append(_keeps_input(network, frame))
        findings.append(_sizes(multiple, size_multiple))
    return findings


def _finite(output: Tensor, _: float) -> Finding:
    bad = int((~torch.isfinite(output)).sum())
    if bad:
        return Finding(
            "error",
            f"{bad} of {output.numel()} output values are NaN or infinite",
            "look for a division by zero, a square root of a negative, or an overflow of fp16",
        )
    return Finding("ok", "all output values are finite")


def _range(output: Tensor, value_range: float) -> Finding:
    low, high = float(output.min()) / value_range, float(output.max()) / value_range
    said = f"output spans {low:.2f} to {high:.2f} of the value range"
    if low < -0.5 or high > 1.5:
        return Finding("warn", said, "values outside are clipped: is value_range right, are the weights loaded?")
    return Finding("ok", said)


def _dtype(output: Tensor, _: float) -> Finding:
    if output.dtype != torch.float32:
        return Finding(
            "warn",
            f"returns {output.dtype} for a float32 input",
            "return the dtype of the input, so that the precision is the harness's choice",
        )
    return Finding("ok", "returns the dtype of its input")


def _gradient(output: Tensor, _: float) -> Finding:
    if output.requires_grad:
        return Finding(
            "warn",
            "the output tracks gradients although they are switched off",
            "remove torch.enable_grad() from forward: it costs time and memory",
        )
    return Finding("ok", "no gradients are tracked")


def _contiguous(output: Tensor, _: float) -> Finding:
    if not output.is_contiguous():
        return Finding("ok", "the output is not contiguous; the harness copies it, outside the timed window")
    return Finding("ok", "the output is contiguous")


_OUTPUT_CHECKS: tuple[Callable[[Tensor, float], Finding], ...] = (_finite, _dtype, _gradient, _contiguous)


def _repeats(network: nn.Module, frame: Tensor, output: Tensor) -> Finding:
    again = network(frame.clone())
    if not isinstance(again, Tensor) or again.shape != output.shape:
        return Finding("error", "a second call with the same input returns another shape", "do not count calls")
    difference = float((again - output).abs().nan_to_num().max())
    if difference:
        return Finding(
            "warn",
            f"two calls with the same input differ by up to {difference:.2g}",
            "remove dropout and random numbers from forward",
        )
    return Finding("ok", "two calls with the same input agree to the bit")


def _keeps_input(network: nn.Module, frame: Tensor) -> Finding:
    given = frame.clone()
    network(given)
    if not torch.equal(given, frame):
        return Finding("error", "forward changes its input in place", "replace x += y by x = x + y on the input")
    return Finding("ok", "leaves its input as it is")


def _sizes(needed: int, declared: int) -> Finding:
    if needed == declared:
        said = "takes odd sizes" if needed == 1 else f"takes sizes that are multiples of {needed}"
        return Finding("ok", said)
    return Finding(
        "warn",
        f"takes only multiples of {needed}; the manifest declares {declared}",
        f"set size_multiple = {needed}; the harness pads and crops meanwhile",
    )


_COLOURS: Mapping[Colour, str] = {"bgr": "its channels in the order BGR", "ycbcr": "images in YCbCr"}


def _accuracy(network: nn.Module, scale: int, value_range: float, multiple: int, colour: Colour | None) -> Finding:
    """Compare the PSNR with that of bicubic interpolation, for the declared and other value ranges and colour spaces.

    A wrong value range raises no error, but typically lowers the PSNR by about 4 dB.
    """
    bicubic, own = bicubic_psnr(scale), psnr_in_range(network, scale, value_range, multiple)
    said = f"{own:.2f} dB on a test photograph, bicubic {bicubic:.2f} dB"
    better = better_range(network, scale, value_range, multiple)
    if better is not None:
        reached = f"with value_range = {better} it reaches {psnr_in_range(network, scale, better, multiple):.2f} dB"
        return Finding("error", f"{said}; {reached}", f"set value_range = {better}")
    other = better_colour(network, scale, value_range, multiple) if colour is None else None
    if other is not None:
        reached = f"with {_COLOURS[other[0]]} it reaches {other[1]:.2f} dB"
        return Finding("warn", f"{said}; {reached}", f'set colour = "{other[0]}"')
    if own < bicubic - FAR_BELOW_DB:
        return Finding("warn", f"{said}: far below", "are the weights those of this scale, and RGB in RGB order?")
    return Finding("ok", said)
