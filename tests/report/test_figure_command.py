import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.many_values import repeat_options
from harness.errors import UsageError
from harness.report import load_run
from harness.report.drawing import any_letters
from harness.report.figure_file import inches, write_figure
from harness.report.quantities import quantity
from harness.report.rows import scored_rows
from harness.report.scatter import ScatterStyle, scatter


@pytest.fixture(scope="module")
def folder(fake_run):
    return load_run(fake_run)


@pytest.fixture(scope="module")
def small(folder):
    return scatter(folder, "runtime", "psnr_y", ScatterStyle(3.3, 2.5, highlight=["LRSRN"]))


@pytest.fixture
def call():
    def run(*words):
        return CliRunner().invoke(app, ["figure", *map(str, words)], env={"COLUMNS": "300"})

    return run


def marks(figure):
    lines = [line for line in figure.axes[0].lines if str(line.get_gid()).startswith("mark-")]
    return {line.get_gid().removeprefix("mark-"): tuple(line.get_xydata()[0]) for line in lines}


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


@pytest.mark.parametrize("x", ["runtime", "runtime_ms_p95", "fps", "params"])
def test_marks_stand_where_the_data_frame_says(folder, x):
    drawn = marks(scatter(folder, x, "psnr_y").figure)
    column = {"runtime": f"runtime_ms_{folder.run.protocol.statistic}", "params": "params"}.get(x, x)
    frame = folder.to_frame().set_index("slug")
    assert len(drawn) >= 16
    for row in scored_rows(folder):
        if row.anchor in drawn:
            scale = 1e3 if x == "params" else 1
            value = frame[column][row.entry.slug] / scale, frame["psnr_y"][row.entry.slug]
            assert drawn[row.anchor] == pytest.approx(value)


def test_the_front_joins_what_none_surpasses(folder, small):
    points = {row.entry.slug: (row.runtime, row.entry.psnr_y) for row in scored_rows(folder) if not row.baseline}
    others = {one: [other for other in points.values() if other != one] for one in points.values()}
    front = {one for one in others if not any(x <= one[0] and y >= one[1] for x, y in others[one])}
    steps = [line for line in small.figure.axes[0].lines if line.get_drawstyle().startswith("steps")]
    assert {tuple(point) for point in steps[0].get_xydata()} == front
    assert not [
        line
        for line in scatter(folder, "runtime_ms_p95", "psnr_y").figure.axes[0].lines
        if line.get_drawstyle().startswith("steps")
    ]


def test_intervals_of_times_are_bars(folder, small):
    bars = [
        line.get_xydata() for line in small.figure.axes[0].lines if line.get_zorder() == 3 and len(line.get_xdata())
    ]
    ends = {tuple(bar[:, 0]) for bar in bars}
    assert {entry.runtime_ms.ci for entry in folder.run.entries if entry.status == "ok"} <= ends


def test_names_do_not_cover_one_another(small):
    figure = small.figure
    names = [text for text in figure.axes[0].texts if text.get_text()]
    with any_letters():
        figure.draw_without_rendering()
        boxes = [text.get_window_extent().shrunk(0.95, 0.8) for text in names]
    assert len(boxes) >= 10
    assert not [(a, b) for at, a in enumerate(boxes) for b in boxes[:at] if a.overlaps(b)]
    frame = figure.bbox
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)


def test_caveats_are_in_the_figure(make_run):
    run = make_run(cpu=True)
    results = json.loads((run / "results.json").read_text())
    results["disturbances"] = [{"kind": "load", "text": "Others used 79 % of the cores.", "advice": "Wait."}]
    (run / "results.json").write_text(json.dumps(results))
    shown = texts(scatter(load_run(run), "runtime", "macs", ScatterStyle(6, 5)).figure)
    assert any(text.startswith("IMDN") and text.endswith("†") for text in shown)
    for part in ("† time not settled", "triangles: lower bounds", "‡ reconstructed", "disturbed"):
        assert [text for text in shown if part in text], part


