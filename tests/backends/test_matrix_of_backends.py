"""Runs with several backends: one row for each network and backend, and which backend each network should use."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run.conftest import REPEAT, images, request_for, submit, submit_sharp, tiny_track  # noqa: F401
from typer.testing import CliRunner

import harness
from harness.analysis.choose import Limits, choose
from harness.cli import app
from harness.engines.inline import InlineEngine
from harness.errors import UsageError
from harness.pipeline import FinishedRun, run
from harness.report.backend_table import backend_table
from harness.report.page import build_report
from harness.report.public_run import public_run
from harness.results.run_folder import RunFolder
from harness.run.options import request_from
from harness.run.plan import RunRequest, make_plan
from harness.statistics.backend_choice import HOLDS_DB
from harness.timing import PROTOCOLS
from harness.tracks import get_track

Request = Callable[..., RunRequest]
Submit = Callable[..., Path]

SHARP = "1.1 * {0}'bicubic') - 0.1 * {0}'bilinear')".format("functional.interpolate(x, scale_factor=2.0, mode=")
# Fails in one memory layout alone, as a network does that reshapes with ``view``.
FUSSY = "x = x.view(x.shape[0], -1).view(x.shape)"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Return a run of three networks on two backends."""
    folder = tmp_path_factory.mktemp("matrix")
    for name, body, more in (("Plain", "pass", ""), ("Fussy", FUSSY, ""), ("Declared", "pass", 'backends = ["eager"]')):
        root = folder / "submissions" / name
        root.mkdir(parents=True)
        (root / "submission.toml").write_text(f'[submission]\nname = "{name}"\nscales = [2]\n{more}\n')
        (root / "arch.py").write_text(REPEAT.format(body=body, output=SHARP))
    rows, columns = np.mgrid[0:48, 0:64]
    wave = np.stack([np.sin(rows / (3 + c)) + np.cos(columns / (4 + c)) for c in range(3)], axis=-1)
    (folder / "images").mkdir()
    Image.fromarray(np.uint8(127 + 60 * wave)).save(folder / "images" / "wave.png")
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.run.plan.track_for_scale", lambda _: small)
        patch.setitem(PROTOCOLS, "robust", replace(PROTOCOLS["robust"], turn_s=0.01, anchor_turn_s=0.005))
        request = RunRequest(
            (folder / "submissions",), dataset=str(folder / "images"), out=folder / "run", threads=1, device="cpu",
            time_budget_s=0.05, only=("Plain", "Fussy", "Declared"), further_backends=("channels_last",),
            memory_bytes=1 << 40,
        )  # fmt: skip
        return run(request, engine=InlineEngine())


def test_a_network_has_a_row_for_each_backend_and_one_rank(finished: FinishedRun) -> None:
    stored = finished.run
    rows = {entry.name: entry for entry in stored.entries if entry.kind == "submission"}
    assert set(rows) == {f"{name}{end}" for name in ("Plain", "Fussy", "Declared") for end in ("", " (channels_last)")}
    assert {entry.slug for entry in rows.values() if entry.rank is not None} == {"Plain", "Fussy", "Declared"}
    variant = rows["Plain (channels_last)"]
    assert (variant.backend, variant.variant_of, variant.status) == ("channels_last", "Plain", "ok")
    assert variant.score is not None
    assert variant.psnr_rgb == pytest.approx(rows["Plain"].psnr_rgb, abs=HOLDS_DB)
    assert (rows["Fussy (channels_last)"].status, rows["Declared (channels_last)"].status) == ("failed", "unsupported")
    assert {entry.backend for entry in stored.entries if entry.kind == "baseline"} == {"eager"}
    assert (stored.protocol.backend, stored.protocol.further_backends) == ("eager", ["channels_last"])


def test_the_table_says_which_backend_to_use_and_why_others_failed(finished: FinishedRun) -> None:
    found = {row.name: row for row in finished.run.backends}
    assert [[cell.backend for cell in row.cells] for row in found.values()] == [["eager", "channels_last"]] * 3
    assert found["Fussy"].use == found["Declared"].use == "eager"
    assert [cell.holds for cell in found["Plain"].cells] == [True, True]
    page = finished.report.read_text()
    table = page[page.index('id="backends"') : page.index('id="unscored"')]
    assert "failed at " in table
    assert "view size is not compatible" in table
    assert "does not run on backend channels_last (runs on eager)" in table
    assert page.index('<dt>Submissions</dt><dd class="figure">3</dd>') > 0
    before = finished.report.read_bytes()
    build_report(finished.folder)
    assert finished.report.read_bytes() == before


