"""Interleaved timing of scripted workers on a scripted clock: turns, stopping, drift, failures and cheats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import WorkerError
from harness.results.measurement import GpuReading
from harness.statistics.runtime_summary import anchor_level, summarise_record
from harness.timing import ROBUST, FrameSource, TimingProtocol, frame_of_call
from harness.timing.bursts import AnchorLostError
from harness.timing.frames import draw_variation
from harness.timing.network_state import NetworkState, ProcessTiming
from harness.timing.output_check import Upscaled
from harness.timing.round_settings import RoundSettings
from harness.timing.rounds import Rounds
from harness.timing.strips import STRIPS, Strips

IMAGES = [np.random.default_rng(i).integers(0, 256, (32, 48, 3), dtype=np.uint8) for i in range(3)]


def repeat(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def strips_of(image: np.ndarray, rng: np.random.Generator) -> Strips:
    """Return whole rows of an image, drawn at random."""
    rows = rng.integers(0, len(image), STRIPS)
    return Strips(np.stack([rows, 0 * rows], axis=1), image[rows].astype(np.float32))


@dataclass
class Machine:
    """A clock that scripted work moves on, and how fast the machine is at the moment."""

    now: float = 0.0
    speed: Callable[[float], float] = lambda _now: 1.0
    turns: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)


@dataclass
class ScriptedWorker:
    """Upscales by repeating pixels, in a scripted time.

    `timed` and `untimed` are what it makes of a frame when it is timed and when not.
    """

    machine: Machine
    name: str
    ms: float
    timed: Callable[[np.ndarray], np.ndarray] = repeat
    untimed: Callable[[np.ndarray], np.ndarray] = repeat
    reported: float = 1.0
    alarms: int = 0
    fails_after: int = 10**9
    cores: float = 1.0
    idle: float = 0.0
    honest_calls: int = 10**9
    waits: bool = False
    calls: int = 0
    last: np.ndarray | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def time(
        self, lr: Sequence[np.ndarray], warmup: int, repeats: int, min_repeats: int, budget_s: float | None, **_: object
    ) -> SimpleNamespace:
        self.machine.turns.append(self.name)
        self.machine.running.add(self.name)
        assert self.machine.running == {self.name}, "another network was not stopped"
        begin = self.machine.now
        samples, at_s, strips, variations = [], [], [], []
        for call in range(repeats):
            if budget_s is not None and call >= min_repeats and self.machine.now - begin >= budget_s:
                break
            self.calls += 1
            variations.append(draw_variation(*lr[0].shape[:2]) if call >= len(lr) else None)
            if self.calls > self.fails_after:
                raise WorkerError("gone", stage="time", kind="Crash")
            at_s.append(self.machine.now - begin)
            ms = self.ms * self.machine.speed(self.machine.now) * self.rng.normal(1.0, 0.003)
            self.machine.now += ms / 1e3 + 0.001
            samples.append(ms * self.reported)
            self.last = (self.timed if self.calls <= self.honest_calls else darker)(
                frame_of_call(lr, call, variations[-1])
            )
            strips.append(strips_of(self.last, self.rng))
        wall = self.machine.now - begin
        return SimpleNamespace(
            samples_ms=samples,
            at_s=at_s,
            warmup_ms=[],
            clock="scripted",
            alarms=self.alarms,
            wall_s=wall,
            delay_s=0.0,
            strips=strips,
            variations=variations,
            marked_ms=[],
        )

    def last_image(self, lr: np.ndarray) -> np.ndarray:
        if self.last is None:  # a worker keeps the output of a call until it is asked for it, or for another one
            raise WorkerError("nothing was upscaled", stage="upscale", kind="NotTimed")
        image, self.last = self.last, None
        return image

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        self.machine.running.add(self.name)
        self.machine.now += self.ms * lr.size / IMAGES[0].size / 1e3
        self.last = None
        return (self.untimed if self.calls <= self.honest_calls else darker)(lr)

    def pause(self) -> None:
        self.waits = False
        self.machine.running.discard(self.name)

    def cpu_s(self) -> float:
        return self.machine.now * (self.idle if self.waits else self.cores)

    def let_run(self) -> bool:
        self.waits = True
        return True


@pytest.fixture
def machine() -> Machine:
    return Machine()


def network(worker: ScriptedWorker, **state: object) -> NetworkState:
    return NetworkState(worker.name, ProcessTiming(worker), **state)


def anchor_on(machine: Machine, ms: float = 10.0, **options: object) -> NetworkState:
    return network(ScriptedWorker(machine, "anchor", ms, **options))


def settings_for(machine: Machine, protocol: TimingProtocol, threads: int | None = 1, **given: object) -> RoundSettings:
    def sleep(seconds: float) -> None:
        machine.now += seconds

    return RoundSettings(protocol, 2, threads, clock=lambda: machine.now, sleep=sleep, begin_s=machine.now, **given)


def frame_source(seed: int = 0) -> FrameSource:
    return FrameSource(IMAGES, np.random.default_rng(seed))


def compete(
    machine: Machine, *workers: ScriptedWorker, budget_s: float = 20.0, seed: int = 0
) -> dict[str, NetworkState]:
    networks = [network(worker) for worker in workers]
    settings = settings_for(machine, replace(ROBUST, budget_s=budget_s, processes=1))
    Rounds(networks, anchor_on(machine), frame_source(seed), settings).run()
    return {one.slug: one for one in networks}


def runtime(networks: dict[str, NetworkState], name: str) -> float:
    records = {slug: one.current.record("mean") for slug, one in networks.items()}
    return summarise_record(records[name], ROBUST.summary_rule, anchor_level(records.values())).median


def test_turns_alternate_and_the_anchor_stands_between(machine: Machine) -> None:
    names = ("A", "B", "C")
    done = compete(machine, *(ScriptedWorker(machine, name, 300.0) for name in names), budget_s=5.0)
    assert all(one.error is None for one in done.values())
    turns = [name for name in machine.turns if name != "anchor"]
    rounds = {name: [turn.number for turn in done[name].current.rounds] for name in names}
    assert rounds["A"] == list(range(len(rounds["A"])))
    assert any(turns[i : i + 6] == ["A", "B", "C", "C", "B", "A"] for i in range(len(turns)))
    first_round = machine.turns.index("B", machine.turns.index("C"))  # after the warm-up of all
    assert all("anchor" in pair for pair in pairwise(machine.turns[first_round : first_round + 6]))


def test_drift_of_the_machine_is_taken_out(machine: Machine) -> None:
    machine.speed = lambda now: 1.0 + now / 30.0
    done = compete(machine, ScriptedWorker(machine, "A", 100.0), ScriptedWorker(machine, "B", 110.0))
    assert runtime(done, "B") / runtime(done, "A") == pytest.approx(1.1, rel=0.01)
    note = summarise_record(done["A"].current.record("mean"), ROBUST.summary_rule).note
    assert "drifted by +" in note


def test_it_stops_when_the_interval_is_narrow(machine: Machine) -> None:
    done = compete(machine, ScriptedWorker(machine, "A", 100.0), budget_s=1000.0)
    summary = summarise_record(done["A"].current.record("mean"), ROBUST.summary_rule)
    assert summary.stable
    assert (summary.ci[1] - summary.ci[0]) / 2 <= 0.005 * summary.median
    assert done["A"].current.spent_s < 200.0


def test_a_spent_budget_is_said(machine: Machine) -> None:
    done = compete(machine, ScriptedWorker(machine, "A", 1000.0), budget_s=8.0)
    assert 8.0 <= done["A"].current.spent_s < 12.0
    assert not summarise_record(done["A"].current.record("mean"), ROBUST.summary_rule).stable


def test_a_call_that_outlasts_the_budget_stays_one_call(machine: Machine) -> None:
    slow = ScriptedWorker(machine, "slow", 60_000.0)
    done = compete(machine, slow, ScriptedWorker(machine, "A", 100.0), budget_s=8.0)
    assert slow.calls == 1
    assert len(done["slow"].current.samples) == 1
    assert "one call" in done["slow"].current.note
    assert done["slow"].error is None
    assert len(done["A"].current.rounds) >= 3


def test_short_calls_are_timed_in_bursts_of_unforeseeable_length(machine: Machine) -> None:
    done = compete(machine, ScriptedWorker(machine, "A", 5.0), budget_s=2.0)
    lengths = {turn.calls for turn in done["A"].current.rounds}
    assert max(lengths) > 5
    assert len(lengths) > 3
    assert sum(turn.calls for turn in done["A"].current.rounds) == len(done["A"].current.samples)


def test_a_failure_ends_one_network_alone(machine: Machine) -> None:
    done = compete(
        machine, ScriptedWorker(machine, "bad", 100.0, fails_after=9), ScriptedWorker(machine, "A", 100.0), budget_s=5.0
    )
    assert done["bad"].error.kind == "Crash"
    assert done["A"].error is None
    assert len(done["A"].current.rounds) > len(done["bad"].current.rounds)


def test_the_anchor_s_failure_is_not_blamed_on_a_network(machine: Machine) -> None:
    quick, slow = (network(ScriptedWorker(machine, name, ms)) for name, ms in (("A", 10.0), ("B", 100.0)))
    settings = settings_for(machine, replace(ROBUST, budget_s=2.0, half_width=0.0, processes=1), threads=None)
    rounds = Rounds([quick, slow], anchor_on(machine, fails_after=50), frame_source(), settings)
    with pytest.raises(AnchorLostError, match="gone"):
        rounds.run()
    assert (quick.error, slow.error) == (None, None)
    assert not slow.current.is_done


def test_warming_up_ends_when_the_later_half_agrees_with_the_earlier(machine: Machine) -> None:
    machine.speed = lambda now: 1.0 + 2.0 * np.exp(-now)
    done = compete(machine, ScriptedWorker(machine, "A", 100.0), budget_s=100.0)
    times = [ms for _, ms in done["A"].current.warmup]
    half = len(times) // 2
    assert len(times) == ROBUST.warmup or np.median(times[half:]) == pytest.approx(np.median(times[:half]), rel=0.05)
    assert len(times) >= 4


def darker(frame: np.ndarray) -> np.ndarray:
    return np.uint8(repeat(frame) * 0.9)


def always_the_same(_: np.ndarray) -> np.ndarray:
    return repeat(IMAGES[0])


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ({"timed": darker}, "differs from the untimed one"),
        ({"timed": always_the_same, "untimed": always_the_same}, "same image came back"),
        ({"reported": 0.5}, "controller's clock"),
        ({"alarms": 20}, "went on working"),
        ({"cores": 2.0}, "works or spins on other cores"),
        ({"cores": 1.2}, "works or spins on other cores"),
        ({"idle": 0.9}, "busy while it has nothing to do"),
        ({"honest_calls": 2}, "output of its first call differs"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_cheats_are_disqualified(machine: Machine, worker: dict, reason: str, seed: int) -> None:
    cheat = ScriptedWorker(machine, "cheat", 400.0, **worker)
    done = compete(machine, cheat, ScriptedWorker(machine, "A", 400.0), seed=seed)
    assert done["cheat"].error is not None
    assert done["cheat"].error.kind == "Disqualified"
    assert reason in str(done["cheat"].error)
    assert done["A"].error is None


@pytest.fixture
def crops_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let outputs be compared by crops, although calls are short and frames are small."""
    monkeypatch.setattr("harness.timing.crops._LONG_CALL_MS", 0.0)
    monkeypatch.setattr("harness.timing.crops._MAX_SHARE", 1e9)
    monkeypatch.setattr("harness.timing.crops._MARGIN", 4)


