"""A stored run by another track's rules: scores are those of the stored figures, and nothing is invented."""

import csv
import io
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness.analysis.rescore import write_rescored
from harness.cli.terminal import leaderboard_table
from harness.data.degradation import Degradation
from harness.errors import UsageError
from harness.quality import get_convention
from harness.report import load_run
from harness.report.exports import export
from harness.report.page import build_report
from harness.results.columns import MEASURES
from harness.results.schema import Run
from harness.tracks import Track, get_track, read_track

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"
RULES = """
[track]
name = "office-x2"
scale = 2
input_size = [{height}, 1920]
metric = "psnr_y"
degradation = "ntire23"
convention = "{convention}"

[score]
formula = "psnr - 0.1 * runtime_ms - params / 1e6"

[[gates]]
figure = "params"
least = 10000
"""


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


@pytest.fixture
def office(tmp_path: Path):
    def make(height: int = 1080, convention: str = "harness") -> Track:
        path = tmp_path / "office.toml"
        path.write_text(RULES.format(height=height, convention=convention))
        return read_track(path)

    return make


def test_scores_follow_from_the_stored_figures(sample: Path, office) -> None:
    before = {entry.slug: entry for entry in load_run(sample).run.entries}
    result = write_rescored(sample, office())
    statistic = result.run.protocol.statistic
    scored = [entry for entry in result.run.entries if entry.score is not None]
    assert result.missing == []
    assert len(scored) > 10
    for entry in scored:
        old = before[entry.slug]
        expected = old.psnr_y - 0.1 * getattr(old.runtime_ms, statistic) - old.params / 1e6
        if old.name != "Bicubic":  # which is scored at the run's reference, equal but for rounding
            assert entry.score == pytest.approx(expected)
        assert (entry.rank is not None) == (old.kind == "submission" and old.params >= 10000)
        assert bool(entry.failed_gates) == (old.params < 10000)
    ranked = sorted((e for e in scored if e.rank), key=lambda e: e.rank)
    assert [e.score for e in ranked] == sorted((e.score for e in ranked), reverse=True)
    assert load_run(sample).run.entries == list(before.values())
    page = build_report(result.folder).read_text()
    assert "params &gt;= 10000" in page
    assert "misses a gate" in page


def test_published_runtimes_have_no_interval_and_no_ties(sample: Path, office) -> None:
    result = write_rescored(sample, office(), published=True)
    stated = {e.slug: e.published.runtime_ms for e in load_run(sample).run.entries if e.published}
    for entry in result.run.entries:
        if entry.score is not None:
            assert entry.runtime_ms.median == stated[entry.slug]
            assert entry.tied_with == []
            assert entry.rank_range is None
    assert any("runtime_ms is not known for" in line for line in result.missing)


def test_published_runtimes_are_not_doubted_as_measured_ones_are(sample: Path, office) -> None:
    assert load_run(sample).run.disturbances
    result = write_rescored(sample, office(), published=True)
    pages = build_report(result.folder).read_text() + (result.folder / "models" / "SESR.html").read_text()
    shown = _printed(result.run) + export(load_run(result.folder), "markdown") + pages
    for words in ("not settle", "not stable", "95 % interval of the", "leave possible"):
        assert words not in shown + "\n".join(result.run.warnings), words
    assert not result.run.disturbances
    assert "leave possible" in _printed(load_run(sample).run)
    for row in csv.DictReader(io.StringIO(export(load_run(result.folder), "csv"))):
        assert (row["runtime_ci_low"], row["runtime_settled"]) == ("", "")


def _printed(run: Run) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(leaderboard_table(run))
    return console.export_text()


def test_what_the_run_did_not_measure_is_missing(sample: Path, office) -> None:
    other_size = write_rescored(sample, office(height=540))
    assert all(entry.score is None for entry in other_size.run.entries)
    assert "540" in other_size.missing[0]
    assert any(line == "runtime_ms is not known for any row" for line in other_size.missing)
    other_convention = write_rescored(sample, office(convention="lrsrn"))
    assert all(entry.score is None for entry in other_convention.run.entries)
    assert any("--convention lrsrn" in line for line in other_convention.missing)


