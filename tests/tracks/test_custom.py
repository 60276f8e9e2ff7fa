"""Custom tracks in TOML files: what is valid is scored as written, and every mistake is named with its place."""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.tracks import Track, get_track, read_track

WHOLE = """
[track]
name = "mine-x4"
scale = 4
input_size = [256, 320]
metric = "psnr_y"
convention = "matlab"
degradation = "matlab"
protocol = "esr"

[score]
formula = "0.5 * exp(runtime_ms / 10) + 0.5 * exp(params / 1e6)"
lower_is_better = true
logarithmic = true
parts = { time = "exp(runtime_ms / 10)" }
rank_sums = { small = ["params", "macs"] }

[[gates]]
figure = "psnr_test"
least = 26.99
decimals = 2

[[datasets]]
role = "validation"

[[datasets]]
role = "test"
"""


@pytest.fixture
def read(tmp_path: Path):
    def read_text(text: str) -> Track:
        path = tmp_path / "track.toml"
        path.write_text(text)
        return get_track(str(path))

    return read_text


def test_a_whole_file(read) -> None:
    track = read(WHOLE)
    assert (track.name, track.output_shape, track.needs) == ("mine-x4", (1, 3, 1024, 1280), ("runtime_ms", "params"))
    assert track.score(runtime_ms=10.0, params=2e6) == pytest.approx(0.5 * math.e + 0.5 * math.e**2)
    assert not track.higher_is_better
    # 26.985 is printed as 26.98 or 26.99 depending on its binary value; these are clear of it.
    assert track.failed_gates({"psnr_test": 26.9851}) == []
    assert [gate.figure for gate in track.failed_gates({"psnr_test": 26.9849})] == ["psnr_test"]
    assert [gate.figure for gate in track.failed_gates({})] == ["psnr_test"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("runtime_ms / 10)", "runtim_ms / 10)", "Did you mean 'runtime_ms'"),
        ("params / 1e6", "param / 1e6", "Did you mean 'params'"),
        ('"psnr_test"', '"psnr_tset"', "Did you mean 'psnr_test'"),
        ('"psnr_test"', '"psnr_holdout"', "unknown figure 'psnr_holdout'"),
        ('["params", "macs"]', '["params", "mac"]', "Did you mean 'macs'"),
        ("formula =", "formla =", "score.formla is not a key: did you mean 'formula'"),
        ("input_size", "input_sze", "did you mean 'input_size'"),
        ("[score]", "[scores]", "scores is not a key: did you mean 'score'"),
        ("input_size = [256, 320]", "", "track.input_size is missing"),
        ("scale = 4", "scale = 0", "track.scale: .*greater than or equal to 1, not 0"),
        ("scale = 4", 'scale = "four"', "track.scale: .*integer"),
        ('"mine-x4"', '"../x"', "track.name"),
        ("exp(params / 1e6)", "__import__('os')", "not permitted"),
        ("exp(params / 1e6)", "9 // 2", "not permitted"),
        ("[track]", "[track", "is not TOML"),
        ("least = 26.99", 'least = "high"', "gates.0.least"),
        ('role = "test"', 'role = "Test set"', "datasets.1.role"),
        ('"psnr_y"', '"psnr"', "track.metric"),
        ('time = "exp(', 'time = "ex(', "not permitted"),
        ('convention = "matlab"', 'convention = "matlib"', "Did you mean 'matlab'|matlab"),
        ('degradation = "matlab"', 'degradation = "matlib"', "matlab"),
        ("scale = 4", "scale = true", "track.scale: .*integer"),
        ("least = 26.99", "least = nan", "gates.0.least: .*finite number, not nan"),
        ("least = 26.99", "least = true", "gates.0.least: .*number"),
        ('"mine-x4"', '"ntire23-x2"', "'ntire23-x2' is the name of another track"),
        ('"mine-x4"', '"тест"', "track.name"),
        ('protocol = "esr"', "fps_bands = [60, 30]", "track.fps_bands: the limits do not increase"),
        ('protocol = "esr"', "fps_bands = [30, inf]", "track.fps_bands.1: .*finite"),
        ('["params", "macs"]', "[]", "score.rank_sums.small: .*at least 1"),
        ('role = "validation"', 'role = "test"', "two have the role 'test'"),
        ('role = "validation"', 'role = "y"', "'y' is no role"),
        ("{ time =", "{ log10 =", "cannot be called 'log10'"),
        ("{ time =", '{ "a,\\n" =', "score.parts"),
        ("exp(params / 1e6)", "exp(nan)", "uses 'nan'"),
        ("exp(params / 1e6)", "params / 0", "score.formula has no finite value.*Check its constants"),
        ("exp(params / 1e6)", "exp(9 ** 999)", "score.formula has no finite value"),
        ("exp(params / 1e6)", "1if params > 2 else 0", "not an arithmetic expression"),
        ('"exp(runtime_ms / 10)"', '"sqrt(-runtime_ms)"', "score.parts.time has no finite value"),
        ("0.5 * exp(runtime_ms / 10) + 0.5 * exp(params / 1e6)", "2", "uses no figure"),
        ("logarithmic = true", "logarithmic = true\nlogarithmic = true", "is not TOML"),
    ],
)
def test_a_mistake_is_named(read, old: str, new: str, message: str) -> None:
    assert old in WHOLE
    with pytest.raises(UsageError, match=message):
        read(WHOLE.replace(old, new))


def test_a_track_with_a_gate_and_no_data_sets_scores_single_figures(tmp_path: Path) -> None:
    path = tmp_path / "gated.toml"
    path.write_text(
        '[track]\nname = "gated"\nscale = 2\ninput_size = [24, 32]\n[score]\nformula = "psnr / runtime_ms"\n'
        '[[gates]]\nfigure = "psnr"\nleast = 30.0\n'
    )
    done = CliRunner().invoke(app, ["score", "--track", str(path), "--psnr", "32", "--runtime", "4"])
    assert (done.exit_code, done.stdout.strip()) == (0, "8.00")
    assert "ranked: it has psnr >= 30" in done.stderr


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_track(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not TOML"):
        read_track(tmp_path / "binary.toml")


def test_a_formula_that_explodes_is_advised_to_be_logarithmic(read) -> None:
    text = WHOLE.replace("runtime_ms / 10)", "runtime_ms * 1e4)").replace("logarithmic = true", "logarithmic = false")
    with pytest.raises(UsageError, match=r"score.formula has no finite value.*Set logarithmic = true"):
        read(text)


def test_figures_for_which_a_formula_has_no_value_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.toml"
    path.write_text('[track]\nname = "root"\nscale = 2\ninput_size = [24, 32]\n[score]\nformula = "sqrt(psnr - 30)"\n')
    for form in ([], ["--json"]):
        done = CliRunner().invoke(app, ["score", "--track", str(path), "--psnr", "29", *form])
        assert done.exit_code == 2
        assert "the formula of root gives nan" in done.stderr
    done = CliRunner().invoke(app, ["score", "--track", str(path), "--psnr", "34"])
    assert (done.exit_code, done.stdout.strip()) == (0, "2.00")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "track.toml").write_text(WHOLE, encoding="utf-8-sig")
    assert read_track(tmp_path / "track.toml").name == "mine-x4"


def test_check_says_what_no_run_measures(tmp_path: Path) -> None:
    path = tmp_path / "perceptual.toml"
    path.write_text(WHOLE.replace("exp(params / 1e6)", "lpips"))
    done = CliRunner().invoke(app, ["tracks", "check", str(path)])
    assert done.exit_code == 0
    assert "a run does not measure lpips" in done.stdout
