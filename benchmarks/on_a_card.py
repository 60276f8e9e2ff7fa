"""Take all measurements that need a graphics card, in order of value, within a given time.

Run ``python -m benchmarks.on_a_card --minutes 12 --out results`` on a machine with a card. Each step is a command of
its own with its own time limit. What it prints goes to ``OUT/STEP.txt`` as it is printed, the files that it writes to
``OUT/STEP.tar.gz`` when it ends, and how it ended to ``OUT/summary.json``: a script that is cut off loses the step at
work only. Steps that end early leave their time to the later ones.

Without a card, the steps that need one are named and left out, and the others are done on the CPU. ``--rehearse`` takes
the same commands through on the CPU with the smallest settings, so that no minute on a card is spent on a mistake in
them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIVE = ("LRSRN", "SESR", "RT4KSR", "IMDN", "SCSRN")
BACKENDS = ("eager", "channels_last", "compile", "cuda-graph")
PRECISIONS = ("fp32", "bf16")
"""The run of all networks is in fp16."""
GPU_TESTS = (
    "tests/worker/test_event_clock.py",
    "tests/worker/test_hygiene.py",
    "tests/quality/test_tensors.py",
    "tests/backends/test_backends.py",
    "tests/timing/test_cheats_on_accelerator.py",
)
"""Files with tests that are marked ``gpu``, the longest last. To collect all files takes half a minute."""
ARCH = """
from torch import nn


