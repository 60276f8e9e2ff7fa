"""Define a track: the conditions under which a challenge measures a network, its gates, its score and its ranking."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from harness.errors import UsageError
from harness.results.schema import ReparamPolicy
from harness.statistics.score_difference import LARGEST_LOG
from harness.text import beside
from harness.tracks.expression import Expression
from harness.tracks.figures import Figures, Floats, advice, figure_of
from harness.tracks.published import PublishedTable

Formula = Expression | Callable[..., float]

FPS_BANDS = (24.0, 30.0, 60.0, 120.0)
"""Limits of the colour bands in the tables of the NTIRE 2023 report, in frames per second."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition for a network to be ranked.

    Attributes
    ----------
    figure
        Name of the figure.
    least
        Smallest value that passes.
    decimals
        The value is rounded to this number of decimals before it is compared, as in a printed table.
    """

    figure: str
    least: float
    decimals: int | None = None

    def passes(self, value: float) -> bool:
        """Return whether a value of the figure reaches the gate."""
        return self._compared(value) >= self.least

    def shown(self, value: float) -> str:
        """Return a value of the figure with as many digits as tell it from the condition."""
        return beside(self._compared(value), self.least, 4, "g")

    def _compared(self, value: float) -> float:
        # With two decimals, 26.896 passes a gate of 26.90.
        return value if self.decimals is None else round(value, self.decimals)

    @property
    def text(self) -> str:
        """The condition in one line."""
        rounded = "" if self.decimals is None else f" (rounded to {self.decimals} decimals)"
        return f"{self.figure} >= {self.least:.12g}{rounded}"


@dataclass(frozen=True, slots=True)
class TrackDataset:
    """A data set that a track measures on.

    Attributes
    ----------
    role
        Suffix of its figures in formulas, such as ``test`` in ``psnr_test``.
    title
        What the challenge calls it.
    degradation
        How its LR images are made; that of the track by default.
    """

    role: str
    title: str
    degradation: str | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """Rules of one challenge at one scale.

    Attributes
    ----------
    name
        Identifier on the command line, for example ``ntire23-x2``.
    title
        Title for display.
    scale
        Upscaling factor.
    degradation
        Name of the degradation that produces LR from HR images, for `harness.data.get_degradation`.
    input_shape
        N, C, H, W of the frame that is timed, and by which operations are counted.
    score_formula
        Formula as text, for display.
    formula
        An `Expression` of named figures, which a run stores as text; or another function, whose parameters are names
        of figures and of which a run stores a table.
    official_bicubic
        PSNR in dB of the reference interpolation according to the challenge, by name of the registered data set.
    metric
        Quality metric that enters the score.
    convention
        Name of the convention by which the metric is computed.
    fps_bands
        Limits of the colour bands of a report, in frames per second.
    higher_is_better
        Direction of the score.
    source
        Source of the formula, or a statement that it was fitted to published rows.
    protocol
        Timing protocol that the challenge prescribes; None for the default one.
    datasets
        The data sets that the challenge measures on, if there are several. Figures without a role are means over them.
    gates
        Conditions for a rank. Rows that miss one are scored and not ranked.
    parts
        Partial scores that are shown beside the score, by name.
    rank_sums
        Further rankings by the sum of ranks over several figures, all lower-is-better, by name.
    logarithmic
        Whether scores may exceed the range of float64, so that they are compared by their logarithms.
    baseline
        Figures of the challenge's reference network, by name.
    published
        The challenge's own table, if it is known.
    remarks
        Known misprints, and what of the rules the harness cannot follow.
    reparam
        Which form of a network is measured by default, see :attr:`reparam_policy`.
    """

    name: str
    title: str
    scale: int
    degradation: str
    input_shape: tuple[int, int, int, int]
    score_formula: str
    formula: Formula
    official_bicubic: Mapping[str, float] = field(default_factory=dict)
    metric: Literal["psnr_rgb", "psnr_y"] = "psnr_rgb"
    convention: str = "harness"
    fps_bands: tuple[float, ...] = FPS_BANDS
    higher_is_better: bool = True
    source: str = ""
    protocol: str | None = None
    datasets: tuple[TrackDataset, ...] = ()
    gates: tuple[Gate, ...] = ()
    parts: Mapping[str, Expression] = field(default_factory=dict)
    rank_sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    logarithmic: bool = False
    baseline: Mapping[str, float] = field(default_factory=dict)
    published: PublishedTable | None = None
    remarks: tuple[str, ...] = ()
    reparam: ReparamPolicy | None = None

    def __post_init__(self) -> None:
        # A misspelt figure would otherwise be detected at the end of a run, when no row can be scored.
        roles = [dataset.role for dataset in self.datasets]
        gates, sums = (
            [gate.figure for gate in self.gates],
            [name for names in self.rank_sums.values() for name in names],
        )
        parts = [name for part in self.parts.values() for name in part.names]
        for name in (*self.needs, *gates, *parts, *sums):
            known = figure_of(name)
            if known is None or (known[1] and known[1] not in roles):
                every = [f"{base}_{role}" for base in ("psnr", "runtime_ms") for role in roles]
                raise UsageError(f"track {self.name} uses an unknown figure {name!r}", hint=advice(name, every))

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """N, C, H, W of the upscaled timed frame."""
        count, channels, height, width = self.input_shape
        return count, channels, height * self.scale, width * self.scale

    @property
    def needs(self) -> tuple[str, ...]:
        """The figures that the formula uses."""
        if isinstance(self.formula, Expression):
            return self.formula.names
        # A function of a package names its figures as its parameters.
        return tuple(inspect.signature(self.formula).parameters)

    @property
    def psnr_names(self) -> tuple[str, ...]:
        """The names of the PSNR that is scored: of a track with one data set, also those of that data set."""
        names = "psnr", self.metric
        return names if len(self.datasets) != 1 else (*names, *(f"{name}_{self.datasets[0].role}" for name in names))

    @property
    def has_intervals(self) -> bool:
        """Whether the score uses no other quality than that PSNR.

        Other figures of quality are known by their means over the images, without what these differ by.
        """
        figures = {name: known[0] for name in self.needs if (known := figure_of(name))}
        return all(name in self.psnr_names for name, figure in figures.items() if figure.quality)

    @property
    def given_by_hand(self) -> tuple[str, ...]:
        """The figures of `needs` that no run measures."""
        return tuple(name for name in self.needs if (known := figure_of(name)) and not known[0].measured)

    @property
    def reparam_policy(self) -> ReparamPolicy:
        """Which form of a network is measured unless the user asks for another.

        By default ``author``, the form that the authors left, where parameters or operations enter the score or a
        ranking: those are figures of what was submitted. Elsewhere ``auto``: a collapse changes the time only.
        """
        if self.reparam is not None:
            return self.reparam
        ranked = [name for names in self.rank_sums.values() for name in names]
        return "author" if {"params", "macs", "activations"} & {*self.needs, *ranked} else "auto"

    def missing(self, figures: Mapping[str, float | None]) -> list[str]:
        """Return the figures that the score needs and that are not known, in the order of the formula."""
        return [name for name in self.needs if figures.get(name) is None]

    def score(self, **figures: float) -> float:
        """Return the score of one network.

        Parameters
        ----------
        **figures
            Values of at least the figures that `needs` names, such as ``psnr=35.0, runtime_ms=5.0, bicubic=34.0``.

        Returns
        -------
        float
            Limited to 1e300 where `logarithmic` is set.

        Raises
        ------
        ValueError
            A figure is missing or not a number, or a runtime is not positive.
        """
        return float(self.scores(figures))

    def scores(self, figures: Figures) -> Floats:
        """Return the score of each row; the figures are numbers or arrays whose shapes broadcast, as the result.

        Raises
        ------
        ValueError
            As for :meth:`score`.
        """
        if self.logarithmic:
            return np.asarray(np.exp(np.minimum(self.log_scores(figures), LARGEST_LOG)))
        # A plain score, which float64 can hold.
        return self._evaluate(figures, self.formula)

    def log_scores(self, figures: Figures) -> Floats:
        """Return the natural logarithm of the score of each row, also where the score itself exceeds float64.

        Minus infinity for a score of 0, NaN for a negative one.
        """
        if isinstance(self.formula, Expression):
            return self._evaluate(figures, self.formula.log)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(self._evaluate(figures, self.formula)))

    def _evaluate(self, figures: Figures, function: Callable[..., Any]) -> Floats:
        arrays = {name: _checked(name, figures) for name in self.needs}
        shape = np.broadcast_shapes(*(np.shape(figures[name]) for name in figures))
        if isinstance(self.formula, Expression):
            value = np.asarray(function(arrays), dtype=np.float64)
            # A constant formula has the shape of the figures as well.
            return np.broadcast_to(value, shape)
        # Functions of plug-ins are written for numbers and may use `if`, so they are called for each element.
        rows = [np.broadcast_to(array, shape).ravel().tolist() for array in arrays.values()]
        count = math.prod(shape)
        values = [float(function(*(row[index] for row in rows))) for index in range(count)]
        return np.array(values, dtype=np.float64).reshape(shape)

    def failed_gates(self, figures: Mapping[str, float | None]) -> list[Gate]:
        """Return the gates that a network does not pass; a figure that is unknown does not pass."""
        values = {gate.figure: figures.get(gate.figure) for gate in self.gates}
        return [gate for gate in self.gates if (value := values[gate.figure]) is None or not gate.passes(value)]


def _checked(name: str, figures: Figures) -> Floats:
    if name not in figures:
        raise ValueError(f"the score needs {name}")
    values = np.asarray(figures[name], dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError(f"{name} is not a number")
    if name.startswith("runtime_ms") and not (values > 0).all():
        raise ValueError(f"a runtime must be positive, not {values.min()} ms")
    return values