def test_the_table_is_exported_and_printed(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(form: str, *more: str) -> str:
        result = CliRunner().invoke(app, ["export", str(finished.folder), "--backends", "--format", form, *more])
        assert result.exit_code == 0 or more, result.output
        return result.output

    records = {(one["model"], one["backend"]): one for one in csv.DictReader(io.StringIO(export("csv")))}
    assert len(records) == 6
    assert records["Fussy", "channels_last"]["error"].split(": ")[1].startswith("view size is not compatible")
    by_slug = {entry.slug: entry for entry in finished.run.entries}
    plain = records["Plain", "channels_last"]
    assert float(plain["runtime_ms"]) == by_slug["Plain-channels_last"].runtime_ms.median
    assert {one["slug"] for one in json.loads(export("json"))} == {one["slug"] for one in records.values()}
    assert "| Model | eager | channels\\_last | Use |" in export("markdown")
    assert r"channels\_last & Use \\" in export("latex")
    fragment = export("html-fragment")
    assert re.findall("<th scope=.col.>(.*?)</th>", fragment) == ["Model", "eager", "channels_last", "Use"]
    assert re.findall("<bdi>(.*?)</bdi>", fragment) == [line.row.name for line in backend_table(finished.run).lines]
    assert "do not belong to --backends" in export("csv", "--ci").replace("\n", " ")
    assert "Did you mean 'markdown'" in export("markdwon", "-o", "x").replace("\n", " ")
    monkeypatch.setattr("harness.pipeline.run", lambda *_: finished)
    printed = CliRunner().invoke(app, ["run", ".", "--sandbox", "none"], env={"COLUMNS": "200"}).stdout
    assert "backends: ms with its 95 % interval" in printed
    chosen = CliRunner().invoke(app, ["choose", str(finished.folder), "--json"])
    assert {row["backend"] for row in json.loads(chosen.stdout)["fitting"]} == {"eager", "channels_last"}
    own, other = by_slug["Plain"], by_slug["Plain-channels_last"]
    slower = max(own, other, key=lambda entry: entry.runtime_ms.median).model_copy(
        update={"psnr_rgb": own.psnr_rgb + HOLDS_DB / 2}  # as far as rounding in another order reaches
    )
    faster = min(own, other, key=lambda entry: entry.runtime_ms.median)
    folder = RunFolder(finished.folder, finished.run.model_copy(update={"entries": [slower, faster]}))
    assert [one.entry for one in choose(folder, Limits()).fitting] == [faster, slower]
    assert harness.load_run(finished.folder).backends == finished.run.backends


def test_an_anonymous_copy_names_no_network_and_keeps_its_rows_together(finished: FinishedRun) -> None:
    hidden, _ = public_run(finished.run, anonymous=True)
    text = hidden.model_dump_json()
    assert not any(name in text for name in ("Plain", "Fussy", "Declared"))
    for before, after in zip(finished.run.backends, hidden.backends, strict=True):
        assert (after.use, after.fastest, len(after.cells)) == (before.use, before.fastest, len(before.cells))
        rows = [next(entry for entry in hidden.entries if entry.slug == cell.slug) for cell in after.cells]
        assert [row.variant_of for row in rows] == ["", after.slug]
        assert [row.name for row in rows] == [after.name, f"{after.name} (channels_last)"]
    assert len({entry.name for entry in hidden.entries}) == len(hidden.entries)


def test_a_run_with_one_backend_is_reused_and_the_other_way_round(
    request_for: Request, submit_sharp: Submit  # noqa: F811
) -> None:  # fmt: skip
    submit_sharp("Plain")
    submit_sharp("Plain-channels_last")  # whose slug a row of the first would have
    every = make_plan(request_for(further_backends=("channels_last",))).submissions
    slugs = [planned.submission.slug for planned in every]
    assert slugs == ["Plain", "Plain-channels_last-2", "Plain-channels_last", "Plain-channels_last-channels_last"]
    both = request_for(further_backends=("channels_last",), only=("Plain",))
    alone = run(replace(both, backend="channels_last", further_backends=()), engine=InlineEngine())
    assert alone.run.backends == []
    known = {entry.fingerprint for entry in alone.run.entries}
    stored = {path.name: path.read_bytes() for path in (alone.folder / "measurements").iterdir()}
    matrix = run(both, engine=InlineEngine()).run
    assert {entry.fingerprint for entry in matrix.entries if entry.variant_of} == known
    assert all((alone.folder / "measurements" / name).read_bytes() == content for name, content in stored.items())
    again = run(replace(both, further_backends=()), engine=InlineEngine()).run
    assert {e.slug: e.runtime_ms for e in again.entries}.items() <= {
        e.slug: e.runtime_ms for e in matrix.entries
    }.items()


@pytest.mark.parametrize(
    "given", [["eager,channels_last", "eager"], "eager, channels_last", ["eager", "channels_last"]]
)
def test_backends_are_named_with_commas_or_as_a_list_and_each_once(given: object) -> None:
    request = request_from({"submissions": ["x"], "backend": given})
    assert (request.backend, request.further_backends) == ("eager", ("channels_last",))
    assert request_from({"submissions": ["x"]}) == RunRequest((Path("x"),))


def test_an_unknown_backend_is_answered_with_the_nearest(
    request_for: Request, submit_sharp: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    submit_sharp("Plain")
    with pytest.raises(UsageError, match="Did you mean 'channels_last'"):
        make_plan(request_for(further_backends=("chanels_last",)))
    with pytest.raises(UsageError, match="--backend cuda-graph captures a CUDA graph, and the device is cpu"):
        make_plan(request_for(further_backends=("cuda-graph",)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harness.toml").write_text('[run]\nbackend = ["eager", "onnxruntime"]\n')
    shown = CliRunner().invoke(app, ["config"]).stdout
    assert "eager, onnxruntime" in shown
    (tmp_path / "harness.toml").write_text('[run]\nbackend = "eager,onxruntime"\n')
    assert "Did you mean 'onnxruntime'" in CliRunner().invoke(app, ["config"]).stderr.replace("\n", "")


@pytest.mark.nightly
def test_a_network_that_onnx_lacks_an_operator_for_keeps_its_other_backends(
    request_for: Request, submit_sharp: Submit  # noqa: F811
) -> None:  # fmt: skip
    submit_sharp("Plain")
    submit_sharp("Odd", "x = torch.special.bessel_j0(x) * 0 + x")
    found = run(request_for(further_backends=("onnxruntime",), protocol=None), engine=InlineEngine()).run
    rows = {row.name: [cell.holds for cell in row.cells] for row in found.backends}
    assert rows == {"Odd": [True, False], "Plain": [True, True]}
    variant = next(entry for entry in found.entries if entry.name == "Plain (onnxruntime)")
    assert variant.build_s is not None
    assert variant.build_s > 0
