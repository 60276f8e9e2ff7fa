"""The NTIRE efficient super-resolution challenges: ranks in 2022 and 2023, weighted sums of exponentials later."""

from __future__ import annotations

from harness.tracks.expression import Expression
from harness.tracks.published import PublishedTable
from harness.tracks.track import Gate, Track, TrackDataset

# The input for which the challenges count operations.
_SHAPE = (1, 3, 256, 256)
_DATASETS = (
    TrackDataset("validation", "DIV2K_LSDIR_valid: 100 images of DIV2K and 100 of LSDIR"),
    TrackDataset("test", "DIV2K_LSDIR_test, not public"),
)
# The thresholds are compared with printed values: 26.896 dB passes 26.90.
_GATES = (Gate("psnr_validation", 26.90, 2), Gate("psnr_test", 26.99, 2))
_RANK_SUMS = {
    "complexity": ("params", "macs"),
    "overall": ("runtime_ms", "params", "macs", "activations", "memory_bytes"),
}
_OWN_COUNTER = (
    "The challenge counted FLOPs by its own model_summary.py, which gives a little more than fvcore: RLFN has 19.70 G "
    "there and 19.67 G in 2024."
)
_OWN_SIZE = (
    "Each image of the first data set is timed once at its own size, cold, in float32; the challenge's runtime is the "
    "mean of both data sets, averaged over five such runs."
)


def _weighted_sum(
    year: int,
    baseline: str,
    figures: tuple[float, float, float],
    weights: tuple[float, float, float],
    gpu: str,
    *,
    published: PublishedTable | None = None,
    remarks: tuple[str, ...] = (),
) -> Track:
    """Return the rules of a year from the baseline's runtime in ms, G of MACs and M of parameters, and the weights."""
    names = ("runtime", "macs", "params")
    # Made as text, so that the stored expression shows the constants as the README prints them.
    terms = (f"runtime_ms / {figures[0]}", f"macs / {figures[1]}e9", f"params / {figures[2]}e6")
    parts = {name: f"exp(2 * {term})" for name, term in zip(names, terms, strict=True)}
    return Track(
        name=f"ntire-esr-{year}",
        title=f"NTIRE {year} Efficient Super-Resolution",
        scale=4,
        degradation="matlab",
        input_shape=_SHAPE,
        score_formula=(
            "sum of weight * exp(2 * x / x_baseline) over runtime, FLOPs (fvcore's, 256 x 256) and parameters, with "
            f"weights {', '.join(map(str, weights))} and baseline {baseline}; lower is better"
        ),
        formula=Expression(" + ".join(f"{w} * {part}" for w, part in zip(weights, parts.values(), strict=True))),
        convention="ntire-esr",
        higher_is_better=False,
        source=f"README of Amazingren/NTIRE{year}_ESR; runtime of {baseline} on an {gpu}",
        protocol="esr",
        datasets=_DATASETS,
        gates=_GATES,
        parts={name: Expression(part) for name, part in parts.items()},
        # exp(2 * runtime / baseline) exceeds float64 for a network 355 times as slow as the baseline.
        logarithmic=True,
        baseline={"runtime_ms": figures[0], "macs": 1e9 * figures[1], "params": 1e6 * figures[2]},
        published=published,
        remarks=(_OWN_SIZE, f"The baseline's runtime was measured on an {gpu}.", *remarks),
    )


NTIRE_ESR_2022 = Track(
    name="ntire-esr-2022",
    title="NTIRE 2022 Efficient Super-Resolution",
    scale=4,
    degradation="matlab",
    input_shape=_SHAPE,
    score_formula="the runtime, in ms; lower is better. Sub-tracks: sums of ranks",
    formula=Expression("runtime_ms"),
    convention="ntire-esr",
    higher_is_better=False,
    source="table of ofsoundof/NTIRE2022_ESR; the rules were derived from it",
    protocol="esr",
    datasets=(TrackDataset("validation", "DIV2K validation"), TrackDataset("test", "DIV2K test, not public")),
    rank_sums=_RANK_SUMS,
    published=PublishedTable("ntire-esr-2022.csv", "table of ofsoundof/NTIRE2022_ESR"),
    remarks=(
        _OWN_SIZE,
        _OWN_COUNTER,
        "The challenge asked for about 29.00 dB on the validation set; teams from 28.95 dB are ranked in its table.",
        (
            "The published points of five teams differ by one from the sums of ranks: those teams tie at the printed "
            "precision."
        ),
    ),
)
NTIRE_ESR_2023 = Track(
    name="ntire-esr-2023",
    title="NTIRE 2023 Efficient Super-Resolution",
    scale=4,
    degradation="matlab",
    input_shape=_SHAPE,
    score_formula="the runtime, in ms; lower is better. Main track (overall) and model complexity: sums of ranks",
    formula=Expression("runtime_ms"),
    convention="ntire-esr",
    higher_is_better=False,
    source="table of the report, as shown in HeaseoChung/LMRLFN; the rules were derived from it",
    protocol="esr",
    datasets=(
        TrackDataset("validation", "DIV2K validation"),
        TrackDataset("test", "LSDIR_DIV2K_test, not public"),
    ),
    gates=(Gate("psnr_validation", 28.91, 2), Gate("psnr_test", 26.95, 2)),
    rank_sums=_RANK_SUMS,
    baseline={"runtime_ms": 35.54, "macs": 27.10e9, "params": 0.433e6},
    published=PublishedTable("ntire-esr-2023.csv", "table of the report, as shown in HeaseoChung/LMRLFN"),
    remarks=(
        _OWN_SIZE,
        _OWN_COUNTER,
        "The challenge decided by the ranks `overall`; the rank of a row is that of its runtime.",
        (
            "The gates are the lowest PSNRs that are ranked in the table; 28.81 and 26.88 dB were not on par with the "
            "baseline RFDN (29.04 and 27.11)."
        ),
    ),
)
NTIRE_ESR_2024 = _weighted_sum(
    2024,
    "RLFN",
    (13.54, 19.67, 0.317),
    (0.7, 0.15, 0.15),
    "RTX 3090",
    remarks=("README and results.txt of the challenge disagree on the baseline's runtime: 13.54 and 12.21 ms.",),
)
NTIRE_ESR_2025 = _weighted_sum(2025, "EFDN", (16.69, 16.7, 0.276), (0.7, 0.15, 0.15), "RTX A6000")
NTIRE_ESR_2026 = _weighted_sum(
    2026,
    "SPAN",
    (7.74, 9.83, 0.151),
    (0.8, 0.1, 0.1),
    "RTX A6000",
    published=PublishedTable("ntire-esr-2026.csv", "results.txt of Amazingren/NTIRE2026_ESR"),
    remarks=("The fastest entry counts 1.59 G, because its custom operator cut the trace; about 9.11 G are computed.",),
)
