"""Submissions to a competition: what gets which scores, and that nothing broken gets one."""

import json
import shutil
import zipfile
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_competition import README, write_network
from typer.testing import CliRunner

from harness.cli import app
from harness.codabench import run_bundle
from harness.codabench.bundle import accepted_kinds
from harness.codabench.columns import score_columns, scores_of
from harness.codabench.ingestion import ingest
from harness.codabench.record import FILE_NAME, IMAGES, KEY_FILE, Measured, digests, write_record
from harness.codabench.scoring import score
from harness.errors import ResultsError
from harness.pipeline import FinishedRun, run
from harness.results.schema import Entry
from harness.run.plan import RunRequest
from harness.tracks import get_track


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Return the PSNR of two 8-bit images, dB."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)))


@pytest.fixture(scope="session")
def unpacked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def results(unpacked: Path, tmp_path: Path) -> Path:
    """Return a submission of results: LR images enlarged by Pillow."""
    folder = tmp_path / "results"
    folder.mkdir()
    for path in (unpacked / "input_data" / "data" / "LR_x2").glob("*.png"):
        with Image.open(path) as image:
            image.resize((image.width * 2, image.height * 2), Image.Resampling.LANCZOS).save(folder / path.name)
    (folder / "readme.txt").write_text(README)
    return folder


@pytest.fixture
def judged(unpacked: Path, tmp_path: Path) -> Callable[..., tuple[int, str, Path]]:
    """Return a function that runs both programs of a phase in this process: exit status, page, output of the first."""

    def judge(
        submission: Path, phase: int = 0, change: Callable[[Path], object] | None = None
    ) -> tuple[int, str, Path]:
        work = tmp_path / "app"
        shutil.rmtree(work, ignore_errors=True)
        for name in ("ingestion_program", "scoring_program"):
            shutil.copytree(unpacked / f"{name}_{phase}", work / name)
        (work / "input").mkdir()
        (work / "output").mkdir()
        shutil.copytree(unpacked / "reference_data", work / "input" / "ref")
        ingest(work / "ingestion_program", submission, unpacked / "input_data", work / "input" / "res")
        if change is not None:
            change(work / "input" / "res")
        status = score(work / "scoring_program", work / "input", work / "output")
        assert (status == 0) == (work / "output" / "scores.json").exists()
        return status, (work / "output" / "detailed_results.html").read_text(), work / "input" / "res"

    return judge


