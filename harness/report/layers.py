"""The layers of one model, as the rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.numbers import TIMES, fixed
from harness.results.measurement import Layer

# A longer table is collapsed until it is opened.
MOST_OPEN = 16


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer as text; ``share`` is its part of all multiply-accumulates, per cent."""

    name: str
    type: str
    kernel: str
    settings: str
    channels: str
    output: str
    params: str
    macs: str
    share: float


@dataclass(frozen=True, slots=True)
class LayerTable:
    """All layers of one model with their sums."""

    rows: list[LayerRow]
    params: str
    macs: str

    @property
    def open(self) -> bool:
        """Whether the table is short enough to be shown open."""
        return len(self.rows) <= MOST_OPEN


def layer_table(layers: Sequence[Layer]) -> LayerTable | None:
    """Return the table; None where no layers were recorded."""
    if not layers:
        return None
    total = sum(layer.macs for layer in layers)
    return LayerTable(
        rows=[_row(layer, total) for layer in layers],
        params=fixed(sum(layer.params for layer in layers), 0),
        macs=fixed(total / 1e9, 4),
    )


def _row(layer: Layer, total: int) -> LayerRow:
    return LayerRow(
        name=layer.name or "(the network itself)",
        type=layer.type,
        kernel=TIMES.join(map(str, layer.kernel)),
        settings=", ".join(filter(None, (layer.settings, _calls(layer.calls)))),
        channels="" if layer.in_channels is None else f"{layer.in_channels} → {layer.out_channels}",
        # Without the batch, which is always 1.
        output=TIMES.join(map(str, layer.output_shape[1:])),
        params=fixed(layer.params, 0) if layer.params else "",
        macs=fixed(layer.macs / 1e9, 4) if layer.macs else "",
        share=100 * layer.macs / total if total else 0.0,
    )


def _calls(calls: int) -> str:
    return {0: "not called by itself", 1: ""}.get(calls, f"called {calls} times")