@pytest.mark.parametrize("name", ["mai2022-x3", "ntire-esr-2025", "ntire-mobile-2026"])
def test_the_rules_of_other_challenges_name_what_the_run_lacks(sample: Path, name: str) -> None:
    track = replace(get_track(name), scale=2)
    result = write_rescored(sample, track)
    text = "\n".join(result.missing)
    assert all(entry.score is None for entry in result.run.entries)
    assert "LR of the run: Pillow bicubic, then JPEG quality 90" in text
    assert "the run timed and counted at 1080x1920" in text
    assert ("the run timed by the protocol robust, the track prescribes esr" in text) == (track.protocol == "esr")
    for figure in [*track.needs, *(gate.figure for gate in track.gates)]:
        # Parameters do not depend on the size that is timed, and PSNR has the run's convention for one of the tracks.
        has = figure == "params" or (figure == "psnr" and track.convention == "harness")
        assert (f"{figure} is not known for any row" in text) != has, figure


def test_how_given_lr_images_were_made_is_not_compared(sample: Path) -> None:
    results = sample / "results.json"
    stored = json.loads(results.read_text())
    given = Degradation("given", "LR images as given in LR/X2").description
    stored["dataset"] |= {"degradation": given, "lr": "as given in LR/X2 (a.png with ax2.png)"}
    results.write_text(json.dumps(stored))
    result = write_rescored(sample, replace(get_track("mai2022-x3"), scale=2))
    assert not any(line.startswith("LR of the run") for line in result.missing)


@pytest.fixture
def of_two_conventions(sample: Path) -> Path:
    """The sample as if quality had been measured by the convention `lrsrn` too: each figure is 1 less."""
    stored = json.loads((sample / "results.json").read_text())
    stored["run"]["further_conventions"] = {"lrsrn": get_convention("lrsrn").sentence}
    for entry in stored["entries"]:
        if entry["psnr_y"] is not None:
            entry["conventions"] = {"lrsrn": {name: entry[name] - 1 for name in MEASURES}}
    (sample / "results.json").write_text(json.dumps(stored))
    with (sample / "per_image.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with (sample / "per_image.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0], *(f"{name}_lrsrn" for name in MEASURES)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {f"{name}_lrsrn": float(row[name]) - 1 for name in MEASURES} for row in rows)
    return sample


def test_all_figures_of_a_table_have_the_convention_that_it_states(of_two_conventions: Path, office) -> None:
    before = load_run(of_two_conventions).run
    result = write_rescored(of_two_conventions, office(convention="lrsrn"))
    after = load_run(result.folder)
    assert after.run.run.convention == get_convention("lrsrn").sentence
    assert after.run.run.further_conventions == {"harness": before.run.convention}
    rows = {entry.slug: entry for entry in after.run.entries}
    measured = [(entry, rows[entry.slug]) for entry in before.entries if entry.psnr_y]
    assert len(measured) > 10
    for old, new in measured:
        images = after.per_image[new.slug].values()
        for name in MEASURES:
            assert getattr(new, name) == pytest.approx(getattr(old, name) - 1)
            assert getattr(new.conventions["harness"], name) == getattr(old, name)
            # Both tables of the folder agree.
            assert np.mean([one[name] for one in images]) == pytest.approx(getattr(new, name))
            assert np.mean([one[f"{name}_harness"] for one in images]) == pytest.approx(getattr(old, name))
    # Pairs are compared, since the images have figures by the convention.
    ranked = [entry for entry in after.run.entries if entry.rank]
    assert len(after.run.comparisons) == len(ranked) * (len(ranked) - 1) / 2
    # By the convention of the run again, the figures are those of the run.
    again = load_run(write_rescored(result.folder, office()).folder)
    assert again.run.run.convention == before.run.convention
    assert again.per_image == load_run(of_two_conventions).per_image
    assert {e.slug: e.psnr_y for e in again.run.entries} == {e.slug: e.psnr_y for e in before.entries}


