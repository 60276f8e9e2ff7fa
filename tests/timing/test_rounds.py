"""Joint timing of scripted workers on a scripted clock: turns, stopping, drift, failures and fouls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import WorkerError
from harness.results.measurement import GpuReading
from harness.statistics.runtime_summary import anchor_level, summarise_record
from harness.timing import ROBUST, AnchorLostError, Contender, FrameSource, Rounds, frame_of_call

IMAGES = [np.random.default_rng(i).integers(0, 256, (32, 48, 3), dtype=np.uint8) for i in range(3)]


def repeat(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


@dataclass
class Machine:
    """A clock that scripted work moves on, and how fast the machine is at the moment."""

    now: float = 0.0
    speed: Callable[[float], float] = lambda _now: 1.0
    turns: list[str] = field(default_factory=list)


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
    calls: int = 0
    last: np.ndarray | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def time(
        self, lr: Sequence[np.ndarray], warmup: int, repeats: int, min_repeats: int, budget_s: float | None, **_: object
    ) -> SimpleNamespace:
        self.machine.turns.append(self.name)
        begin = self.machine.now
        samples, at_s = [], []
        for call in range(repeats):
            if budget_s is not None and call >= min_repeats and self.machine.now - begin >= budget_s:
                break
            self.calls += 1
            if self.calls > self.fails_after:
                raise WorkerError("gone", stage="time", kind="Crash")
            at_s.append(self.machine.now - begin)
            ms = self.ms * self.machine.speed(self.machine.now) * self.rng.normal(1.0, 0.003)
            self.machine.now += ms / 1e3 + 0.001
            samples.append(ms * self.reported)
            self.last = (self.timed if self.calls <= self.honest_calls else darker)(frame_of_call(lr, call))
        wall = self.machine.now - begin
        return SimpleNamespace(
            samples_ms=samples,
            at_s=at_s,
            warmup_ms=[],
            clock="scripted",
            alarms=self.alarms,
            wall_s=wall,
        )

    def output(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        assert self.last is not None
        return self.last[top : top + height, left : left + width].astype(np.float32)

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        self.machine.now += self.ms / 1e3
        return (self.untimed if self.calls <= self.honest_calls else darker)(lr)

    def pause(self) -> None:
        pass

    def cpu_s(self) -> float:
        return self.machine.now * self.cores

    def idle_cores(self, settling_s: float, length_s: float) -> float:
        self.machine.now += settling_s + length_s
        return self.idle


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    one = Machine()
    monkeypatch.setattr("harness.timing.rounds.time.monotonic", lambda: one.now)
    return one


def compete(machine: Machine, *workers: ScriptedWorker, budget_s: float = 20.0, seed: int = 0) -> dict[str, Contender]:
    anchor = Contender("anchor", ScriptedWorker(machine, "anchor", 10.0))
    contenders = [Contender(worker.name, worker) for worker in workers]
    frames = FrameSource(IMAGES, np.random.default_rng(seed))
    Rounds(contenders, anchor, frames, replace(ROBUST, budget_s=budget_s, processes=1), 2, threads=1).run()
    return {contender.name: contender for contender in contenders}


def runtime(contenders: dict[str, Contender], name: str) -> float:
    records = {one: contender.record("s") for one, contender in contenders.items()}
    return summarise_record(records[name], ROBUST.summary_rule, anchor_level(records.values())).median


def test_turns_alternate_and_the_anchor_stands_between(machine: Machine) -> None:
    names = ("A", "B", "C")
    done = compete(machine, *(ScriptedWorker(machine, name, 300.0) for name in names), budget_s=5.0)
    assert all(contender.error is None for contender in done.values())
    turns = [contender for contender in machine.turns if contender != "anchor"]
    rounds = {name: [turn.number for turn in done[name].rounds] for name in names}
    assert rounds["A"] == list(range(len(rounds["A"])))
    tail = turns[-12:]
    assert tail[:6] in (["A", "B", "C", "C", "B", "A"], ["C", "B", "A", "A", "B", "C"])
    late = machine.turns[-12:]
    assert all("anchor" in pair for pair in pairwise(late))


def test_drift_of_the_machine_is_taken_out(machine: Machine) -> None:
    machine.speed = lambda now: 1.0 + now / 30.0
    done = compete(machine, ScriptedWorker(machine, "A", 100.0), ScriptedWorker(machine, "B", 110.0))
    assert runtime(done, "B") / runtime(done, "A") == pytest.approx(1.1, rel=0.01)
    note = summarise_record(done["A"].record("s"), ROBUST.summary_rule).note
    assert "drifted by +" in note


def test_it_stops_when_the_interval_is_narrow(machine: Machine) -> None:
    done = compete(machine, ScriptedWorker(machine, "A", 100.0), budget_s=1000.0)
    summary = summarise_record(done["A"].record("s"), ROBUST.summary_rule)
    assert summary.stable
    assert (summary.ci[1] - summary.ci[0]) / 2 <= 0.005 * summary.median
    assert done["A"].spent_s < 200.0


def test_a_spent_budget_is_said(machine: Machine) -> None:
    done = compete(machine, ScriptedWorker(machine, "A", 1000.0), budget_s=8.0)
    assert 8.0 <= done["A"].spent_s < 12.0
    assert not summarise_record(done["A"].record("s"), ROBUST.summary_rule).stable


def test_a_call_that_outlasts_the_budget_stays_one_call(machine: Machine) -> None:
    slow = ScriptedWorker(machine, "slow", 60_000.0)
    done = compete(machine, slow, ScriptedWorker(machine, "A", 100.0), budget_s=8.0)
    assert slow.calls == 1
    assert len(done["slow"].samples) == 1
    assert "one call" in done["slow"].note
    assert done["slow"].error is None
    assert len(done["A"].rounds) >= 3


def test_short_calls_are_timed_in_bursts_of_unforeseeable_length(machine: Machine) -> None:
    done = compete(machine, ScriptedWorker(machine, "A", 5.0), budget_s=2.0)
    lengths = {turn.calls for turn in done["A"].rounds}
    assert max(lengths) > 5
    assert len(lengths) > 3
    assert sum(turn.calls for turn in done["A"].rounds) == len(done["A"].samples)


def test_a_failure_ends_one_network_alone(machine: Machine) -> None:
    done = compete(
        machine, ScriptedWorker(machine, "bad", 100.0, fails_after=9), ScriptedWorker(machine, "A", 100.0), budget_s=5.0
    )
    assert done["bad"].error.kind == "Crash"
    assert done["A"].error is None
    assert len(done["A"].rounds) > len(done["bad"].rounds)


def test_the_anchor_s_failure_is_not_blamed_on_a_network(machine: Machine) -> None:
    quick, slow = (Contender(name, ScriptedWorker(machine, name, ms)) for name, ms in (("A", 10.0), ("B", 100.0)))
    anchor = Contender("anchor", ScriptedWorker(machine, "anchor", 10.0, fails_after=50))
    protocol = replace(ROBUST, budget_s=2.0, half_width=0.0, processes=1)
    rounds = Rounds([quick, slow], anchor, FrameSource(IMAGES, np.random.default_rng(0)), protocol, 2)
    with pytest.raises(AnchorLostError, match="gone"):
        rounds.run()
    assert (quick.error, slow.error) == (None, None)
    assert not slow.done


def test_warming_up_ends_when_the_later_half_agrees_with_the_earlier(machine: Machine) -> None:
    machine.speed = lambda now: 1.0 + 2.0 * np.exp(-now)
    done = compete(machine, ScriptedWorker(machine, "A", 100.0), budget_s=100.0)
    times = [ms for _, ms in done["A"].warmup]
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
        ({"idle": 0.9}, "busy while it has nothing to do"),
        ({"honest_calls": 3}, "output of its first call differs"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_fouls_are_seen(machine: Machine, worker: dict, reason: str, seed: int) -> None:
    foul = ScriptedWorker(machine, "foul", 400.0, **worker)
    done = compete(machine, foul, ScriptedWorker(machine, "A", 400.0), seed=seed)
    assert done["foul"].error is not None
    assert done["foul"].error.kind == "Disqualified"
    assert reason in str(done["foul"].error)
    assert done["A"].error is None


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
    assert [contender.error for contender in done.values()] == [None, None]


def test_the_fewest_rounds_are_not_waited_for_beyond_twice_the_budget(machine: Machine) -> None:
    (long,) = compete(machine, ScriptedWorker(machine, "long", 11_000.0), budget_s=8.0).values()
    assert (len(long.warmup), len(long.rounds), len(long.samples)) == (2, 1, 1)
    (shorter,) = compete(machine, ScriptedWorker(machine, "shorter", 4_000.0), budget_s=8.0).values()
    assert len(shorter.rounds) == 3


def test_each_call_has_its_own_time(machine: Machine) -> None:
    (done,) = compete(machine, ScriptedWorker(machine, "A", 10.0), budget_s=2.0).values()
    at_s = [at for at, _ in done.samples]
    assert at_s == sorted(at_s)
    assert len(set(at_s)) == len(at_s) > len(done.rounds)


def test_the_card_is_read_after_each_turn(machine: Machine) -> None:
    readings = iter(GpuReading(at_s=n, clock_mhz=1000 + n, temperature_c=50) for n in range(1000))
    contender = Contender("A", ScriptedWorker(machine, "A", 100.0))
    anchor = Contender("anchor", ScriptedWorker(machine, "anchor", 10.0))
    protocol, card = replace(ROBUST, budget_s=4.0, processes=1), SimpleNamespace(read=lambda: next(readings))
    Rounds([contender], anchor, FrameSource(IMAGES, np.random.default_rng(0)), protocol, 2, card=card).run()
    assert [turn.card.clock_mhz for turn in contender.rounds] == [1000 + n for n in range(len(contender.rounds))]


def test_few_alarms_are_a_note_and_no_foul(machine: Machine) -> None:
    (done,) = compete(machine, ScriptedWorker(machine, "A", 10.0, alarms=1), budget_s=3.0).values()
    assert done.error is None
    assert "the host's clock disagrees with the device's events in" in done.note


def time_process(machine: Machine, contender: Contender, processes: int, first: int = 0) -> Contender:
    """Time one process of a network on its own."""
    anchor = Contender("anchor", ScriptedWorker(machine, "anchor", 10.0))
    protocol = replace(ROBUST, budget_s=8.0, processes=processes)
    Rounds(
        [contender], anchor, FrameSource(IMAGES, np.random.default_rng(0)), protocol, 2, threads=1, first=first
    ).run()
    return contender


def test_a_process_has_its_share_of_the_budget(machine: Machine) -> None:
    machine.speed = lambda now: 1.0 + 0.3 * (round(now * 7) % 5)  # so that no interval is narrow
    one = time_process(machine, Contender("A", ScriptedWorker(machine, "A", 200.0)), processes=4)
    assert 2.0 <= one.spent_s < 4.0
    other = time_process(machine, one.another(ScriptedWorker(machine, "A", 200.0)), processes=4, first=100)
    assert 2.0 <= other.spent_s < 4.0
    assert [turn.process for turn in one.rounds + other.rounds] == [0] * len(one.rounds) + [1] * len(other.rounds)
    assert other.rounds[0].number == 100
    assert (one.error, other.error) == (None, None)


def test_the_first_call_of_a_process_is_part_of_its_start(machine: Machine) -> None:
    one = time_process(machine, Contender("A", ScriptedWorker(machine, "A", 100.0)), processes=4)
    begin = machine.now
    # Libraries are loaded: longer than its share.
    machine.speed = lambda now: 30.0 if begin < now < begin + 3.0 else 1.0
    other = time_process(machine, one.another(ScriptedWorker(machine, "A", 100.0)), processes=4, first=100)
    assert other.warmup[0][1] > 2000.0
    assert len(other.rounds) >= 0.5 * len(one.rounds)
    assert other.error is None


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
    one = time_process(machine, Contender("A", ScriptedWorker(machine, "A", 100.0)), processes=4)
    other = time_process(machine, one.another(SleepsAtFirst(machine, "A", 100.0)), processes=4, first=100)
    assert "processor time" in other.error.what


def test_another_process_that_makes_another_image_is_a_foul(machine: Machine) -> None:
    one = time_process(machine, Contender("A", ScriptedWorker(machine, "A", 100.0)), processes=2)
    changed = ScriptedWorker(machine, "A", 100.0, timed=darker, untimed=darker)
    other = time_process(machine, one.another(changed), processes=2, first=100)
    assert other.error.kind == "Disqualified"
    assert "another process" in other.error.what


def test_a_cold_first_call_does_not_decide_that_there_is_no_time(machine: Machine) -> None:
    machine.speed = lambda now: 25.0 if now < 1.0 else 1.0  # the first call of all, the anchor's, is over by then
    machine.now = 0.9
    worker = ScriptedWorker(machine, "A", 100.0)
    anchor = Contender("anchor", ScriptedWorker(machine, "anchor", 0.1))
    contender = Contender("A", worker)
    Rounds(
        [contender],
        anchor,
        FrameSource(IMAGES, np.random.default_rng(0)),
        replace(ROBUST, budget_s=1.0, processes=1),
        2,
        threads=1,
    ).run()
    assert contender.warmup[0][1] > 2000.0
    assert len(contender.rounds) >= 3
    assert contender.note is None


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
        contender = Contender("A", worker, process=1, processes=3, probed=0)
        anchor = Contender("anchor", ScriptedWorker(machine, "anchor", 10.0))
        frames = FrameSource(IMAGES, np.random.default_rng(seed))
        Rounds([contender], anchor, frames, replace(ROBUST, budget_s=24.0, half_width=0.0), 2, threads=1).run()
        cheats += worker.cheated
        assert (contender.error is not None) == worker.cheated
    assert cheats > 6