def test_highlighted_rows_are_named_and_marked(small):
    figure = small.figure
    (bold,) = [text for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    assert bold.get_text() == "LRSRN"
    assert [line.get_marker() for line in figure.axes[0].lines].count("D") == 1


def test_a_logarithmic_axis_names_what_it_leaves_out(folder):
    drawn = scatter(folder, "params", "psnr_y")
    assert drawn.figure.axes[0].get_xscale() == "log"
    assert any("bicubic" in remark and "logarithmic" in remark for remark in drawn.remarks)
    linear = scatter(folder, "params", "psnr_y", ScatterStyle(log_x=False))
    assert len(marks(linear.figure)) == len(marks(drawn.figure)) + 4
    assert scatter(folder, "runtime", "psnr_y", ScatterStyle(log_y=True)).figure.axes[0].get_yscale() == "log"


def test_files_have_the_size_asked_for_with_their_fonts_and_the_same_bytes_again(small, folder, tmp_path):
    again = scatter(folder, "runtime", "psnr_y", ScatterStyle(3.3, 2.5, highlight=["LRSRN"]))
    for kind in ("pdf", "svg", "png"):
        write_figure(small.figure, tmp_path / f"a.{kind}")
        write_figure(again.figure, tmp_path / f"b.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    pdf, svg = (tmp_path / "a.pdf").read_bytes(), (tmp_path / "a.svg").read_text()
    assert [float(n) for n in re.search(rb"/MediaBox \[([^]]*)\]", pdf)[1].split()[2:]] == pytest.approx([237.6, 180])
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert re.search(r'<svg[^>]* width="237.6pt"', svg)
    assert re.search(r"<text[^>]*>LRSRN<", svg)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (990, 750)


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_letters_without_a_glyph_are_named(fake_run, call, tmp_path, kind):
    copy = Path(shutil.copytree(fake_run, tmp_path / "run"))
    stored = json.loads((copy / "results.json").read_text())
    stored["entries"][0]["name"] = "\u7f51\u7f51 \u5b66 N\u00e9t"
    (copy / "results.json").write_text(json.dumps(stored))
    result = call(copy, "--x", "runtime", "--y", "psnr_y", "-o", tmp_path / f"a.{kind}")
    assert result.exit_code == 0, result.output
    missing = [] if kind == "svg" else ["\u5b66\u7f51\U0001f680"]  # the last one is in the name of another model
    assert re.findall("no glyphs for (.*?):", result.output) == missing


def test_lengths_in_all_units_are_the_same():
    lengths = [inches(text, "--width") for text in ("2in", "5.08cm", "50.8mm", "144.54pt", " 2 IN ")]
    assert lengths == pytest.approx([2.0] * 5)


@pytest.mark.parametrize("text", ["0in", "3", "-3in", "3em", "41in", "nan in", "1e9cm", "", "0.5in"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(UsageError, match="--width"):
        inches(text, "--width")


def test_words_after_an_option_belong_to_it():
    given = "RUN --models A B --x fps --models C -o f.pdf --highlight D E".split()
    expected = "RUN --models A --models B --x fps --models C -o f.pdf --highlight D --highlight E".split()
    assert repeat_options(given, ("--models", "--highlight")) == expected


@pytest.mark.parametrize("begin", ["--models=A", "--models A"])
def test_a_value_may_follow_an_equals_sign(begin):
    words = repeat_options(["RUN", *begin.split(), "B", "--x=fps", "-o", "f.pdf"], ("--models",))
    assert [word for part in words for word in part.split("=")] == "RUN --models A --models B --x fps -o f.pdf".split()


def test_the_command_draws_some_models(call, fake_run, tmp_path):
    target = tmp_path / "new" / "figure.svg"
    done = call(fake_run, "--models", "LRSRN", "IMDN", "bicubic", "-o", target, "--height", "60mm")
    assert done.exit_code == 0, done.output
    shown = target.read_text()
    assert all(f">{name}<" in shown for name in ("LRSRN", "IMDN", "bicubic"))
    assert ">FSRCNN<" not in shown


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--x", "runtme"], "did you mean 'runtime'"),
        (["--x", "energy_j"], "there is no column 'energy_j'"),
        (["--y", "published_psnr_val", "--x", "precision_drop_db", "--log-x"], "no row has both"),
        (["--highlight", "LRSNR"], "did you mean 'LRSRN'"),
        (["--highlight", "Slumber"], "no answer within 600 s"),
        (["--models", "IMDN", "--highlight", "LRSRN"], "has not both"),
        (["-o", "figure.gif"], "choose one of: pdf, svg, png"),
        (["-o", "figure"], "no suffix"),
        (["--width", "0in"], "--width"),
        (["--height", "3"], "is not a length"),
        (["--width", "1in"], "too small"),
    ],
)
def test_what_is_odd_is_bad_usage(call, fake_run, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    done = call(fake_run, *words)
    assert done.exit_code == 2, done.output
    assert part.lower() in " ".join(done.output.split()).lower()
    assert list(tmp_path.iterdir()) == []


def test_a_column_without_values_is_named(folder):
    empty = [entry.model_copy(update={"psnr_y": None}) for entry in folder.run.entries]
    bare = type(folder)(folder.path, folder.run.model_copy(update={"entries": empty}))
    with pytest.raises(UsageError, match="no row of the run has a value of 'psnr_y'"):
        quantity(bare, "psnr_y")
