import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import ResultsError
from harness.report import load_run
from harness.report.images import MOST_IMAGES, MOST_ROWS, gains, heat_map
from harness.report.numbers import TIMES
from harness.report.page import build_report
from harness.report.rows import scored_rows
from harness.report.timing_plot import BARS_LEFT, BOTTOM, LEFT, RIGHT, TOP, timing_plot
from harness.results import TimingRecord
from harness.results.measurement import RoundTimes
from harness.results.rounds import kept_turns
from harness.results.run_folder import RunFolder
from harness.statistics.runtime_summary import round_ratios


@pytest.fixture(scope="module")
def built(fake_run):
    build_report(fake_run)
    return fake_run


def test_every_entry_has_a_page_and_the_board_leads_to_it(built):
    entries = load_run(built).run.entries
    board = (built / "leaderboard.html").read_text(encoding="utf-8")
    for entry in entries:
        assert (built / "models" / f"{entry.slug}.html").is_file()
        assert f'href="models/{entry.slug}.html"' in board


def test_a_page_shows_its_evidence(built):
    text = (built / "models" / "row-0.html").read_text(encoding="utf-8")
    for fact in (
        "244 timed calls",
        "4 regions folded",
        "3.1e-07",
        "castle",
        "CVPRW 2023 poster",
        "774",
    ):
        assert fact in text
    assert "12.4 %" in text  # 41,356 of 333,196 parameters are left


def test_a_failed_page_shows_its_log_as_text(built):
    slug = next(entry.slug for entry in load_run(built).run.entries if entry.name.startswith("Import"))
    text = (built / "models" / f"{slug}.html").read_text(encoding="utf-8")
    assert "ImportError: mamba_ssm" in text
    assert "Import &lt;b&gt;bomb&lt;/b&gt;" in text


@pytest.mark.parametrize("slug", ["../evil", "a/b", "..", "", "a\nb"])
def test_a_slug_that_is_no_file_name_writes_nothing(make_run, slug):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"][0]["slug"] = slug
    (run / "results.json").write_text(json.dumps(results))
    (run / "per_image.csv").unlink()  # it has the slug of before
    before = {path for path in run.parent.rglob("*") if path.is_file()}
    build_report(run)
    made = {path for path in run.parent.rglob("*") if path.is_file()} - before
    assert {path.parent for path in made} <= {run, run / "models", run / "assets"}
    assert len([path for path in made if path.parent.name == "models"]) == len(results["entries"]) - 1


def test_pages_are_repeatable(built):
    before = {path: path.read_bytes() for path in (built / "models").iterdir()}
    build_report(built)
    assert {path: path.read_bytes() for path in (built / "models").iterdir()} == before
    assert len(before) == 24


