"""Checks of a network while it is timed in rounds, and at its end.

Some checks happen at moments that the submission cannot foresee: outputs are compared after random turns. Baselines are
the organiser's own networks and have no rank to gain, so that no call is made to check them.
"""

from __future__ import annotations

from harness.timing.bursts import BurstTimer
from harness.timing.checks import (
    alarms_note,
    check_alarms,
    check_clocks,
    check_marks,
    check_noise,
    check_processor_time,
    check_seen_frame,
)
from harness.timing.confirmation import CallTime, time_call
from harness.timing.crops import crops_pay
from harness.timing.frames import FrameSource, Image, Origin, frame_of_call
from harness.timing.network_state import NetworkState
from harness.timing.output_check import OutputCheck, OutputSample
from harness.timing.round_settings import RoundSettings
from harness.timing.strips import draw_strips
from harness.timing.timed_parts import MAX_PARTS, PARTS_OF_TURN, TimedPart

_OUTPUT_CHECK_CHANCE = 0.3  # of a turn to have one of its outputs compared
_MAX_OUTPUT_CHECKS = 6  # of a network, shared among its processes; those of slow networks are not counted
_ENOUGH_OUTPUT_CHECKS = 4  # of a process, if its last turn has several calls
_MIN_OUTPUT_CHECKS = 2  # of a process: one at the end, and one before it at a random moment
_REFERENCE_FIRST_CHANCE = 0.5  # of a comparison to ask for the untimed output before the turn
# Calls for seen frames, and for noise; the fastest counts. A delay of the machine hides more of a quick call.
_PROBE_CALLS, _QUICK_CALL_MS = 3, 30.0


