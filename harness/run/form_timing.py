"""Time two forms of one network in turn, in the process that holds both."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.isolation.session import Session
from harness.results.schema import FormName
from harness.run.form_choice import FormTimes
from harness.statistics.compare_times import signed_rank_p_value

ROUNDS = 16
"""Rounds in which each form has one turn. Fewer than 12 cannot show a difference."""

_BUDGET_S = 6.0  # of all rounds
_TURN_S = 0.05  # fast networks are called several times in a turn
_MOST_CALLS = 20
_LEAST_SIDE = 128  # frames with a side below twice this are not halved
_CPU_SIZE = (270, 480)  # on a CPU larger frames take longer and show the same


def time_forms(session: Session, names: tuple[FormName, FormName], frame: NDArray[np.uint8]) -> FormTimes:
    """Time the authors' form and the collapsed one alternately, in opposite orders in every other round.

    Parameters
    ----------
    session
        A worker with both forms. The last one stays in use.
    names
        The authors' form and the collapsed one.
    frame
        LR frame of the track's size, H x W x 3, uint8.
    """
    if session.job.device == "cpu":
        frame = np.ascontiguousarray(frame[: _CPU_SIZE[0], : _CPU_SIZE[1]])
    frame, calls = _fitted(session, names, frame)
    samples: dict[FormName, list[float]] = {name: [] for name in names}
    logs = []
    for number in range(ROUNDS):
        taken: dict[FormName, float] = {}
        # A drift of the machine's speed within a round then favours each form equally often.
        for name in names if number % 2 == 0 else names[::-1]:
            turn = _turn(session, name, frame, calls)
            samples[name] += turn
            taken[name] = statistics.median(turn)
        # Logarithms, because the test needs differences that are symmetric if both forms are equally fast.
        logs.append(np.log(taken[names[1]] / taken[names[0]]))
    session.pause()
    medians = [statistics.median(samples[name]) for name in names]
    ratios = np.asarray(logs)
    return FormTimes(
        own_ms=medians[0],
        collapsed_ms=medians[1],
        ratio=float(np.exp(np.median(ratios))),
        p_value=signed_rank_p_value(ratios),
        rounds=ROUNDS,
    )


def _fitted(session: Session, names: Sequence[FormName], frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Return the frame, made smaller until all rounds fit into the budget, and the calls of one turn."""
    while True:
        # Mean of both forms, in seconds; the faster of two calls, because load can only slow a call down.
        seconds = sum(min(_turn(session, name, frame, 2)) for name in names) / 2e3
        # A round has a turn of each form, and a turn has at least two calls: the first one is not timed.
        if 4 * ROUNDS * seconds <= _BUDGET_S or min(frame.shape[:2]) < 2 * _LEAST_SIDE:
            return frame, max(1, min(_MOST_CALLS, int(_TURN_S / max(seconds, 1e-6))))
        frame = np.ascontiguousarray(frame[: frame.shape[0] // 2, : frame.shape[1] // 2])


def _turn(session: Session, name: FormName, frame: NDArray[np.uint8], calls: int) -> list[float]:
    session.use_form(name)
    # The first call after a change of form warms up, so it is not timed.
    return session.time([frame], 1, calls, 1, None, stage="reparameterize").samples_ms
