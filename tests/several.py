"""Engines with several places, all of them the processor of this machine."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

from harness.engines.inline import InlineEngine
from harness.engines.local import LocalEngine
from harness.engines.this_machine import LocalPlace, local_places
from harness.pipeline import FinishedRun
from harness.results import Entry, read_run


def rows_of(finished: FinishedRun) -> list[Entry]:
    """Return the rows of all tables of a run: on a busy machine, anchors of two places need not agree."""
    tables = [finished.run, *map(read_run, sorted(finished.folder.glob("tables/*")))]
    return sorted((entry for table in tables for entry in table.entries), key=lambda entry: entry.slug)


def images_of(finished: FinishedRun) -> list[str]:
    """Return what all tables of a run say of each image."""
    files = [finished.folder / "per_image.csv", *finished.folder.glob("tables/*/per_image.csv")]
    return sorted({line for file in files for line in file.read_text().splitlines()})


def figures(finished: FinishedRun) -> dict[str, tuple[object, ...]]:
    """Return what must not depend on where a network ran."""
    return {
        entry.name: (
            *(entry.status, entry.params, entry.macs, entry.activations, entry.psnr_rgb, entry.psnr_y, entry.ssim_rgb),
            *(entry.ssim_y, entry.reparam, entry.error and (entry.error.stage, entry.error.type)),
        )
        for entry in rows_of(finished)
    }


def places(names: Sequence[str], models: Sequence[str], threads: int | None) -> list[LocalPlace]:
    """Return this machine's processor under several names, as devices of these models."""
    (place,) = local_places("cpu", threads)
    return [
        replace(place, machine=name, device=place.device.model_copy(update={"name": model}))
        for name, model in zip(names, models, strict=True)
    ]


class Several(InlineEngine):
    """Runs everything in this process, in a thread for each place."""

    def __init__(self, names: Sequence[str] = ("one", "two"), models: Sequence[str] = ("card", "card")) -> None:
        self.names, self.models = names, models

    def devices(self, wanted: str, threads: int | None) -> list[LocalPlace]:
        return places(self.names, self.models, threads)


class Unshared(Several):
    """Sends everything to its places and back as bytes, as if they saw no file of the controller."""

    shares_files = False

    def executor(self, machine: str, places: int) -> Executor:
        return _Sending(places + 2)


class _Sending(ThreadPoolExecutor):
    def submit(self, function, /, *arguments, **options):  # type: ignore[no-untyped-def]
        sent = pickle.dumps((function, arguments, options))
        return super().submit(_call, sent)


def _call(sent: bytes) -> object:
    function, arguments, options = pickle.loads(sent)
    return pickle.loads(pickle.dumps(function(*arguments, **options)))


class SeveralWorkers(LocalEngine):
    """Starts workers of this machine for two places."""

    def devices(self, wanted: str, threads: int | None) -> list[LocalPlace]:
        return places(("", ""), ("card", "card"), threads)
