"""Measure, score and rank submissions from Python: ``harness.run``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from harness.api.stored_run import Run
from harness.engines import connected, get_engine
from harness.errors import UsageError
from harness.isolation.sandbox import Sandbox
from harness.pipeline import run as run_pipeline
from harness.results.record import Backend
from harness.results.schema import ReparamPolicy
from harness.run.options import option_names, request_from
from harness.run.progress import Listener
from harness.suggestions import choice
from harness.timing import Precision


class RunOptions(TypedDict, total=False):
    """Further options of :func:`run`, named and meant as those of ``harness run``.

    ``listeners`` are called with every progress event; ``memory_bytes`` limits what networks that are loaded together
    may use. Several of ``backend`` measure each network on each of them; see :attr:`Run.backends`.
    """

    only: Sequence[str]
    exclude: Sequence[str]
    baselines: bool
    device: str
    threads: int | None
    precision: Precision | None
    backend: Backend | Sequence[Backend]
    protocol: str | None
    time_budget: float | None
    processes: int | None
    timeout: float
    sandbox: Sandbox
    install: bool
    wheels: str | Path | None
    trust_pickle: bool
    recount: bool
    verify_graph: bool
    images: Literal["auto", "none", "crops", "full"]
    crop: Sequence[str]
    save_images: bool
    convention: Sequence[str]
    fresh: bool
    retry_failed: bool
    memory_bytes: int | None
    engine: str
    address: str | None
    time_on: str | None
    reparam: ReparamPolicy | None
    analysis_limit: float
    listeners: Sequence[Listener]


def run(
    paths: str | Path | Iterable[str | Path],
    scale: int | None = None,
    *,
    track: str | None = None,
    dataset: str | Path | Sequence[str | Path] = "embedded",
    out: str | Path | None = None,
    **options: Unpack[RunOptions],
) -> Run:
    """Measure, score and rank submissions, write the leaderboard, and return the run.

    What is stored in the folder of the run is reused, as by ``harness run``. Submissions are executed in processes of
    their own. Ctrl-C ends the run early; :attr:`Run.complete` is False then, and the same call goes on from there.

    Parameters
    ----------
    paths
        Folders of submissions, single submissions or challenge zips; one or several.
    scale
        Upscaling factor; selects the track. 2 by default.
    track
        Challenge whose rules apply, such as ``ntire23-x2``.
    dataset
        Name of a data set, or a folder of images; or several.
    out
        Folder of the run; by default ``reports/TRACK-DATASET``.
    **options
        See :class:`RunOptions`, and the options of ``harness run``.

    Raises
    ------
    UsageError, DataError
        The run cannot begin.
    ResultsError
        The folder of the run cannot be written.

    Examples
    --------
    >>> run = harness.run("submissions", scale=2, time_budget=2)  # doctest: +SKIP
    >>> run.to_frame()[["name", "score", "psnr_rgb"]]  # doctest: +SKIP
    """
    # Python does not check the keys of a TypedDict when the program runs.
    known = [*(name for name in option_names() if name != "submissions"), "engine", "address", "listeners"]
    unknown = sorted(set(options) - set(known))
    # A field of the request, and here the first argument: both would be two answers to one question.
    if "submissions" in unknown:
        raise UsageError("run has no option 'submissions'", hint="submissions are the first argument, `paths`")
    if unknown:
        raise UsageError(f"run has no option {unknown[0]!r}", hint=choice(unknown[0], known))
    own = {"submissions": paths, "scale": scale, "track": track, "dataset": dataset, "out": out}
    # Options of the engine and listeners are no fields of a request and are left out there.
    request = request_from({**options, **own, "command": "harness.run"})
    with connected(get_engine(options.get("engine", "local"), options.get("address"))) as engine:
        finished = run_pipeline(request, options.get("listeners", ()), engine)
    return Run(finished.folder, finished.run)