def test_figures_of_the_timed_frame_are_left_out_for_a_frame_of_another_size(sample: Path, office) -> None:
    stored = json.loads((sample / "results.json").read_text())
    for entry in stored["entries"]:
        if entry["runtime_ms"]:
            entry["energy"] = {"joules": 3.5, "ci": [3.4, 3.6], "turns": 20}
    (sample / "results.json").write_text(json.dumps(stored))
    assert any(entry.energy for entry in write_rescored(sample, office()).run.entries)
    for entry in write_rescored(sample, office(height=540)).run.entries:
        assert (entry.macs, entry.macs_ntire23, entry.energy, entry.peak_memory_bytes) == (None, None, None, None)


def test_a_reference_that_is_not_known_is_not_invented(sample: Path, office) -> None:
    result = write_rescored(sample, office(convention="lrsrn"))
    assert result.run.track.bicubic_source == "unknown"
    page = build_report(result.folder).read_text()
    assert "PSNR of bicubic unknown" in page
    assert "bicubic = 0.000 dB" not in page


def test_a_formula_without_a_value_for_rows_is_reported(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "root.toml"
    path.write_text(
        '[track]\nname = "root-x2"\nscale = 2\ninput_size = [1080, 1920]\ndegradation = "ntire23"\n'
        '[score]\nformula = "sqrt(psnr - 30)"\n'
    )
    result = write_rescored(sample, read_track(path))
    for entry in result.run.entries:
        if entry.status == "ok":
            expected = None if entry.psnr_rgb < 30 else pytest.approx(math.sqrt(entry.psnr_rgb - 30))
            assert entry.score == expected
    (line,) = result.missing
    assert "Bicubic" in line
    assert line.endswith("no score: the formula of root-x2 gives nan for these figures")


def test_another_scale_is_refused(sample: Path) -> None:
    with pytest.raises(UsageError, match="of scale 2, track ntire-esr-2025 of scale 4"):
        write_rescored(sample, get_track("ntire-esr-2025"))


def test_exploding_scores_are_ranked_by_their_logarithms(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "explode.toml"
    text = RULES.format(height=1080, convention="harness").replace(
        'formula = "psnr - 0.1 * runtime_ms - params / 1e6"',
        'formula = "0.7 * exp(5 * runtime_ms) + 0.3 * exp(params / 1e5)"\nlower_is_better = true\nlogarithmic = true',
    )
    path.write_text(text)
    run = write_rescored(sample, read_track(path)).run
    ranked = sorted((entry for entry in run.entries if entry.rank), key=lambda entry: entry.rank)
    times = [entry.runtime_ms.median for entry in ranked]
    assert times == sorted(times)
    for entry in ranked:
        # The second term is at most 1e4: it adds nothing to the digits of the first.
        expected = (5 * getattr(entry.runtime_ms, run.protocol.statistic) + math.log(0.7)) / math.log(10)
        assert entry.score_log10 == pytest.approx(expected)
        assert entry.score == pytest.approx(min(1e300, 10 ** min(expected, 300)))
        # As wide as the interval of the time through the first term, though its ends are numbers beyond float64.
        low, high = entry.score_log10_ci
        assert low < entry.score_log10 < high
        assert high - low == pytest.approx(
            5 * (entry.runtime_ms.ci[1] - entry.runtime_ms.ci[0]) / math.log(10), rel=0.1
        )
    # What the first track left in the rows does not order them by another one.
    again = write_rescored(sample / "rescored-office-x2", get_track("ntire23-x2")).run
    assert all(entry.score_log10 is None and entry.score_log10_ci is None for entry in again.entries)
    order = [entry.score for entry in sorted((e for e in again.entries if e.rank), key=lambda entry: entry.rank)]
    assert order == sorted(order, reverse=True)
    slowest, fastest = ranked[-1], ranked[0]
    assert slowest.score == fastest.score == pytest.approx(1e300) or slowest.score > fastest.score
    pair = next(p for p in run.comparisons if set(p.slugs) == {slowest.slug, fastest.slug})
    assert pair.corrected_p_value < 0.05