def points(path):
    return [(float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", path)]


def timing(times, turns=(), *, warmup=(), jumps=(), processes=None):
    """Return a record of calls a millisecond apart; `turns` says how many belong to each, `jumps` which are dropped."""
    rounds = [
        RoundTimes(number=at, calls=calls, process=processes[at] if processes else 0,
                   anchor_ms=(1.0, 1.5 if at in jumps else 1.0))
        for at, calls in enumerate(turns)
    ]  # fmt: skip
    samples = [(float(at), float(ms)) for at, ms in enumerate(times)]
    return TimingRecord(clock="clock", warmup=list(warmup), samples=samples, rounds=rounds)


def test_the_trace_draws_every_call_inside_its_frame():
    random = np.random.default_rng(1)
    times = list(10 + random.normal(0, 0.1, 200))
    times[50] = 100.0
    plot = timing_plot(timing(times, warmup=[(0.0, 30.0)]), 10.0, (9.98, 10.02))
    drawn = points(plot.samples)
    assert (len(drawn), plot.clipped, len(points(plot.warmup))) == (199, 1, 1)
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in drawn + points(plot.warmup))
    order = [time for time in times if time < 100]
    heights = [-y for _, y in drawn]
    assert np.argmax(order) == np.argmax(heights) or math.isclose(
        heights[int(np.argmax(order))], max(heights), abs_tol=0.11
    )


def test_the_histogram_counts_every_call():
    times = [10.0] * 30 + [10.5] * 10
    plot = timing_plot(timing(times, [20, 20]), 10.0, (10.0, 10.1))
    widths = [float(width) for width in re.findall(r"h([\d.]+)v", plot.bars)]
    assert sorted(width / max(widths) for width in widths) == pytest.approx([1 / 3, 1.0], abs=0.01)
    assert f"M{BARS_LEFT:.1f}" in plot.bars
    assert (len(points(plot.samples)), len(points(plot.odd))) == (20, 20)


def height(level):
    """Return the milliseconds at a height of a plot that spans 9 to 13 ms with its usual room."""
    low, high = 9 - 0.06 * 4, 13 + 0.06 * 4
    return low + (BOTTOM - level) / (BOTTOM - TOP) * (high - low)


def test_the_line_marks_the_statistic_that_is_scored():
    times = [9.0, 9.0, 9.0, 13.0]
    median, mean = (timing_plot(timing(times), at, (at, at)) for at in (9.0, 10.0))
    assert height(median.level) == pytest.approx(9.0, abs=0.01)
    assert height(mean.level) == pytest.approx(10.0, abs=0.01)


def test_calls_of_rounds_that_do_not_count_are_crossed(built):
    calls = timing([10.0 + at / 10 for at in range(24)], [2] * 12, jumps={1, 3, 5, 7, 9})
    plot = timing_plot(calls, 10.2, (10.1, 10.3))
    assert plot.dropped.count("M") == 10
    assert len(points(plot.samples)) == 12
    assert len(points(plot.odd)) == 2


def test_the_rounds_of_a_trace_are_judged_as_the_statistics_do(make_run):
    run = make_run()
    file = run / "samples" / "row-0.json"
    record = json.loads(file.read_text())
    anchors = [(1.0, 1.0)] * 11 + [(1.0, 1.5)]
    record["samples"] = record["samples"][:24]
    record["rounds"] = [{"number": at, "calls": 2, "anchor_ms": pair} for at, pair in enumerate(anchors)]
    file.write_text(json.dumps(record))
    stored = load_run(run).timing("row-0")
    assert stored == TimingRecord(**{key: record[key] for key in ("clock", "warmup", "samples", "rounds")})
    assert kept_turns(stored) == [True] * 11 + [False]
    assert round_ratios(stored).dropped == 1
    build_report(run)
    assert "crosses: rounds left out" in (run / "models" / "row-0.html").read_text(encoding="utf-8")


def test_other_processes_begin_at_lines():
    turns, times = [2, 2, 3, 1], [10.0 + at / 10 for at in range(8)]
    warmup = [(-1.0, 11.0), (3.5, 30.0)]  # the second is of the second process
    plot = timing_plot(timing(times, turns, warmup=warmup, processes=[0, 0, 1, 2]), 10.2, (10.1, 10.3))
    lines = [float(x) for x in re.findall(r"M([\d.]+) 12.0V214.0", plot.starts)]
    dots = sorted(x for x, _ in points(plot.samples) + points(plot.odd))
    assert [sum(x < line for x in dots) for line in lines] == [4, 7]
    assert len(points(plot.warmup)) == 1
    assert timing_plot(timing(times, turns, warmup=warmup), 10.2, (10.1, 10.3)).starts == ""


def test_no_trace_no_plot():
    assert timing_plot(timing([]), 1.0, (1.0, 1.0)) is None


def test_gains_are_differences_to_bicubic(fake_run):
    folder = load_run(fake_run)
    assert set(gains(folder, "row-16").values()) == {0.0}
    table = folder.per_image
    assert (
        gains(folder, "row-0")["castle"] == table["row-0"]["castle"]["psnr_rgb"] - table["row-16"]["castle"]["psnr_rgb"]
    )


def test_the_map_holds_all_models_but_bicubic(fake_run):
    folder = load_run(fake_run)
    heat = heat_map(folder, scored_rows(folder))
    assert len(heat.rows) == 19
    assert len(heat.images) == 6 <= MOST_IMAGES
    assert {step for _, cells in heat.rows for _, step in cells} <= set(range(7))


def test_a_run_without_images_or_samples_has_pages_without_them(make_run):
    run = make_run()
    (run / "per_image.csv").unlink()
    for path in (run / "samples").iterdir():
        path.unlink()
    board = build_report(run).read_text(encoding="utf-8")
    assert 'id="images"' not in board
    assert "Every call in order" not in (run / "models" / "row-0.html").read_text(encoding="utf-8")


def layer_cells(page):
    """Return the rows of the table of layers as text, unescaped, tags taken off."""
    table = page.split("<caption>Layers")[1].split("</table>")[0].split("<tbody>")[1]
    rows = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)]
    return [[html.unescape(re.sub("<.*?>", "", cell)).replace(TIMES, "x") for cell in row] for row in rows]