def brighter_in_its_middle(frame: np.ndarray) -> np.ndarray:
    """Return what depends on the whole frame, so that no crop has the same."""
    return repeat(np.uint8(frame // 2 + frame.mean() // 3))


CHEATS = [
    ({"timed": darker}, "differs from the untimed one"),
    ({"timed": brighter_in_its_middle}, "differs from the untimed one"),
    ({"timed": darker, "untimed": brighter_in_its_middle}, "differs from the untimed one"),
    ({"reported": 0.5}, "controller's clock"),
    ({"cores": 2.0}, "works or spins on other cores"),
]


@pytest.mark.usefixtures("crops_pay")
@pytest.mark.parametrize(
    ("ms", "worker", "reason"),
    [
        *((400.0, *cheat) for cheat in CHEATS),
        *((9000.0, *cheat) for cheat in CHEATS),
        # Not where calls are slow: their turns are compared, and no others.
        (400.0, {"honest_calls": 2}, "output of its first call differs"),
    ],
)
def test_cheats_are_disqualified_where_crops_are_compared(
    machine: Machine, ms: float, worker: dict, reason: str
) -> None:
    cheat = ScriptedWorker(machine, "cheat", ms, **worker)
    done = compete(machine, cheat, ScriptedWorker(machine, "A", ms))
    assert done["cheat"].error is not None
    assert done["cheat"].error.kind == "Disqualified"
    assert reason in str(done["cheat"].error)
    assert done["A"].error is None


@pytest.mark.usefixtures("crops_pay")
@pytest.mark.parametrize("network_of", [repeat, brighter_in_its_middle])
@pytest.mark.parametrize("ms", [100.0, 9000.0])
def test_honest_networks_pass_where_crops_are_compared(
    machine: Machine, network_of: Callable[[np.ndarray], np.ndarray], ms: float
) -> None:
    worker = ScriptedWorker(machine, "A", ms, timed=network_of, untimed=network_of)
    done = compete(machine, worker)
    assert done["A"].error is None
    assert len(done["A"].current.rounds) >= 2
    assert done["A"].current.checks.postponed == []


@pytest.mark.usefixtures("crops_pay")
def test_no_crop_comes_between_the_turns_of_a_network(machine: Machine) -> None:
    sizes: list[tuple[int, ...]] = []

    def noting(frame: np.ndarray) -> np.ndarray:
        sizes.append(frame.shape)
        return repeat(frame)

    done = compete(machine, ScriptedWorker(machine, "A", 9000.0, timed=noting, untimed=noting))
    assert done["A"].error is None
    whole = [size == IMAGES[0].shape for size in sizes]
    calls = len(done["A"].current.warmup) + len(done["A"].current.samples)
    assert all(whole[:calls])
    assert not any(whole[calls:])
    assert len(whole) > calls


@pytest.mark.parametrize("first_ms", [1700.0, 2900.0])
@pytest.mark.parametrize("heap_has_grown", [False, True])
def test_a_slow_first_call_does_not_save_processes(machine: Machine, first_ms: float, heap_has_grown: bool) -> None:
    machine.speed = lambda now: first_ms / 100.0 if now < 1.0 else 1.0  # the anchor's first call is over by then
    machine.now = 0.9
    one = network(ScriptedWorker(machine, "A", 100.0))
    one.current.heap_has_grown = heap_has_grown
    settings = settings_for(machine, replace(ROBUST, budget_s=8.0, processes=3))
    Rounds([one], anchor_on(machine, ms=0.1), frame_source(), settings).run()
    assert one.error is None
    assert one.processes == 3
    assert not one.current.is_slow


@pytest.mark.parametrize("seed", range(20))
def test_honest_networks_are_never_flagged(machine: Machine, seed: int) -> None:
    noise = np.random.default_rng(seed)
    machine.speed = lambda _now: 1.0 + 3.0 * (noise.random() < 0.2)

    def noisy(frame: np.ndarray) -> np.ndarray:
        changed = noise.random((64, 96, 3)) < 0.05  # of rounded values: most chance is taken out by the seed
        return np.uint8(np.clip(repeat(frame) + changed * 1.0, 0, 255))

    done = compete(
        machine,
        ScriptedWorker(machine, "A", 40.0),
        ScriptedWorker(machine, "noisy", 40.0, timed=noisy, untimed=noisy),
        budget_s=4.0,
        seed=seed,
    )
    assert [one.error for one in done.values()] == [None, None]


def test_the_fewest_rounds_are_not_waited_for_beyond_twice_the_budget(machine: Machine) -> None:
    (long,) = compete(machine, ScriptedWorker(machine, "long", 11_000.0), budget_s=8.0).values()
    timed = long.current
    assert (len(timed.warmup), len(timed.rounds), len(timed.samples)) == (2, 1, 1)
    (shorter,) = compete(machine, ScriptedWorker(machine, "shorter", 4_000.0), budget_s=8.0).values()
    assert len(shorter.current.rounds) == 3


def test_each_call_has_its_own_time(machine: Machine) -> None:
    (done,) = compete(machine, ScriptedWorker(machine, "A", 10.0), budget_s=2.0).values()
    at_s = [at for at, _ in done.current.samples]
    assert at_s == sorted(at_s)
    assert len(set(at_s)) == len(at_s) > len(done.current.rounds)


def test_the_card_is_read_after_each_turn(machine: Machine) -> None:
    readings = iter(GpuReading(at_s=n, clock_mhz=1000 + n, temperature_c=50) for n in range(1000))
    one = network(ScriptedWorker(machine, "A", 100.0))
    gpu = SimpleNamespace(read=lambda: next(readings))
    settings = settings_for(machine, replace(ROBUST, budget_s=4.0, processes=1), threads=None, gpu=gpu)
    Rounds([one], anchor_on(machine), frame_source(), settings).run()
    rounds = one.current.rounds
    assert [turn.card.clock_mhz for turn in rounds] == [1000 + n for n in range(len(rounds))]


@dataclass
class SlowAtFirst(ScriptedWorker):
    """Takes 3 s for each of its first calls, and does less work in some of the others."""

    slow_calls: int = 3

    def __post_init__(self) -> None:
        self.timed = lambda frame: darker(frame) if self.calls % 3 and self.calls > self.slow_calls else repeat(frame)

    def time(self, *given: object, **options: object) -> SimpleNamespace:
        self.ms = 3000.0 if self.calls < self.slow_calls else 50.0
        return super().time(*given, **options)


@pytest.mark.parametrize("seed", range(10))
def test_a_network_that_is_slow_at_first_has_each_call_compared(machine: Machine, seed: int) -> None:
    (done,) = compete(machine, SlowAtFirst(machine, "A", 3000.0), budget_s=8.0, seed=seed).values()
    assert done.error is not None
    assert "differs from" in done.error.what


def test_each_call_of_a_slow_network_is_compared(machine: Machine) -> None:
    (done,) = compete(machine, ScriptedWorker(machine, "A", 3000.0), budget_s=8.0).values()
    assert done.error is None
    assert done.current.checks.output_checks == len(done.current.samples) >= 3


@dataclass
class KeepsResults(ScriptedWorker):
    """Is slow, and takes half of the time for a frame that it has upscaled before."""

    seen: set[bytes] = field(default_factory=set)

    def time(self, lr: Sequence[np.ndarray], *given: object, **options: object) -> SimpleNamespace:
        self.ms = 3000.0 if lr[0].tobytes() in self.seen else 6000.0
        self.seen.add(lr[0].tobytes())
        return super().time(lr, *given, **options)

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        self.seen.add(lr.tobytes())
        return super().upscale(lr)


@pytest.mark.parametrize("seed", range(8))
def test_the_calls_of_a_slow_network_are_the_first_on_their_frames(machine: Machine, seed: int) -> None:
    (done,) = compete(machine, KeepsResults(machine, "A", 6000.0), budget_s=8.0, seed=seed).values()
    assert done.error is None
    assert min(ms for _, ms in done.current.samples) > 5500.0


def test_the_only_call_of_a_network_is_compared(machine: Machine) -> None:
    (done,) = compete(machine, ScriptedWorker(machine, "A", 60_000.0, timed=darker), budget_s=8.0).values()
    assert done.error is not None
    assert "differs from" in done.error.what


@pytest.mark.parametrize("seed", range(8))
def test_less_work_in_a_third_of_the_calls_of_a_turn_is_found(machine: Machine, seed: int) -> None:
    worker = ScriptedWorker(machine, "A", 5.0)
    calls = 0

    def sometimes(frame: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return darker(frame) if calls % 3 == 1 else repeat(frame)

    worker.timed = sometimes
    (done,) = compete(machine, worker, budget_s=20.0, seed=seed).values()
    assert done.error is not None  # none of 400 seeds misses it


def test_random_numbers_of_its_own_are_a_note(machine: Machine) -> None:
    noise = np.random.default_rng(0)

    def noisy(frame: np.ndarray) -> np.ndarray:
        return np.uint8(np.clip(repeat(frame) + (noise.random((64, 96, 3)) < 0.05), 0, 255))

    (done,) = compete(machine, ScriptedWorker(machine, "A", 40.0, timed=noisy, untimed=noisy), budget_s=4.0).values()
    assert done.error is None
    assert "it has random numbers of its own" in done.current.note


def test_few_alarms_are_only_a_note(machine: Machine) -> None:
    (done,) = compete(machine, ScriptedWorker(machine, "A", 10.0, alarms=1), budget_s=3.0).values()
    assert done.error is None
    assert "the host's clock disagrees with the device's events in" in done.current.note


def time_process(machine: Machine, one: NetworkState, processes: int, first_round: int = 0) -> ProcessTiming:
    """Time the current process of a network on its own."""
    protocol = replace(ROBUST, budget_s=8.0, processes=processes)
    settings = settings_for(machine, protocol, first_round=first_round)
    Rounds([one], anchor_on(machine), frame_source(), settings).run()
    return one.current


def time_next_process(machine: Machine, one: NetworkState, worker: ScriptedWorker, processes: int = 4) -> ProcessTiming:
    """Time one more process of a network, which runs in `worker`."""
    one.start_process(worker)
    return time_process(machine, one, processes, first_round=100)


def test_a_process_has_its_share_of_the_budget(machine: Machine) -> None:
    machine.speed = lambda now: 1.0 + 0.3 * (round(now * 7) % 5)  # so that no interval is narrow
    one = network(ScriptedWorker(machine, "A", 200.0))
    first = time_process(machine, one, processes=4)
    assert 2.0 <= first.spent_s < 4.0
    assert one.error is None
    second = time_next_process(machine, one, ScriptedWorker(machine, "A", 200.0))
    assert 2.0 <= second.spent_s < 4.0
    numbers = [turn.process for turn in first.rounds + second.rounds]
    assert numbers == [0] * len(first.rounds) + [1] * len(second.rounds)
    assert second.rounds[0].number == 100
    assert one.error is None


def test_the_first_call_of_a_process_is_part_of_its_start(machine: Machine) -> None:
    one = network(ScriptedWorker(machine, "A", 100.0))
    first = time_process(machine, one, processes=4)
    begin = machine.now
    # Libraries are loaded: longer than its share.
    machine.speed = lambda now: 30.0 if begin < now < begin + 3.0 else 1.0
    second = time_next_process(machine, one, ScriptedWorker(machine, "A", 100.0))
    assert second.warmup[0][1] > 2000.0
    assert len(second.rounds) >= 0.5 * len(first.rounds)
    assert one.error is None


@dataclass
class SleepsAtFirst(ScriptedWorker):
    """Takes half a minute for its first call, most of it asleep, and works on two cores from then on."""

    woke: float = np.inf

    def time(self, *given: object, **options: object) -> SimpleNamespace:
        reply = super().time(*given, **options)
        if self.calls == 1:
            self.machine.now += 30.0
            reply.wall_s += 30.0
            self.woke = self.machine.now
        return reply

    def cpu_s(self) -> float:
        return 2.0 * max(0.0, self.machine.now - self.woke)


def test_a_long_first_call_allows_no_more_processor_time_later(machine: Machine) -> None:
    one = network(ScriptedWorker(machine, "A", 100.0))
    time_process(machine, one, processes=4)
    time_next_process(machine, one, SleepsAtFirst(machine, "A", 100.0))
    assert "processor time" in one.error.what


@dataclass
class UnexplainedTime(ScriptedWorker):
    """Takes a second more than it reports for its turns until some time; what took it is unknown."""

    until_s: float = np.inf

    def time(self, *given: object, **options: object) -> SimpleNamespace:
        reply = super().time(*given, **options)
        if self.machine.now < self.until_s:
            self.machine.now += 1.0
            reply.wall_s += 1.0
        return reply


def test_unexplained_time_in_few_rounds_is_judged_by_more_of_them(machine: Machine) -> None:
    """The budget is spent after three rounds, in all of which the machine was busy."""
    networks = compete(machine, UnexplainedTime(machine, "A", 50.0, until_s=8.0), budget_s=2.0)
    assert networks["A"].error is None
    assert len(networks["A"].current.rounds) > 6
    assert runtime(networks, "A") == pytest.approx(50.0, rel=0.02)


def test_unexplained_time_in_most_rounds_disqualifies(machine: Machine) -> None:
    one = compete(machine, UnexplainedTime(machine, "A", 50.0), budget_s=2.0)["A"]
    assert "the worker reports" in one.error.what
    # It gets no more than ten seconds to show that something else delayed it, and its last checks come after that.
    assert one.current.spent_s < 14.0


@dataclass
class ForgesAtFirst(ScriptedWorker):
    """Reports a tenth of its time in its first turns."""

    turns: int = 0

    def time(self, *given: object, **options: object) -> SimpleNamespace:
        is_turn = given[4] is not None
        self.reported = 0.1 if is_turn and self.turns > 0 else 1.0
        self.turns -= is_turn
        return super().time(*given, **options)


@pytest.mark.parametrize("forged", [2, 3, 4, 5, 6])
def test_times_that_are_forged_at_first_are_not_the_median(machine: Machine, forged: int) -> None:
    networks = compete(machine, ForgesAtFirst(machine, "A", 100.0, turns=forged), budget_s=0.7)
    assert networks["A"].error is None
    assert len(networks["A"].current.rounds) > 2 * forged
    assert runtime(networks, "A") == pytest.approx(100.0, rel=0.02)


@pytest.mark.parametrize("forged", [7, 100])
def test_times_that_are_forged_in_most_rounds_disqualify(machine: Machine, forged: int) -> None:
    one = compete(machine, ForgesAtFirst(machine, "A", 100.0, turns=forged), budget_s=0.7)["A"]
    assert "the worker reports" in one.error.what
    assert len(one.current.rounds) == 13


def test_another_process_that_makes_another_image_is_disqualified(machine: Machine) -> None:
    one = network(ScriptedWorker(machine, "A", 100.0))
    time_process(machine, one, processes=2)
    assert one.error is None
    time_next_process(machine, one, ScriptedWorker(machine, "A", 100.0, timed=darker, untimed=darker), processes=2)
    assert one.error.kind == "Disqualified"
    assert "another process" in one.error.what


def test_a_cold_first_call_does_not_decide_that_there_is_no_time(machine: Machine) -> None:
    machine.speed = lambda now: 25.0 if now < 1.0 else 1.0  # the first call of all, the anchor's, is over by then
    machine.now = 0.9
    one = network(ScriptedWorker(machine, "A", 100.0))
    settings = settings_for(machine, replace(ROBUST, budget_s=1.0, processes=1))
    Rounds([one], anchor_on(machine, ms=0.1), frame_source(), settings).run()
    assert one.current.warmup[0][1] > 2000.0
    assert len(one.current.rounds) >= 3
    assert one.current.note is None


@pytest.mark.parametrize("heap_has_grown", [False, True])
def test_a_first_call_that_takes_budgets_is_not_the_one_that_counts(machine: Machine, heap_has_grown: bool) -> None:
    machine.speed = lambda now: 1.5 if now < 1.0 else 1.0
    machine.now = 0.9
    worker = ScriptedWorker(machine, "A", 2500.0)
    one = network(worker)
    one.current.heap_has_grown = heap_has_grown
    settings = settings_for(machine, replace(ROBUST, budget_s=1.0, processes=1))
    Rounds([one], anchor_on(machine, ms=0.1), frame_source(), settings).run()
    assert one.error is None
    assert worker.calls == 2
    assert [ms for _, ms in one.current.samples] == [pytest.approx(2500.0, rel=0.05)]


def one_that_is_slow(machine: Machine, worker: ScriptedWorker, **state: object) -> NetworkState:
    one = network(worker, **state)
    settings = settings_for(machine, replace(ROBUST, budget_s=4.0))
    Rounds([one], anchor_on(machine, ms=0.1), frame_source(), settings).run()
    assert one.error is None
    assert len(one.current.warmup) + len(one.current.samples) == worker.calls
    return one


@dataclass
class ColdWorker(ScriptedWorker):
    """Compiles itself in its first call for each size, or whenever the size changes, or takes its first size only."""

    cold_s: float = 0.0
    any_size: bool = True
    forgets: bool = False
    sizes: set[tuple[int, ...]] = field(default_factory=set)

    def _compile(self, frame: np.ndarray) -> float:
        cold_s = 0.0 if frame.shape in self.sizes else self.cold_s
        self.sizes = {frame.shape} if self.forgets else {*self.sizes, frame.shape}
        return cold_s

    def time(self, lr: Sequence[np.ndarray], *args: object, **options: object) -> SimpleNamespace:
        cold_s = self._compile(lr[0])
        self.machine.now += cold_s
        reply = super().time(lr, *args, **options)
        reply.samples_ms[0] += 1e3 * cold_s
        reply.wall_s += cold_s
        return reply

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        if not self.any_size and self.sizes and lr.shape not in self.sizes:
            raise WorkerError("wrong size", stage="time", kind="ValueError")
        self.machine.now += self._compile(lr)
        return super().upscale(lr)


@pytest.mark.parametrize(("ms", "calls"), [(9_900.0, 2), (12_000.0, 1), (60_000.0, 1)])
def test_a_first_call_of_many_seconds_counts_if_it_was_not_cold(machine: Machine, ms: float, calls: int) -> None:
    one = one_that_is_slow(machine, ScriptedWorker(machine, "A", ms))
    assert len(one.current.warmup) + len(one.current.samples) == calls
    assert [ms for _, ms in one.current.samples] == [pytest.approx(ms, rel=0.05)]
    assert one.current.checks.output_checks == (calls == 1)  # compared with a further call, or with the one before it


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("cold_s", [5.0, 20.0, 100.0])
def test_a_cold_first_call_is_not_the_time_of_a_slow_network(machine: Machine, cold_s: float, forgets: bool) -> None:
    one = one_that_is_slow(machine, ColdWorker(machine, "A", 12_000.0, cold_s=cold_s, forgets=forgets))
    assert [ms for _, ms in one.current.samples] == [pytest.approx(12_000.0, rel=0.05)]


def test_a_cold_call_of_a_later_process_may_be_compared_with_further_outputs(machine: Machine) -> None:
    noise = np.random.default_rng(0)

    def noisy(frame: np.ndarray) -> np.ndarray:
        return np.uint8(np.clip(repeat(frame) + (noise.random(repeat(frame).shape) < 0.05), 0, 255))

    worker = ColdWorker(machine, "A", 100.0, timed=noisy, untimed=noisy, cold_s=100.0)
    reference = Upscaled(IMAGES[0], noisy(IMAGES[0]))
    one = network(worker, process=1, processes=2, reference=reference)
    Rounds(
        [one], anchor_on(machine, ms=0.1), frame_source(), settings_for(machine, replace(ROBUST, budget_s=4.0))
    ).run()
    assert one.error is None
    assert "it has random numbers of its own" in one.current.note
    assert np.median([ms for _, ms in one.current.samples]) == pytest.approx(100.0, rel=0.05)


@pytest.mark.parametrize("cold_s", [11.0, 100.0])
def test_a_network_that_compiles_itself_is_timed_as_quick_as_it_is(machine: Machine, cold_s: float) -> None:
    one = one_that_is_slow(machine, ColdWorker(machine, "A", 100.0, cold_s=cold_s))
    assert not one.current.is_slow
    assert len(one.current.samples) > 3
    assert np.median([ms for _, ms in one.current.samples]) == pytest.approx(100.0, rel=0.05)


@pytest.mark.parametrize(("ms", "calls"), [(12_000.0, 2), (60_000.0, 1)])
@pytest.mark.parametrize("way", ["refuses", "is built for its size"])
def test_without_calls_for_a_part_the_second_call_tells(machine: Machine, ms: float, calls: int, way: str) -> None:
    worker = ColdWorker(machine, "A", ms, any_size=way != "refuses")
    one = one_that_is_slow(machine, worker, takes_any_size=way == "refuses")
    assert len(one.current.warmup) + len(one.current.samples) == calls


@pytest.mark.parametrize(("heap_has_grown", "calls"), [(False, 3), (True, 2)])
def test_a_first_call_that_is_no_slower_counts_for_the_warm_up(
    machine: Machine, heap_has_grown: bool, calls: int
) -> None:
    one = network(ScriptedWorker(machine, "A", 100.0))
    one.current.heap_has_grown = heap_has_grown
    settings = settings_for(machine, replace(ROBUST, budget_s=20.0, processes=1))
    Rounds([one], anchor_on(machine, ms=0.1), frame_source(), settings).run()
    assert len(one.current.warmup) == calls


@dataclass
class CheatsAfterItsCheck(ScriptedWorker):
    """Does its work until an output of its was asked for again outside the timing, and less from then on."""

    looked_at: bool = False
    cheated: bool = False

    def __post_init__(self) -> None:
        self.timed = self._timed

    def _timed(self, frame: np.ndarray) -> np.ndarray:
        self.cheated |= self.looked_at
        return darker(frame) if self.looked_at else repeat(frame)

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        self.looked_at = True
        return super().upscale(lr)


def test_a_process_that_cheats_after_its_first_check_is_found_at_its_end(machine: Machine) -> None:
    cheats = 0
    for seed in range(12):
        worker = CheatsAfterItsCheck(machine, "A", 100.0)
        one = network(worker, process=1, processes=3, probed_process=0)
        settings = settings_for(machine, replace(ROBUST, budget_s=24.0, half_width=0.0))
        Rounds([one], anchor_on(machine), frame_source(seed), settings).run()
        cheats += worker.cheated
        assert (one.error is not None) == worker.cheated
    assert cheats > 6


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ({"timed": darker, "untimed": darker}, "another process"),
        ({"honest_calls": 1}, "another process"),
        ({"honest_calls": 3}, "differs from"),
    ],
)
def test_a_later_process_must_make_the_image_of_the_first_at_its_begin_and_at_its_end(
    machine: Machine, worker: dict, reason: str
) -> None:
    source = frame_source()
    frame = source.fresh()
    options = {"process": 1, "processes": 3, "probed_process": 0, "reference": Upscaled(frame, repeat(frame))}
    networks = [
        network(ScriptedWorker(machine, "cheat", 100.0, **worker), **options),
        network(ScriptedWorker(machine, "A", 100.0), **options),
    ]
    settings = settings_for(machine, replace(ROBUST, budget_s=9.0, half_width=0.0))
    Rounds(networks, anchor_on(machine), source, settings).run()
    assert reason in networks[0].error.what
    assert networks[1].error is None
    # The first call is made on that frame, and so is one at the end.
    assert machine.turns.count("A") > len(networks[1].current.rounds)


def test_the_first_process_leaves_an_image_for_those_that_follow(machine: Machine) -> None:
    settings = settings_for(machine, replace(ROBUST, budget_s=9.0, half_width=0.0))
    ranked, unranked = network(ScriptedWorker(machine, "A", 100.0)), network(ScriptedWorker(machine, "B", 100.0))
    unranked.is_ranked = False
    Rounds([ranked, unranked], anchor_on(machine), frame_source(), settings).run()
    assert ranked.processes == unranked.processes == 3
    assert np.array_equal(ranked.reference.image, repeat(ranked.reference.frame))
    assert unranked.reference is None  # it has no further process
    assert ranked.current.checks.outputs.compared is None


@pytest.mark.parametrize(("is_fixed", "share"), [(False, 0.5), (True, 1.0)])
def test_a_network_without_a_rank_gets_half_of_the_budget(machine: Machine, is_fixed: bool, share: float) -> None:
    settings = settings_for(machine, replace(ROBUST, budget_s=30.0, half_width=0.0, fixed_processes=is_fixed))
    ranked, unranked = network(ScriptedWorker(machine, "A", 100.0)), network(ScriptedWorker(machine, "B", 100.0))
    unranked.is_ranked = False
    Rounds([ranked, unranked], anchor_on(machine), frame_source(), settings).run()
    assert unranked.current.spent_s == pytest.approx(share * ranked.current.spent_s, rel=0.2)
    assert len(unranked.current.rounds) == pytest.approx(share * len(ranked.current.rounds), rel=0.2)


@pytest.mark.parametrize(("budget_s", "processes"), [(8.0, 1), (20.0, 2), (48.0, 3)])
def test_a_network_without_a_rank_that_has_one_process_gets_the_whole_budget(
    machine: Machine, budget_s: float, processes: int
) -> None:
    settings = settings_for(machine, replace(ROBUST, budget_s=budget_s, half_width=0.0))
    ranked, unranked = network(ScriptedWorker(machine, "A", 800.0)), network(ScriptedWorker(machine, "B", 800.0))
    unranked.is_ranked = False
    Rounds([ranked, unranked], anchor_on(machine), frame_source(), settings).run()
    assert ranked.processes == unranked.processes == processes
    expected = budget_s / processes, (0.5 if processes > 1 else 1.0) * budget_s / processes  # of each process
    for one, spent_s in zip((ranked, unranked), expected, strict=True):
        assert spent_s <= one.current.spent_s < spent_s + 2.5  # a last turn and its anchors


def test_progress_of_a_process_rises_to_its_end(machine: Machine) -> None:
    heard: list[tuple[str, float]] = []
    networks = [network(ScriptedWorker(machine, name, ms)) for name, ms in (("A", 100.0), ("slow", 60_000.0))]
    settings = settings_for(machine, replace(ROBUST, budget_s=8.0, half_width=0.0, processes=1))

    def hear(one: NetworkState, done: float) -> None:
        heard.append((one.slug, done))

    Rounds(networks, anchor_on(machine), frame_source(), settings, hear).run()
    shares = [done for slug, done in heard if slug == "A"]
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    later = shares[2:]  # the first call is not counted, so that the second begins at 0 again
    assert later == sorted(later)
    assert max(b - a for a, b in pairwise(later)) < 0.2
    assert [done for slug, done in heard if slug == "slow"] == [0.0, 1.0]


def test_failures_are_reported_at_once(machine: Machine) -> None:
    failed: list[tuple[str, int]] = []
    networks = [
        network(ScriptedWorker(machine, "bad", 100.0, fails_after=9)),
        network(ScriptedWorker(machine, "A", 100.0)),
    ]
    settings = settings_for(machine, replace(ROBUST, budget_s=5.0, processes=1))
    rounds = Rounds(
        networks,
        anchor_on(machine),
        frame_source(),
        settings,
        on_failure=lambda one: failed.append((one.slug, len(networks[1].current.rounds))),
    )
    rounds.run()
    assert [slug for slug, _ in failed] == ["bad"]
    assert failed[0][1] < len(networks[1].current.rounds)


def test_turns_have_their_energy_and_the_anchors_turns_have_none_of_it(machine: Machine) -> None:
    one = network(ScriptedWorker(machine, "A", 20.0))
    meter = SimpleNamespace(read=lambda: 50.0 * machine.now)  # 50 W, whoever runs
    settings = settings_for(machine, replace(ROBUST, budget_s=3.0, processes=1), energy=meter)
    Rounds([one], anchor_on(machine), frame_source(), settings).run()
    rounds = one.current.rounds
    assert len(rounds) > 5
    # A call takes about 20 ms, and another millisecond between the calls.
    energies = [turn.energy_j / turn.calls for turn in rounds if turn.energy_j is not None]
    assert len(energies) == len(rounds)
    assert energies == pytest.approx([50.0 * 0.021] * len(rounds), rel=0.03)
