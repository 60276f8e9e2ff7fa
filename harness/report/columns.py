"""The columns of a leaderboard, for the page and for every export: title, unit, value, digits, which way is better."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from harness.report.numbers import TIMES, digits_for, fixed
from harness.results.schema import Entry, ProtocolInfo, Published, Run

Value = Callable[[Entry], float | None]
PublishedValue = Callable[[Published], float | None]


MEASURES = (
    ("psnr_rgb", "PSNR RGB", "dB", 2),
    ("psnr_y", "PSNR Y", "dB", 2),
    ("ssim_rgb", "SSIM RGB", "", 4),
    ("ssim_y", "SSIM Y", "", 4),
)
"""Figures of quality: key, title, unit, digits."""


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a row.

    ``published`` gives the authors' own figure in the same unit, where a manifest carries one.
    """

    key: str
    title: str
    unit: str
    hint: str
    value: Value
    digits: int
    better: Literal["high", "low"] | None = None
    published: PublishedValue | None = None
    signed: bool = False

    def text(self, entry: Entry) -> str:
        """Return the figure as shown, or an empty string where there is none."""
        value = self.value(entry)
        return "" if value is None else fixed(value, self.digits, self.signed)

    def rounded(self, entry: Entry) -> float | None:
        """Return the figure to the digits that are shown, so that equal print means equal place."""
        value = self.value(entry)
        return None if value is None else round(value, self.digits)

    def published_text(self, entry: Entry) -> str:
        """Return the authors' figure as shown, or an empty string."""
        theirs = self._published_value(entry)
        return "" if theirs is None else fixed(theirs, 2)

    def difference_text(self, entry: Entry) -> str:
        """Return what was measured here minus the authors' figure: dB for a PSNR, else per cent; or an empty string."""
        theirs, ours = self._published_value(entry), self.value(entry)
        if theirs is None or ours is None:
            return ""
        if self.unit == "dB":
            return f"{fixed(ours - theirs, 2, signed=True)} dB"
        return f"{fixed(100 * (ours / theirs - 1), 1, signed=True)} %" if theirs else ""

    def _published_value(self, entry: Entry) -> float | None:
        return self.published(entry.published) if self.published and entry.published else None


def runtime_of(entry: Entry, protocol: ProtocolInfo) -> float | None:
    """Return the time of one forward pass in ms, by the statistic that the score uses."""
    if entry.runtime_ms is None:
        return None
    return entry.runtime_ms.mean if protocol.statistic == "mean" else entry.runtime_ms.median


def scaled(number: float | None, unit: float) -> float | None:
    """Return ``number`` in multiples of ``unit``."""
    return None if number is None else number / unit


def columns_of(run: Run) -> list[Column]:
    """Return the columns of a run, with as many digits as its figures deserve."""
    return [*_score(run), *_quality(), *_speed(run), *_size(run)]


def _digits(entries: Iterable[Entry], value: Value, most: int, significant: int = 3) -> int:
    return digits_for([value(entry) or 0.0 for entry in entries], significant, most)


def _score(run: Run) -> list[Column]:
    def score(entry: Entry) -> float | None:
        return entry.score

    digits = max(2, _digits(run.entries, score, 3, 4))
    hint = f"score = {run.track.score_formula}"
    return [Column("score", "Score", "", hint, score, digits, "high", lambda paper: paper.score)]


def _quality() -> list[Column]:
    def psnr(paper: Published) -> float | None:
        return paper.psnr_test if paper.psnr_test is not None else paper.psnr_val

    def delta(entry: Entry) -> float | None:
        return entry.delta_psnr_bicubic

    return [
        Column("psnr_rgb", "PSNR RGB", "dB", "Mean over images", lambda e: e.psnr_rgb, 2, "high", psnr),
        Column("psnr_y", "PSNR Y", "dB", "BT.601 studio-range luma", lambda e: e.psnr_y, 2, "high"),
        Column("ssim_rgb", "SSIM RGB", "", "Mean of the three channels", lambda e: e.ssim_rgb, 4, "high"),
        Column("ssim_y", "SSIM Y", "", "BT.601 studio-range luma", lambda e: e.ssim_y, 4, "high"),
        Column(
            "delta_psnr_bicubic",
            "Δ bicubic",
            "dB",
            "The PSNR that is scored, minus bicubic's",
            delta,
            2,
            "high",
            signed=True,
        ),
    ]


def convention_columns(run: Run) -> list[Column]:
    """Return the quality by further conventions, for exports: ``psnr_y_matlab`` and the like."""

    def figure(name: str, measure: str) -> Value:
        def value(entry: Entry) -> float | None:
            figures = entry.conventions.get(name)
            return None if figures is None else float(getattr(figures, measure))

        return value

    return [
        Column(
            f"{measure}_{name}", f"{title}, {name}", unit, sentence, figure(name, measure), digits=digits, better="high"
        )
        for name, sentence in run.run.further_conventions.items()
        for measure, title, unit, digits in MEASURES
    ]


def _speed(run: Run) -> list[Column]:
    def runtime(entry: Entry) -> float | None:
        return runtime_of(entry, run.protocol)

    def fps(entry: Entry) -> float | None:
        return entry.fps

    height, width = run.protocol.output_shape[2:]
    hint = f"One forward pass at {width}{TIMES}{height} output, {run.protocol.statistic}"
    timed, rate = _digits(run.entries, runtime, 2), _digits(run.entries, fps, 2, 4)
    return [
        Column("runtime_ms", "Runtime", "ms", hint, runtime, timed, "low", lambda paper: paper.runtime_ms),
        Column("fps", "Frames", "fps", "1000 / runtime", fps, min(rate, 2), "high"),
    ]


def _size(run: Run) -> list[Column]:
    def params(entry: Entry) -> float | None:
        return scaled(entry.params, 1e3)

    def macs(entry: Entry) -> float | None:
        return scaled(entry.macs, 1e9)

    digits = max(1, _digits(run.entries, macs, 2))
    shape = TIMES.join(str(size) for size in run.protocol.input_shape)
    return [
        Column(
            "params_k", "Params", "K", "Parameters of the form that was timed", params, 2, "low", lambda p: p.params_k
        ),
        Column(
            "macs_g", "MACs", "G", f"Multiply-accumulates at input {shape}", macs, digits, "low", lambda p: p.macs_g
        ),
    ]
