"""The command that converts a training form to its inference form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.application import command, out
from harness.cli.options import AnalysisLimit
from harness.errors import UsageError


@command
def reparam(
    path: Annotated[Path, typer.Argument(help="A submission's folder or zip.", show_default=False)],
    scale: Annotated[int, typer.Option(help="Upscaling factor.")] = 2,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the inference form. [default: none is written]")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write an ONNX model as well.")] = False,
    allow_border_error: Annotated[
        bool, typer.Option("--allow-border-error", help="Also accept a collapse that differs at the image border.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Time limit per step, seconds.")] = 300.0,
    analysis_limit: AnalysisLimit = 30.0,
) -> None:
    """Convert a training form to its inference form, verify that both agree, and write it as a submission."""
    from harness.run.collapse_one import CollapseRequest, check_new, collapse_submission, write_files

    if onnx and output is None:
        raise UsageError("--onnx needs a folder to write to", hint="add --output FOLDER")
    if output is not None:
        # Before the work, which takes minutes for large networks.
        check_new(output)
    request = CollapseRequest(
        path,
        scale,
        export=output is not None,
        onnx=onnx,
        allow_border_error=allow_border_error,
        timeout_s=timeout,
        analysis_limit_s=analysis_limit,
    )
    done = collapse_submission(request)
    record = done.reparam
    _line(f"{done.name} x{scale}: {record.method}")
    _line(f"  parameters {record.params_before:,} -> {record.params_after:,}")
    before, after = map(_macs, (record.macs_before, record.macs_after), done.macs_are_lower_bounds)
    _line(f"  MACs at the track's size {before} -> {after}")
    if record.max_abs_error is not None:
        _line(f"  largest difference on [0, 1], float32: {record.max_abs_error:.2g}")
    if done.speed is not None:
        _line(f"  {done.speed:.2f} times as fast as before")
    for note in record.notes:
        _line(f"  {note}")
    if output is not None:
        write_files(done.files, output)
        _line(f"wrote {output}")


def _macs(macs: int | None, lower_bound: bool) -> str:
    if macs is None:
        return "not counted"
    from harness.results.columns import LOWER_BOUND

    return f"{LOWER_BOUND if lower_bound else ''}{macs / 1e9:.4g} G"


def _line(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
