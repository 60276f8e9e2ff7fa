"""Engines with several places, all of them the processor of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.engines.inline import InlineEngine
from harness.engines.local import LocalEngine
from harness.engines.this_machine import LocalPlace, local_places


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


class SeveralWorkers(LocalEngine):
    """Starts workers of this machine for two places."""

    def devices(self, wanted: str, threads: int | None) -> list[LocalPlace]:
        return places(("", ""), ("card", "card"), threads)