def test_the_layers_are_listed_with_their_share(built):
    row = load_run(built).run.entries[0]
    first, second, *_, last = layer_cells((built / "models" / "row-0.html").read_text(encoding="utf-8"))
    assert first[0] == "<script>window.pwned = 1</script>"
    assert first[2] == "3x3stride 2, groups 4"
    assert second[:5] == ["body.1.conv", "Conv2d", "3x3", "32 → 32", "32x1080x1920"]
    assert float(second[6]) == pytest.approx(row.macs / 5e9, abs=1e-4)
    assert second[7] == "25.0"  # one of four that compute
    assert last[0] == "(the network itself)"
    assert last[2] == "3x3not called by itself"
    assert last[6] == ""


def test_long_tables_of_layers_are_folded(built):
    short, long = ((built / "models" / f"row-{at}.html").read_text(encoding="utf-8") for at in (0, 1))
    assert re.search(r'<details class="fold" open><summary>5 layers', short)
    assert re.search(r'<details class="fold"><summary>60 layers', long)
    assert "Layers" not in (built / "models" / "row-5.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        {"samples": "none"},
        {"samples": [[0.0]]},
        {"rounds": [{"number": 0, "calls": 2, "anchor_ms": [1.0, 0.0]}]},
        {"rounds": [{"number": 0, "calls": -2, "anchor_ms": [1.0, 1.0]}]},
        {"rounds": [{"calls": 2}]},
    ],
)
def test_damaged_samples_are_named(make_run, damage):
    run = make_run()
    file = run / "samples" / "row-0.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))
    with pytest.raises(ResultsError, match=r"row-0\.json"):
        build_report(run)


def test_a_row_without_samples_has_no_trace(make_run):
    folder = load_run(make_run())
    assert folder.timing("row-9") is None
    assert folder.timing("../row-0") is None


def test_damaged_layers_are_named(make_run):
    run = make_run()
    (run / "layers" / "row-0.json").write_text("[{]")
    with pytest.raises(ResultsError, match=r"row-0\.json"):
        build_report(run)


def test_the_map_shows_the_images_on_which_its_own_rows_differ(fake_run):
    folder = load_run(fake_run)
    first = scored_rows(folder)[0]
    names = [f"image-{at:02d}" for at in range(MOST_IMAGES + 1)]
    entries, table = [], {"row-16": {name: {"psnr_rgb": 30.0} for name in names}}
    for at in range(MOST_ROWS + 1):
        slug = f"net-{at}"
        entries.append(first.entry.model_copy(update={"slug": slug}))
        # The rows that are shown differ on all images but the first, the row behind them on that image alone.
        gained = [0.0] + [at / 100] * MOST_IMAGES if at < MOST_ROWS else [900.0] + [0.3] * MOST_IMAGES
        table[slug] = {name: {"psnr_rgb": 30.0 + gain} for name, gain in zip(names, gained, strict=True)}
    run = folder.run.model_copy(
        update={"dataset": folder.run.dataset.model_copy(update={"image_names": names}),
                "entries": [*entries, *(entry for entry in folder.run.entries if entry.slug == "row-16")]}
    )  # fmt: skip
    many = RunFolder(folder.path, run)
    many.__dict__["per_image"] = table  # in place of the file
    heat = heat_map(many, [replace(first, entry=entry) for entry in entries])
    assert len(heat.rows) == MOST_ROWS
    assert heat.images == names[1:]
