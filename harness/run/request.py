"""What the user asks of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.isolation.requests import ANALYSIS_LIMIT_S
from harness.isolation.sandbox import Sandbox
from harness.results.crops import Choice
from harness.results.record import Backend
from harness.results.schema import ReparamPolicy
from harness.timing import Precision


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the user asked for; see the options of ``harness run``.

    ``memory_bytes`` limits what networks that are loaded together may use; None for the memory that is free.
    ``reparam`` says which form of a network is measured; None for the track's default.
    ``further_backends`` are measured too, each in rows of its own that are not ranked.
    ``time_on`` names the model of the devices that time networks, where an engine has devices of several.
    """

    submissions: tuple[Path, ...]
    scale: int | None = None
    track: str | None = None
    dataset: str = "embedded"
    further_datasets: tuple[str, ...] = ()
    out: Path | None = None
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    with_baselines: bool = True
    device: str = "auto"
    time_on: str | None = None
    threads: int | None = None
    precision: Precision | None = None
    backend: Backend = "eager"
    further_backends: tuple[Backend, ...] = ()
    protocol: str | None = None
    time_budget_s: float | None = None
    processes: int | None = None
    timeout_s: float = 600.0
    sandbox: Sandbox = "auto"
    install: bool = False
    wheels: Path | None = None
    trust_pickle: bool = False
    fresh: bool = False
    retry_failed: bool = False
    images: Literal["auto", "none", "crops", "full"] = "auto"
    crops: tuple[Choice, ...] = ()
    save_images: bool = False
    conventions: tuple[str, ...] = ()
    memory_bytes: int | None = None
    recount: bool = False
    verify_graph: bool = False
    reparam: ReparamPolicy | None = None
    analysis_limit_s: float = ANALYSIS_LIMIT_S
    command: str = ""