class RoundChecks:
    """The checks of all networks of an interleaved timing; what they collect is in each network's state.

    All checks raise WorkerError, of the kind `DISQUALIFIED` for a network that cheats.

    Parameters
    ----------
    timer
        Times calls.
    frames
        Generates frames, and has the source of randomness.
    settings
        Protocol, scale and threads.
    """

    def __init__(self, timer: BurstTimer, frames: FrameSource, settings: RoundSettings) -> None:
        self._timer = timer
        self._frames = frames
        self._settings = settings

    def after_first_call(self, network: NetworkState, frame: Image) -> None:
        """Compare the output of a process's first call, whose input was `frame`, with that of another process.

        Without another process it is kept and compared with one of the same frame at the end.
        """
        if not network.is_ranked:
            return
        outputs, strips = self._outputs(network), network.current.checks.strips[0]
        if network.reference is None:
            outputs.remember_first(frame, strips)
        else:
            outputs.check_same_output(strips, network.reference)
            network.current.worker.pause()  # it was asked again where they differ

    def before_turn(self, network: NetworkState, frame: Image) -> None:
        """Perhaps ask for an output of the next turn, whose first input is `frame`.

        A network that recognises the frames for which it did less work, and repeats that when they come again, does
        not know them yet. The turns of a slow network are single calls, which must be the first on their frames: one
        that keeps results would be scored by the second. Nor does a network know crops of its frames.
        """
        checks, rng = network.current.checks, self._frames.rng
        checks.expected = None
        has_whole = not network.current.is_slow and self._outputs(network).crop_scale is None
        if has_whole and self._wants_check(network) and rng.random() < _REFERENCE_FIRST_CHANCE:
            checks.expected = network.current.worker.upscale(frame)  # later calls get frames that do not exist yet

    def after_turn(self, network: NetworkState, frame: Image) -> None:
        """Compare an output of the turn, whose first input was `frame`, if chance wants it and a check is left.

        Crops are compared when the last turn is over: a network that keeps something for the size of its last input,
        such as a mask, would have to make it again in the next timed call.
        """
        checks = network.current.checks
        if checks.expected is not None:
            self._check_output(network, frame, 0, checks.expected)
        elif self._wants_check(network):
            (call,) = self._some_calls(network, 1)
            self._check_output(network, frame, call)

    def keep_parts(self, network: NetworkState, origin: Origin) -> None:
        """Keep strips of some calls of the last turn, drawn at random; `origin` is that of the turn's first frame."""
        rng, checks, kept = self._frames.rng, network.current.checks, network.timed_parts
        for call in self._some_calls(network, PARTS_OF_TURN):
            part = TimedPart.of(origin.of_call(checks.variations[call]), checks.strips[call])
            if len(kept) < MAX_PARTS:
                kept.append(part)
            else:
                # A random earlier part is replaced, so that parts come from the whole timing.
                kept[int(rng.integers(MAX_PARTS))] = part

    def _wants_check(self, network: NetworkState) -> bool:
        """Draw whether an output of the next turn is compared. Each call of a slow network is compared."""
        process = network.current
        if not network.is_ranked:
            return False
        if process.is_slow:
            return True
        # The last comparison is made by `finish`, after the last turn.
        is_left = process.checks.output_checks < self._outputs_to_check(network) - 1
        return is_left and self._frames.rng.random() < _OUTPUT_CHECK_CHANCE

    def finish(self, network: NetworkState, frame: Image) -> None:
        """Check a process after its last turn.

        Parameters
        ----------
        network
            Whose current process is done.
        frame
            Input of the first call of that turn, H x W x 3, uint8.
        """
        process, threads = network.current, self._settings.threads
        checks = process.checks
        while checks.postponed:
            self._compare(network, checks.postponed.pop())
        if not process.is_slow and network.is_ranked:
            # Where few turns were checked, several calls of the last one make up for it: a network may do less in some.
            missing = max(1, _ENOUGH_OUTPUT_CHECKS - checks.output_checks)
            for call in self._some_calls(network, missing):
                self._check_output(network, frame, call)
            # In one process, drawn at random, because each of these calls takes time.
            if network.process == network.probed_process:
                self._check_seen_frame(network)
                self._check_noise(network)
            self._compare_processes(network)
        calls = sum(request.calls for request in checks.requests)
        notes = [alarms_note(checks.alarms, calls), *self._outputs(network).notes]
        process.note = "; ".join(note for note in notes if note) or process.note
        check_alarms(checks.alarms, calls)
        check_marks(checks.requests)
        check_clocks(checks.requests, self._timer.anchor.current.checks.requests)
        check_processor_time(checks.cpu_s, checks.cpu_wall_s, threads)
        process.worker.pause()
        self._outputs(network).compared = None  # its memory is needed

    def _outputs_to_check(self, network: NetworkState) -> int:
        """Return the number of outputs to compare in each process of a network."""
        return max(_MIN_OUTPUT_CHECKS, network.share_of(_MAX_OUTPUT_CHECKS))

    def _outputs(self, network: NetworkState) -> OutputCheck:
        """Return what compares the outputs of a network's current process."""
        process, settings = network.current, self._settings
        if process.checks.outputs is None:
            scale = settings.scale if settings.threads is not None and network.takes_any_size else None
            process.checks.outputs = OutputCheck(process.worker, settings.protocol.precision, scale)
        # The first call of a process may be slower than all others.
        if not crops_pay(min(ms for _, ms in [*process.warmup, *process.samples])):
            process.checks.outputs.crop_scale = None
        return process.checks.outputs

    def check_only_call(self, network: NetworkState, frame: Image, origin: Origin, image: Image) -> None:
        """Compare the output of the only scored call of a network that is too slow for rounds.

        Parameters
        ----------
        network
            Whose call it is.
        frame
            Its input, which was also that of the call before it, if there was one. Otherwise one more call is made.
        origin
            How that was made.
        image
            Its output.
        """
        # The whole output shows at the end whether it is as good as the images that are scored.
        self._outputs(network).check_whole(network.current.checks.strips[0], image)
        network.timed_parts.append(TimedPart.drawn(origin, image, self._frames.rng))
        if not network.is_ranked:
            return
        if network.current.warmup:
            self._outputs(network).check_first(image)
            network.current.worker.pause()
        else:
            self._check_output(network, frame, 0)

    def _some_calls(self, network: NetworkState, number: int) -> list[int]:
        """Draw different calls of the last turn: so many, or all where there are fewer."""
        calls = len(network.current.checks.strips)
        drawn: list[int] = self._frames.rng.choice(calls, min(number, calls), replace=False).tolist()
        return drawn

    def _check_output(self, network: NetworkState, frame: Image, call: int, reference: Image | None = None) -> None:
        checks = network.current.checks
        checks.output_checks += 1
        given = frame_of_call([frame], call, checks.variations[call])
        sample = OutputSample(given, checks.strips[call])
        if reference is None and not network.current.is_done and self._outputs(network).crop_scale is not None:
            checks.postponed.append(sample)
        else:
            self._compare(network, sample, reference)

    def _compare(self, network: NetworkState, sample: OutputSample, reference: Image | None = None) -> None:
        self._outputs(network).check(sample.frame, sample.strips, reference)
        network.current.worker.pause()

    def _compare_processes(self, network: NetworkState) -> None:
        """Compare the network's first output with a late one, in its first process; later ones with the first process.

        A later process was compared in its first call, too. A network could do less after that.
        """
        outputs, reference = self._outputs(network), network.reference
        if reference is not None:
            strips = draw_strips(reference.image, self._frames.rng)
            if not outputs.crops_agree(OutputSample(reference.frame, strips)):
                again = network.current.worker.time([reference.frame], 0, 1, 1, None)
                outputs.check_same_output(again.strips[0], reference)
            return
        if network.processes_left:  # 30 MB at 4K, so it is kept only for a further process
            network.reference = outputs.check_first()
        elif outputs.first is None or not outputs.crops_agree(outputs.first):
            outputs.check_first()

    def _check_seen_frame(self, network: NetworkState) -> None:
        """Time the frame of the output that was just compared, and compare its output again."""
        outputs, times = self._outputs(network), []
        assert outputs.last is not None
        frame, whole = outputs.last.frame, outputs.compared
        image = whole.image if whole is not None and whole.frame is frame else None  # it was compared by crops
        for _ in range(_probe_calls(network)):
            times.append(self._timer.call_ms(network, frame))
            outputs.check(frame, network.current.checks.strips[0], image)
        check_seen_frame(min(times), _samples_ms(network), lambda: self._time_seen_and_fresh(network))

    def _check_noise(self, network: NetworkState) -> None:
        """Time frames of noise."""
        times = [self._timer.call_ms(network, self._frames.noise()) for _ in range(_probe_calls(network))]
        check_noise(min(times), _samples_ms(network), lambda: self._time_noise_and_fresh(network))

    def _time_seen_and_fresh(self, network: NetworkState) -> tuple[CallTime, CallTime]:
        frame = self._frames.fresh()
        network.current.worker.upscale(frame)
        return self._time(network, frame), self._time(network, self._frames.fresh())

    def _time_noise_and_fresh(self, network: NetworkState) -> tuple[CallTime, CallTime]:
        return self._time(network, self._frames.noise()), self._time(network, self._frames.fresh())

    def _time(self, network: NetworkState, frame: Image) -> CallTime:
        return time_call(network.current.worker, frame, on_cpu=self._settings.threads is not None)


def _probe_calls(network: NetworkState) -> int:
    """Return the number of calls in which seen frames, or noise, are timed."""
    return 1 if min(ms for _, ms in network.current.warmup) > _QUICK_CALL_MS else _PROBE_CALLS


def _samples_ms(network: NetworkState) -> list[float]:
    """Return the times of the current process, milliseconds."""
    return [ms for _, ms in network.current.samples]
