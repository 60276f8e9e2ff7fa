"""Check a network against the submission contract on small inputs, for ``harness check`` and for loading."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.complexity.input_size import odd_multiple, smallest_multiple
from harness.errors import ContractError
from harness.submissions.finding import Finding
from harness.worker.importing import describe

_MEND_FORWARD = "it must take one float32 RGB image on the CPU, without gradients"

_LEAST_SIDE = 41  # of the images that are tried
_SIDE = 96
_WRONG_RANGE_DB = 1.0


def find_size_multiple(network: nn.Module, scale: int, value_range: float = 1.0) -> int:
    """Return the smallest multiple, of those that are tried, such that the network accepts sides of that multiple.

    Raises
    ------
    ContractError
        No size works. The message states the reason at the largest multiple, such as a wrong scale or dtype.
    """
    faults: list[Finding] = []

    def accepts(multiple: int) -> bool:
        height = odd_multiple(_LEAST_SIDE, multiple)
        frame = (
            torch.rand(1, 3, height, height + 2 * multiple, generator=torch.Generator().manual_seed(0)) * value_range
        )
        fault = _fault_at(network, frame.to(_device(network)), scale)
        faults.extend([fault] if fault else [])
        return fault is None

    found = smallest_multiple(accepts)
    if found is None:
        last = faults[-1]
        raise ContractError(f"{last.what}; no other input size that was tried works either", hint=last.hint)
    return found


def _fault_at(network: nn.Module, frame: Tensor, scale: int) -> Finding | None:
    try:
        with torch.no_grad():  # not inference_mode: tensors that the network caches could not be used in later calls
            output = network(frame)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- what a submitted forward raises is the finding
        shape = "x".join(map(str, frame.shape))
        return Finding("error", f"the forward pass raised {describe(error)} for an input of {shape}", _MEND_FORWARD)
    return output_fault(output, frame, scale)


def scale_of(network: nn.Module) -> int | None:
    """Return the integer factor by which the network upscales a 192x192 image, or None if there is none."""
    side = 192  # a multiple of every element of MULTIPLES
    try:
        with torch.no_grad():
            output = network(torch.zeros(1, 3, side, side, device=_device(network)))
    except (Exception, SystemExit):  # noqa: BLE001 -- the contract's own checks report why
        return None
    if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[2] != output.shape[3]:
        return None
    factor, rest = divmod(output.shape[2], side)
    return factor if factor and not rest else None


def _device(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def output_fault(output: Any, frame: Tensor, scale: int) -> Finding | None:
    """Return the error in type, shape or dtype of ``output`` for the input ``frame`` (1x3xHxW), or None."""
    if not isinstance(output, Tensor):
        return Finding("error", f"returns a {type(output).__name__}, not a tensor", "return the upscaled image alone")
    wanted = (1, 3, frame.shape[2] * scale, frame.shape[3] * scale)
    if tuple(output.shape) != wanted:
        return _shape_fault(tuple(output.shape), wanted, frame, scale)
    if not output.is_floating_point():
        return Finding("error", f"returns {output.dtype}", "return floating point; the harness rounds to 8 bit itself")
    if output.device != frame.device:
        return Finding("error", f"returns a tensor on {output.device}", "keep the computation on the input's device")
    return None


def _shape_fault(shape: tuple[int, ...], wanted: tuple[int, ...], frame: Tensor, scale: int) -> Finding:
    seen = "x".join(map(str, shape))
    said = f"returns {seen} for an input of {'x'.join(map(str, frame.shape))}, expected {'x'.join(map(str, wanted))}"
    if len(shape) == 4 and shape[1] != 3:
        return Finding("error", said, f"return 3 channels (RGB), not {shape[1]}")
    ratio = shape[2] / frame.shape[2] if len(shape) == 4 else 0
    if len(shape) == 4 and ratio != scale and ratio == shape[3] / frame.shape[3]:
        return Finding("error", said, f"it upscales by {ratio:g}, not by {scale}: declare that scale in the manifest")
    return Finding("error", said, "return one image, upscaled by the scale exactly, without border")


def check_network(
    network: nn.Module, scale: int, value_range: float = 1.0, size_multiple: int = 1, *, trained: bool = True
) -> list[Finding]:
    """Check a loaded network against the contract on small inputs.

    Parameters
    ----------
    network
        Network in eval mode, float32, on the CPU.
    scale, value_range, size_multiple
        Declarations of the manifest.
    trained
        Whether the network has weights, so that its output can be compared with bicubic interpolation.

    Returns
    -------
    list of Finding
        One finding per check. If the forward pass fails, only that error.
    """
    with torch.no_grad():
        lr, hr = _photograph(scale)
        frame = lr * value_range
        fault = _fault_at(network, frame.clone(), scale)
        if fault:
            return [fault]
        output = network(frame.clone())
        findings = [
            Finding("ok", f"upscales by {scale}: 1x3x{lr.shape[2]}x{lr.shape[3]} to {'x'.join(map(str, output.shape))}")
        ]
        findings += [check(output, value_range) for check in _OUTPUT_CHECKS]
        if trained:
            findings.append(_range(output, value_range))
            findings.append(_accuracy(network, lr, hr, scale, value_range))
        findings.append(_repeats(network, frame, output))
        findings.append(_keeps_input(network, frame))
        findings.append(_sizes(network, scale, value_range, size_multiple))
    return findings


@functools.cache
def _photograph(scale: int) -> tuple[Tensor, Tensor]:
    """Return a photograph at low and high resolution, 1x3xHxW in [0, 1].

    A natural image is used, because the output of trained networks for noise says nothing about their accuracy.
    """
    import skimage.data

    photograph: np.ndarray[Any, Any] = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    side = _SIDE * scale
    image = torch.from_numpy(np.ascontiguousarray(photograph[:, 60:])).permute(2, 0, 1)[None] / 255
    hr = image[..., :side, :side]
    if hr.shape[2] < side or hr.shape[3] < side:
        hr = functional.interpolate(image, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
    lr = functional.interpolate(hr, size=(_SIDE, _SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    return lr.mul(255).round().div(255), hr


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


def _sizes(network: nn.Module, scale: int, value_range: float, declared: int) -> Finding:
    try:
        needed = find_size_multiple(network, scale, value_range)
    except ContractError as error:
        return Finding("error", error.what, "make the network convolutional, so that it takes any size")
    if needed == declared:
        return Finding(
            "ok", "takes odd sizes" if needed == 1 else f"takes sizes that are multiples of {needed}, as declared"
        )
    if declared % needed == 0:
        return Finding("ok", f"takes multiples of {needed}; declares {declared}")
    return Finding(
        "warn",
        f"takes only multiples of {needed}; the manifest declares {declared}",
        f"set size_multiple = {needed}; the harness pads and crops meanwhile",
    )


def _accuracy(network: nn.Module, lr: Tensor, hr: Tensor, scale: int, value_range: float) -> Finding:
    """Compare the PSNR with that of bicubic interpolation, for the declared and the other value range.

    A wrong value range raises no error, but typically lowers the PSNR by about 4 dB.
    """
    bicubic = _psnr(functional.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False), hr)
    measured = {value: _psnr_in_range(network, lr, hr, value) for value in (1.0, 255.0)}
    own, better = measured[value_range], 256.0 - value_range
    said = f"{own:.2f} dB on a test photograph, bicubic {bicubic:.2f} dB"
    if measured[better] > own + _WRONG_RANGE_DB and measured[better] > bicubic - 3:
        reached = f"with value_range = {better} it reaches {measured[better]:.2f} dB"
        return Finding("error", f"{said}; {reached}", f"set value_range = {better}")
    if own < bicubic - 3:
        return Finding("warn", f"{said}: far below", "are the weights those of this scale, and RGB in RGB order?")
    return Finding("ok", said)


def _psnr_in_range(network: nn.Module, lr: Tensor, hr: Tensor, value_range: float) -> float:
    try:
        output = network(lr * value_range) / value_range
    except Exception:  # noqa: BLE001 -- an error in the undeclared range is no evidence against the declared one
        return 0.0
    return _psnr(output, hr)


def _psnr(output: Tensor, hr: Tensor) -> float:
    error = float((output.double().clamp(0, 1).nan_to_num() - hr.double()).square().mean())
    return 99.0 if error == 0 else -10 * float(np.log10(error))
