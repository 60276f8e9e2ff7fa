"""The script of measurements on a card: its commands work, its time limits hold, and what ended is kept."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from benchmarks.on_a_card import GPU_TESTS, ROOT, Step, carry_out, main, rehearsal, steps

SLEEPS = ("-c", "import time; print('begun', flush=True); time.sleep(60)")


def test_a_step_that_is_cut_off_keeps_what_it_printed_and_the_others_go_on(tmp_path: Path) -> None:
    writes = ("-c", "import pathlib; pathlib.Path('{out}', 'figures.txt').write_text('1.5 ms'); print('written')")
    planned = [
        Step("slow", (SLEEPS,), 6.0),
        Step("fails", (("-c", "raise SystemExit(3)"),), 30.0),
        Step("writes", (writes,), 30.0),
    ]
    ended = carry_out(planned, tmp_path / "out", 120.0, card=True)
    assert [(one.step, one.status) for one in ended] == [("slow", "cut off"), ("fails", "failed"), ("writes", "done")]
    assert "begun" in (tmp_path / "out/slow.txt").read_text()
    assert ended[1].exit_codes == (3,)
    with tarfile.open(tmp_path / "out/writes.tar.gz") as archive:
        assert archive.extractfile("writes/figures.txt").read() == b"1.5 ms"
    assert [one["status"] for one in json.loads((tmp_path / "out/summary.json").read_text())] == [
        "cut off",
        "failed",
        "done",
    ]


def test_without_a_card_or_time_a_step_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = (("-c", "pass"),)
    planned = [Step("card", quick, 30.0), Step("any", quick, 30.0, needs_card=False)]
    assert [one.status for one in carry_out(planned, tmp_path, 120.0, card=False)] == ["left out", "done"]
    assert "card: left out, needs a card" in capsys.readouterr().out
    assert [one.status for one in carry_out(planned, tmp_path, 1.0, card=True)] == ["left out", "left out"]
    assert "no time is left" in capsys.readouterr().out


@pytest.mark.parametrize("minutes", [3.0, 12.0, 15.0])
def test_all_steps_fit_into_the_time(minutes: float) -> None:
    assert sum(step.limit_s for step in steps(minutes)) <= 60 * minutes + 1e-6


def test_all_tests_that_need_a_card_are_run() -> None:
    marked = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.mark\.gpu\b", file.read_text(encoding="utf-8")) and file != Path(__file__)
    }
    assert marked == set(GPU_TESTS)


def test_a_rehearsal_has_every_step_and_no_option_twice(tmp_path: Path) -> None:
    planned = rehearsal(tmp_path)
    assert [step.name for step in planned] == [step.name for step in steps(12)]
    for step in planned:
        options = [word for word in step.commands[0] if re.fullmatch("--[a-z-]+", word)]
        assert len(options) == len(set(options)), step


def test_the_commands_of_a_rehearsal_work(tmp_path: Path) -> None:
    assert main(["--rehearse", "--only", "x2", "--out", str(tmp_path)]) == 0
    with tarfile.open(tmp_path / "x2.tar.gz") as archive:
        names = archive.getnames()
    assert "x2/x2/results.json" in names


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_whole_rehearsal_works(tmp_path: Path) -> None:
    assert main(["--rehearse", "--out", str(tmp_path)]) == 0
