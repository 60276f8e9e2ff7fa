"""What a report says of odd runs: scores of Y or in logarithms, several data sets or backends, rows without score."""

from itertools import combinations

import pytest

from harness.analysis.compare_runs import compare_runs
from harness.analysis.history import history_grid, model_history
from harness.report import load_run
from harness.report.citation import run_bibtex
from harness.report.columns import columns_of
from harness.report.compare import comparison_text
from harness.report.history import grid_text, history_text
from harness.report.model import ModelContext, model_page
from harness.report.page import leaderboard, summary
from harness.report.pairs import pair_matrix
from harness.report.pixels import crop_links, pieces
from harness.report.rows import pareto_front, scored_rows
from harness.report.runs import summarise_run
from harness.report.verdict import verdict
from harness.results.run_folder import RunFolder
from harness.results.run_info import GateInfo
from harness.results.schema import PairComparison
from harness.results.store import save_table


@pytest.fixture
def altered(fake_run):
    """Return a function that gives the run with other rows, and with other values of its track."""

    def alter(change=lambda position, entry: {}, **track):
        folder = load_run(fake_run)
        entries = [
            entry.model_copy(update=change(position, entry)) for position, entry in enumerate(folder.run.entries)
        ]
        update = {"entries": entries, "track": folder.run.track.model_copy(update=track)}
        return RunFolder(folder.path, folder.run.model_copy(update=update))

    return alter


def without_score(position, entry):
    """Take all scores, and make the fourth row the best in Y."""
    if entry.status != "ok":
        return {}
    best = {"psnr_y": 40.0} if position == 3 else {}
    return {"score": None, "score_ci": None, "rank": None, "rank_range": None, "tied_with": [], **best}


def test_a_track_that_scores_y_names_y_and_orders_by_it(altered):
    folder = altered(without_score, metric="psnr_y")
    facts = {label: (figure, name) for label, figure, name in summary(folder.run, scored_rows(folder))}
    assert facts["Highest PSNR Y"] == ("40.00 dB", folder.run.entries[3].name)
    assert not any("RGB" in label for label in facts)
    assert scored_rows(folder)[0].entry.psnr_y == 40.0
    context = ModelContext(folder, columns_of(folder.run), {})
    source = model_page(context, scored_rows(folder), 1)
    assert "Gains in PSNR Y least on" in source
    assert "Y over bicubic" in source
    assert "PSNR Y dB" in comparison_text(compare_runs(folder, folder))


def test_rows_without_a_score_pass_no_gate(altered):
    gate = GateInfo(figure="psnr_test", least=30.0, text="psnr_test >= 30 dB")

    def some(position, entry):
        return without_score(position, entry) if position > 2 else {"failed_gates": ["x"] if position == 0 else []}

    folder = altered(some, gates=[gate])
    source = leaderboard(folder, scored_rows(folder), [], [])
    assert ": 2 of 3 scored submissions pass." in source


def test_rows_of_further_backends_are_not_counted(altered):
    def doubled(position, entry):
        return {"variant_of": "row-0", "rank": None} if position in (1, 2, 10) else {}

    run = altered(doubled).run
    fastest = next(name for label, _, name in summary(run, scored_rows(altered(doubled))) if label == "Fastest")
    own = [e for e in run.entries if e.kind == "submission" and e.status == "ok" and not e.variant_of]
    assert fastest == min(own, key=lambda entry: entry.runtime_ms.mean).name
    assert f": {len(own)} networks at" in run_bibtex(run)


def test_equal_networks_do_not_beat_one_another(altered):
    base = altered().run.entries[0]

    def twin(position, _entry):
        return {"runtime_ms": base.runtime_ms, "psnr_rgb": 60.0} if position in (1, 5) else {}

    run = altered(twin).run
    front = pareto_front(run)
    assert {id(run.entries[1]), id(run.entries[5])} <= front


def test_whole_images_of_several_data_sets_have_their_figures(altered):
    folder = altered()
    datasets = [folder.run.dataset.model_copy(update={"label": label}) for label in ("test", "val")]
    folder = RunFolder(folder.path, folder.run.model_copy(update={"datasets": datasets}))
    folder.__dict__["per_image"] = {
        slug: {f"test/{image}": measures for image, measures in images.items()}
        for slug, images in load_run(folder.path).per_image.items()
    }
    found = pieces(folder, scored_rows(folder))
    links = crop_links(folder, found)
    assert {name for name in links if name.startswith("test/")} == {f"test/{piece.window.image}" for piece in found}


def logarithmic(shift):
    """Return a change to scores beyond float64, which are all stored as the largest number."""

    def change(position, entry):
        if entry.score is None or entry.kind != "submission":
            return {}
        log = 400.0 - position + shift
        rank = None if entry.rank is None else position + 1
        return {
            "score": 1e300, "score_log10": log, "score_ci": (1e300, 1e300), "score_log10_ci": (log - 1, log + 1),
            "rank": rank, "rank_range": None, "tied_with": [],
        }  # fmt: skip

    return change


def test_scores_beyond_floating_point_are_told_apart_by_their_logarithms(altered, tmp_path):
    before, after = altered(logarithmic(0.0)), altered(logarithmic(0.25))
    assert "leads with a decimal logarithm of the score of 400.250 (95 % interval 399.250 to 401.250)" in "".join(
        letter for letter in verdict(after.run) if letter.isprintable()
    )
    assert ("Best log10 score", "400.250", "LRSRN") in summary(after.run, scored_rows(after))
    change = next(one for one in compare_runs(before, after).changes if one.after.name == "LRSRN")
    assert (change.score.before, change.score.after) == (400.0, 400.25)
    assert "log10 score" in comparison_text(compare_runs(before, after))
    run = after.run
    ranked = [row for row in scored_rows(after) if row.entry.rank is not None]
    assert [row.entry.rank for row in ranked] == sorted(row.entry.rank for row in ranked)
    pairs = [
        {"slugs": (one.entry.slug, other.entry.slug), "difference": 0.0, "ci": None, "p_value": 0.0,
         "corrected_p_value": 0.0}
        for one, other in combinations(ranked, 2)
    ]  # fmt: skip
    matrix = pair_matrix(
        run.model_copy(update={"comparisons": list(map(PairComparison.model_validate, pairs))}), ranked
    )
    for place, (_, cells) in enumerate(matrix.rows):
        expected = ["behind"] * place + ["self"] + ["ahead"] * (len(cells) - place - 1)
        assert [cell.verdict for cell in cells] == expected
    assert {row.places.get("score") for row in ranked} == {None}
    for name, folder in (("2026-05", before), ("2026-06", after)):
        (tmp_path / name).mkdir()
        save_table(tmp_path / name, folder.run)
    assert summarise_run(tmp_path / "2026-06").best == "LRSRN (10^400.25)"
    assert "10^400.250" in grid_text(history_grid(tmp_path))
    text = history_text(model_history(tmp_path, "LRSRN").points)
    assert "log10 score" in text
    assert "400.250" in text
    assert max(map(len, [verdict(after.run), text.splitlines()[1]])) < 600
