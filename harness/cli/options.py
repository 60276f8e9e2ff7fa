"""Options shared by the commands that measure: names, types and help texts."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from harness.suggestions import choice


class PrecisionOption(enum.StrEnum):
    """Precision of the networks."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


class ImagesOption(enum.StrEnum):
    """Which images a run stores."""

    auto = "auto"
    none = "none"
    crops = "crops"
    full = "full"


class ReparamOption(enum.StrEnum):
    """Which form of a network is measured."""

    author = "author"
    auto = "auto"
    none = "none"


class SandboxOption(enum.StrEnum):
    """How a worker process is isolated."""

    auto = "auto"
    bwrap = "bwrap"
    process = "process"
    none = "none"


Option = TypeVar("Option", bound=enum.StrEnum)


def nearest(option: type[Option]) -> Callable[[str], Option]:
    """Return a parser of the names of an option, which answers an unknown one with the nearest."""

    def parse(text: str) -> Option:
        try:
            return option(text)
        except ValueError:
            raise typer.BadParameter(_unknown(text, [one.value for one in option])) from None

    return parse


def backend_names(texts: list[str] | None) -> list[str] | None:
    """Return names of backends that have commas between them, each once; answer an unknown one with the nearest."""
    # None keeps the default, which the command states.
    if not texts:
        return None
    from harness.backends import BACKENDS  # reads the metadata of all packages

    names = list(dict.fromkeys(name.strip() for text in texts for name in text.split(",")))
    known = BACKENDS.names()
    for name in names:
        if name not in known:
            raise typer.BadParameter(_unknown(name, known))
    return names


def _unknown(name: str, known: Sequence[str]) -> str:
    hint = choice(name, known)
    return f"{name!r} is unknown. {hint[0].upper()}{hint[1:]}."


Submissions = Annotated[
    list[Path],
    typer.Argument(help="Folders of submissions, single submissions or challenge zips.", show_default=False),
]
Scale = Annotated[
    int | None, typer.Option(help="Upscaling factor; selects the track. [default: 2, or that of the submissions]")
]
TrackName = Annotated[str | None, typer.Option(help="Challenge whose rules apply, such as ntire23-x2.")]
DatasetNames = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        help="Name of a data set, or a folder of HR images or HR/ + LR/ pairs, also as ROLE=NAME; repeatable. "
        "[default: embedded]",
    ),
]
OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder of the run. [default: reports/TRACK-DATASET]")]
Only = Annotated[list[str] | None, typer.Option(help="Only submissions whose name matches this glob; repeatable.")]
Exclude = Annotated[list[str] | None, typer.Option(help="Exclude submissions that match this glob; repeatable.")]
WithBaselines = Annotated[bool, typer.Option(help="Include bicubic and the other interpolations.")]
Device = Annotated[str, typer.Option(help="auto, cpu, or a torch device such as cuda:0.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of a network. [default: one per core]")]
PrecisionChoice = Annotated[
    PrecisionOption | None,
    typer.Option(
        parser=nearest(PrecisionOption),
        metavar="fp32|fp16|bf16",
        help="For speed and quality alike. [default: the protocol's]",
    ),
]
BackendChoices = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        callback=backend_names,
        metavar="NAME,...",
        help="How networks are executed: eager, channels_last, compile, cuda-graph, onnxruntime, tensorrt, or one "
        "of a package (harness plugins); several, with commas, to see which each network should use. [default: eager]",
    ),
]
ProtocolName = Annotated[
    str | None, typer.Option(help="Timing protocol: robust, ntire23, ntire23-cpu, esr. [default: robust]")
]
TimeBudget = Annotated[float | None, typer.Option(help="Seconds of timing per model. [default: the protocol's]")]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of processes in which each model is timed. [default: up to 3; fewer where no more are needed]",
    ),
]
Timeout = Annotated[float, typer.Option(help="Time limit per stage of a submission, seconds.")]
SandboxChoice = Annotated[
    SandboxOption,
    typer.Option(
        parser=nearest(SandboxOption), metavar="auto|bwrap|process|none", help="How submissions are isolated."
    ),
]
Install = Annotated[
    bool, typer.Option("--install", help="Install required packages, one environment per set of requirements.")
]
Wheels = Annotated[
    Path | None, typer.Option(help="Folder of wheels to install from, instead of the index. [default: none]")
]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Execute code in checkpoints; only in the bubblewrap sandbox.")
]
Recount = Annotated[
    bool,
    typer.Option("--recount", help="Count parameters and operations again, in a process without submitted code."),
]
Profile = Annotated[bool, typer.Option("--profile", help="Print the seconds that each stage of each submission took.")]
VerifyGraph = Annotated[
    bool,
    typer.Option("--verify-graph", help="Time each network's exported graph too, in a process without submitted code."),
]
ReparamChoice = Annotated[
    ReparamOption | None,
    typer.Option(
        "--reparam",
        help="Form of the networks: the author's, collapsed by the harness where that is a gain, or as submitted. "
        "[default: the track's]",
    ),
]
AnalysisLimit = Annotated[
    float,
    typer.Option(min=0.001, help="Time limit of the search for an inference form, and of a count, seconds."),
]
EngineName = Annotated[
    str,
    typer.Option(help="Where workers run: local (this machine), ray (a cluster), or an installed package's engine."),
]
Address = Annotated[
    str | None, typer.Option(help="Cluster of --engine ray: auto (default), HOST:PORT, ray://HOST:PORT.")
]
TimeOn = Annotated[
    str | None,
    typer.Option(help="Model of the devices that time networks, if there are several; the others measure quality."),
]
ImagesChoice = Annotated[
    ImagesOption,
    typer.Option(
        parser=nearest(ImagesOption),
        metavar="auto|none|crops|full",
        help="Store crops, or all images in full. auto: crops of the embedded data set only.",
    ),
]
Crops = Annotated[list[str] | None, typer.Option(help="Crop to store, IMAGE:X,Y,SIZE in HR pixels; repeatable.")]
SaveImages = Annotated[
    bool, typer.Option("--save-images", help="Store all upscaled images as images/NAME/*.png in the run's folder.")
]
Conventions = Annotated[
    list[str] | None,
    typer.Option(help="Additional convention for quality, such as matlab or lrsrn; repeatable."),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure everything again.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Measure failed submissions again.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output; see harness schema.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if any submission failed.")]
