"""Scripted measurements of networks with known scores, for tests of the statistics."""

from collections.abc import Sequence

import numpy as np

from harness.statistics.process_spread import RelativeTimes, estimate_spread
from harness.statistics.score_difference import ScoreData

BICUBIC = 30.0


def score(psnr: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """NTIRE 2023."""
    return np.where(psnr > BICUBIC, 20 * np.exp2(psnr - BICUBIC) / np.sqrt(ms), 0.0)


def scripted(
    rng: np.random.Generator, logs: Sequence[float], *, image_count: int = 8, rounds: int = 10, processes: int = 3
) -> list[ScoreData]:
    """Measure networks with the true log times `logs` and equal quality, on new images and a new machine.

    Gains over bicubic scatter by 0.2 dB over images, times by 2 % over processes and over rounds, and all networks have
    in common another 3 % in each process.
    """
    count = len(logs)
    level = rng.normal(0, 3, image_count)
    gains = 1.0 + rng.normal(0, 0.15, image_count) + rng.normal(0, 0.2, (count, image_count))
    common = rng.normal(0, 0.03, processes)
    effects = np.asarray(logs)[:, None] + common + rng.normal(0, 0.02, (count, processes))
    values = np.exp(effects[:, :, None] + rng.normal(0, 0.02, (count, processes, rounds))).reshape(count, -1)
    process_of = {i: i // rounds for i in range(processes * rounds)}
    several = [RelativeTimes(dict(enumerate(map(float, row))), "s", process_of, anchor="a") for row in values]
    spread = estimate_spread(several)
    medians = np.exp(np.median(np.median(np.log(values).reshape(count, processes, rounds), axis=2), axis=1))
    return [
        ScoreData(
            BICUBIC + float(gain.mean()),
            list(BICUBIC + level + gain),
            float(10 * ms),
            RelativeTimes(times.times, "s", process_of, spread, "a"),
        )
        for gain, ms, times in zip(gains, medians, several, strict=True)
    ]