@pytest.fixture(scope="session")
def reference(pictures: Path, track_file: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Return an ordinary run of the same network on the same images."""
    folder = tmp_path_factory.mktemp("reference")
    request = RunRequest(
        submissions=(write_network(folder / "network"),), track=str(track_file), dataset=str(pictures),
        out=folder / "run", device="cpu", threads=1, time_budget_s=0.05, processes=1, with_baselines=False,
        save_images=True,
    )  # fmt: skip
    return run(request)


def test_a_network_gets_the_figures_of_a_run(
    bundle: Path, network: Callable[..., Path], reference: FinishedRun, tmp_path: Path
) -> None:
    done = run_bundle(bundle, network(), tmp_path / "out", "Final")
    assert done.scores is not None, done.printed
    assert (done.phase, done.ignored) == ("Final", ())
    assert done.scores == json.loads((tmp_path / "out" / "scores.json").read_text())
    (row,) = reference.run.entries
    for key in ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"):
        assert done.scores[key] == pytest.approx(getattr(row, key), abs=1e-9)
    assert (done.scores["params_k"], done.scores["macs_g"]) == (row.params / 1e3, row.macs / 1e9)
    gain = row.psnr_rgb - reference.run.track.bicubic_psnr
    assert gain > 0
    assert done.scores["score"] == pytest.approx(2**gain * 20 / done.scores["runtime_ms"] ** 0.5, rel=1e-6)
    assert done.scores["measured"] == 1
    page = done.detail.read_text()
    assert "Sharp" in page
    assert f"{row.psnr_rgb:.3f}" in page


def test_results_get_the_stated_runtime(bundle: Path, results: Path, pictures: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "results"), "zip", results)
    answer = CliRunner().invoke(app, ["codabench", "run", str(bundle), packed, "-o", str(tmp_path / "out")])
    assert answer.exit_code == 0, answer.output
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    pairs = [(np.asarray(Image.open(path)), np.asarray(Image.open(results / path.name))) for path in pictures.iterdir()]
    assert scores["psnr_rgb"] == pytest.approx(np.mean([psnr(hr, sr) for hr, sr in pairs]), abs=1e-6)
    assert (scores["runtime_ms"], scores["measured"]) == (4.0, 0.0)
    assert not {"params_k", "macs_g"} & set(scores)
    page = (tmp_path / "out" / "detailed_results.html").read_text()
    assert "It was not measured" in page
    assert "&lt;b&gt;sharp" in page


def lines(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "readme.txt").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "first.png").unlink(), "1 of 2 images"),
        (lambda f: Image.new("RGB", (30, 20)).save(f / "first.png"), "is 30x20"),
        (lambda f: (f / "first.png").write_bytes(b"no picture"), "first"),
        (lambda f: Image.new("L", (64, 48)).save(f / "first.png"), "greyscale"),
        (lambda f: (f / "first.png").rename(f / "third.png"), "there is no HR image of this name"),
        (lambda f: (f / "readme.txt").unlink(), "there is no readme.txt"),
        (lines("nothing"), "runtime per image [s]"),
        (lines("runtime per image [s] : fast"), "which is no number"),
        (lines("runtime per image [s] : 0"), "a runtime of 0 s"),
        (lines("runtime per image [s] : -inf"), "a runtime of -inf s"),
        (lambda f: [path.unlink() for path in f.iterdir()], "neither a network nor an image"),
        (lambda f: (f / "metadata").write_text("command: true"), "must not be in a submission"),
    ],
)
def test_broken_results_get_a_message_and_no_score(
    judged: Callable[..., tuple[int, str, Path]], results: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(results)
    status, page, _ = judged(results)
    assert status == 1
    assert message in page
    assert str(results) not in page


def test_a_network_that_fails_gets_its_reason(
    judged: Callable[..., tuple[int, str, Path]], network: Callable[..., Path]
) -> None:
    status, page, left = judged(network('raise ValueError("out of <ideas>")'))
    assert status == 1
    assert "out of &lt;ideas&gt;" in page
    assert [path.name for path in left.iterdir()] == [FILE_NAME]


def test_the_final_phase_takes_networks_only(judged: Callable[..., tuple[int, str, Path]], results: Path) -> None:
    status, page, _ = judged(results, phase=1)
    assert status == 1
    assert "does not accept results" in page


def test_what_a_participant_forges_is_refused(
    judged: Callable[..., tuple[int, str, Path]], unpacked: Path, reference: FinishedRun, results: Path
) -> None:
    images = reference.folder / "images" / reference.run.entries[0].slug
    key = (unpacked / "ingestion_program_0" / KEY_FILE).read_bytes()

    def leave(left: Path, *, own_key: bool = False, repaint: bool = False) -> None:
        """Leave what the ingestion program leaves, or something that looks like it."""
        shutil.copytree(images, left / IMAGES)
        record = Measured(run=reference.run, images=digests(left / IMAGES))
        write_record(left, record, b"mine" if own_key else key)
        if repaint:
            Image.new("RGB", (64, 48)).save(left / IMAGES / "first.png")

    def outcome(change: Callable[[Path], object] | None, sentence: str) -> tuple[int, bool]:
        status, page, _ = judged(results, change=change)
        return status, sentence in page

    assert outcome(leave, "Sharp") == (0, True)
    assert outcome(partial(leave, repaint=True), "was changed after the network wrote it") == (1, True)
    assert outcome(partial(leave, own_key=True), "was not written by the organisers") == (1, True)
    write_record(results, Measured(), b"mine")  # in a submission it is no image, and is left out
    assert outcome(None, "It was not measured") == (0, True)


def test_no_ground_truth_is_where_networks_run(unpacked: Path) -> None:
    truth = {path.read_bytes() for path in (unpacked / "reference_data").rglob("*.png")}
    open_to_code = [*(unpacked / "input_data").rglob("*"), *(unpacked / "ingestion_program_0").rglob("*")]
    assert not [path for path in open_to_code if path.is_file() and path.read_bytes() in truth]
    told = json.loads((unpacked / "ingestion_program_0" / "settings.json").read_text())
    assert (told["bicubic_psnr"], told["datasets"][0]["bicubic"]) == (None, {})
    (wheel,) = (unpacked / "ingestion_program_0" / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".webp")]


@given(st.floats(allow_nan=False), st.floats(min_value=1e-300, allow_nan=False, allow_infinity=False))
@settings(max_examples=60, deadline=None)
def test_scores_fit_the_database(value: float, log: float) -> None:
    """What is written has at most ten digits before the point and ten after it; anything else is refused."""
    track = get_track("ntire-esr-2024")
    fields = {"score": 1.0, "score_log10": log, "psnr_rgb": value}
    row = Entry.model_construct(**{**Entry(name="x", kind="submission", status="ok").__dict__, **fields})
    try:
        scores = scores_of(row, track, "mean", measured=True)
    except ResultsError:
        assert max(abs(value), log) >= 1e10 or not np.isfinite(value)
        return
    for written in json.loads(json.dumps(scores)).values():
        assert abs(Decimal(repr(written))) < 10**10
        assert round(Decimal(repr(written)), 10) == Decimal(repr(written))


@pytest.mark.parametrize("name", ["ntire23-x2", "ntire-esr-2024", "ais2024-x4"])
def test_columns_fit_the_database_and_rank_by_the_score(name: str) -> None:
    track = get_track(name)
    columns = score_columns(track)
    assert len({column.key for column in columns}) == len(columns)
    assert max(len(text) for column in columns for text in (column.key, column.title)) <= 36
    assert columns[0].key == ("score_log10" if track.logarithmic else "score")
    assert (columns[0].sorting == "desc") == track.higher_is_better
    # ESR scores need parameters and operations, which images do not have.
    assert ("results" in accepted_kinds(track)) == ("esr" not in name)