def srmodel(scale=2):
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
"""
_PATIENCE_S = 10.0
LEAST_S = 5.0
"""A step is not begun with less time left."""

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement.

    Attributes
    ----------
    name
        Name of its files.
    commands
        Arguments of the interpreter, one command after another. ``{out}`` stands for the folder of the step's files.
    limit_s
        Seconds after which it is ended.
    needs_card
        Whether it means nothing on a CPU.
    """

    name: str
    commands: tuple[Command, ...]
    limit_s: float
    needs_card: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended: ``done``, ``failed``, ``cut off`` at its limit, ``left out`` without card or time."""

    step: str
    status: str
    seconds: float
    exit_codes: tuple[int, ...] = ()


def steps(minutes: float) -> list[Step]:
    """Return the steps on a card, most valuable first; their limits sum up to `minutes` for 12 minutes or less."""
    scale = min(1.0, minutes / 12)
    run = ("-m", "harness", "run", "submissions", "--precision", "fp16", "--protocol", "robust", "--processes", "3")
    of_five = tuple(word for name in FIVE for word in ("--only", name))
    quick = ("-m", "harness", "run", "submissions", "--scale", "2", *of_five, "--no-baselines", "--time-budget", "1")
    by_backend = tuple(
        (*quick, "--precision", "fp16", "--backend", backend, "--out", f"{{out}}/{backend}") for backend in BACKENDS
    )
    by_precision = tuple((*quick, "--precision", one, "--out", f"{{out}}/{one}") for one in PRECISIONS)
    comparisons = (
        "-m", "benchmarks.timing_aa", "--device", "cuda", "--comparisons", "8", "--budget", "1", "--processes", "4",
        "--more", "5", "2", "--no-load", "--keep", "{out}",
    )  # fmt: skip
    overhead = ("-m", "benchmarks.overhead", "--models", "3", "--seconds", "1", "--images", "100", "--unchanged", "0")
    planned = [
        Step("tests", (("-m", "pytest", "-m", "gpu", "-q", "-n", "0", "-p", "no:cacheprovider", *GPU_TESTS),), 150),
        Step("x2", ((*run, "--scale", "2", "--out", "{out}/x2"),), 140),
        Step("x3", ((*run, "--scale", "3", "--out", "{out}/x3"),), 110),
        Step("comparisons", (comparisons,), 110),
        Step("backends", by_backend, 120),
        Step("precisions", by_precision, 50, needs_card=False),
        Step("overhead", (overhead,), 40, needs_card=False),
    ]
    return [Step(one.name, one.commands, one.limit_s * scale, one.needs_card) for one in planned]


def rehearsal(folder: Path) -> list[Step]:
    """Return the same steps with the smallest settings, on the CPU, and the first command of each.

    Parameters
    ----------
    folder
        Where the network and the image of the rehearsal are written.
    """
    _write_example(folder)
    tiny = (
        "--device", "cpu", "--precision", "fp32", "--time-budget", "0.01", "--processes", "1", "--only", "tiny",
        "--protocol", "ntire23-cpu", "--dataset", str(folder / "images"), "--no-baselines", "--sandbox", "process",
    )  # fmt: skip

    def smallest(command: Command) -> Command:
        kept = _without(command, tiny)
        return (*(str(folder / "networks") if word == "submissions" else word for word in kept), *tiny)

    changes = {"tests": _collected, "comparisons": _one_comparison, "overhead": _two_images}
    return [
        Step(step.name, (changes.get(step.name, smallest)(step.commands[0]),), 300, needs_card=False)
        for step in steps(12)
    ]


def _collected(command: Command) -> Command:
    return (*command, "--collect-only")


def _one_comparison(command: Command) -> Command:
    settings = {"--device": "cpu", "--comparisons": "1", "--budget": "0.05", "--processes": "2"}
    return tuple(settings.get(before, word) for before, word in zip(("", *command), command, strict=False))


def _two_images(command: Command) -> Command:
    settings = {"--models": "1", "--images": "1", "--seconds": "0.01"}
    changed = (settings.get(before, word) for before, word in zip(("", *command), command, strict=False))
    return (*changed, "--tiny", "--device", "cpu")


def _without(command: Command, options: Sequence[str]) -> Command:
    """Return a command without options that are going to be given again, and without their values."""
    given = {option for option in options if option.startswith("--")}
    pairs = zip(("", *command), command, strict=False)
    dropped = [word in given or (before in given and not word.startswith("--")) for before, word in pairs]
    return tuple(word for word, drop in zip(command, dropped, strict=True) if not drop)


def carry_out(planned: Sequence[Step], out: Path, seconds: float, *, card: bool) -> list[Ended]:
    """Carry out steps in order until the time is up, and write what each yields as soon as it ends."""
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    ended: list[Ended] = []
    for step in planned:
        left_s = deadline - time.monotonic()
        if (step.needs_card and not card) or left_s < LEAST_S:
            reason = "needs a card" if step.needs_card and not card else "no time is left"
            print(f"{step.name}: left out, {reason}", flush=True)
            ended.append(Ended(step.name, "left out", 0.0))
        else:
            ended.append(_one(step, out, min(step.limit_s, left_s)))
            print(f"{step.name}: {ended[-1].status} after {ended[-1].seconds:.0f} s", flush=True)
        (out / "summary.json").write_text(json.dumps([asdict(one) for one in ended], indent=2) + "\n")
    return ended


def _one(step: Step, out: Path, limit_s: float) -> Ended:
    begin, codes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, (out / f"{step.name}.txt").open("w") as log:
        for command in step.commands:
            left_s = begin + limit_s - time.monotonic()
            filled = [word.replace("{out}", folder) for word in command]
            codes.append(_execute(filled, log.fileno(), max(left_s, 0.0)))
        with tarfile.open(out / f"{step.name}.tar.gz", "w:gz") as archive:
            archive.add(folder, arcname=step.name)
    spent_s = time.monotonic() - begin
    status = "cut off" if None in codes else "failed" if any(codes) else "done"
    return Ended(step.name, status, round(spent_s, 1), tuple(-1 if code is None else code for code in codes))


def _execute(command: list[str], log: int, limit_s: float) -> int | None:
    """Return the exit code of a command, or None if it was ended at its limit, with all that it had started."""
    if limit_s < LEAST_S:
        return None
    os.write(log, f"$ python {' '.join(command)}\n".encode())
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a command save what it has measured, then end it with all that it had started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_card() -> bool:
    """Return whether torch sees an accelerator."""
    import torch

    return torch.cuda.is_available()


def _write_example(folder: Path) -> None:
    """Write a network of one layer and an image."""
    import numpy as np
    from PIL import Image

    network, images = folder / "networks" / "tiny", folder / "images"
    network.mkdir(parents=True)
    (network / "arch.py").write_text(ARCH)
    (network / "submission.toml").write_text('[submission]\nname = "tiny"\nscales = [2, 3]\n')
    images.mkdir()
    rows, columns = np.mgrid[0:96, 0:144]
    wave = np.stack([np.sin(rows / (3 + c)) + np.cos(columns / (4 + c)) for c in range(3)], axis=-1)
    Image.fromarray(np.uint8(127 + 60 * wave)).save(images / "only.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out all steps and return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="time for all steps together (default: 12)")
    parser.add_argument("--out", type=Path, required=True, help="folder for what the steps print and write")
    names = ", ".join(step.name for step in steps(12))
    parser.add_argument("--only", nargs="+", metavar="STEP", help=f"steps to take, of {names}")
    parser.add_argument("--rehearse", action="store_true", help="the smallest settings, on the CPU")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        planned = rehearsal(Path(folder)) if options.rehearse else steps(options.minutes)
        unknown = set(options.only or ()) - {step.name for step in planned}
        if unknown:
            parser.error(f"no step {', '.join(sorted(unknown))}; there are {names}")
        chosen = [step for step in planned if not options.only or step.name in options.only]
        ended = carry_out(chosen, options.out, 60 * options.minutes, card=not options.rehearse and has_card())
    return int(any(one.status in {"failed", "cut off"} for one in ended))


if __name__ == "__main__":
    sys.exit(main())
