"""A published site has the pages and downloads of runs, and nothing of the organiser's machine."""

import csv
import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.report import load_run
from harness.report.public_run import public_run, without_paths
from harness.report.publish import publish, write_feedback

SECRET = "/home/organiser/secret place"


def tell_tale(folder):
    """Put paths and logs where a run may have them."""
    results = json.loads((folder / "results.json").read_text())
    results["run"]["command"] = "harness run /home/organiser/inbox --out /srv/runs/2026 --scale 2"
    results["dataset"]["lr"] = "the folder /home/organiser/data/LR_bicubic"
    results["warnings"] = ["LRSRN: /home/organiser/inbox/lrsrn/arch.py is odd"]
    failed = next(entry for entry in results["entries"] if entry["status"] == "failed")
    failed["error"]["message"] = "No file /home/organiser/inbox/x/weights.pt"
    failed["error"]["log"] = 'File "/home/organiser/inbox/x/arch.py", line 3'
    (folder / "results.json").write_text(json.dumps(results))
    layers = json.loads((folder / "layers" / "row-1.json").read_text())
    layers[1]["type"], layers[1]["name"] = "LRSRNBlock", "lrsrn.0"
    (folder / "layers" / "row-1.json").write_text(json.dumps(layers))
    (folder / "logs").mkdir()
    (folder / "logs" / f"{failed['slug']}.log").write_text("loading\n/home/organiser/inbox/x\nthe last line\n")
    (folder / "measurements").mkdir()
    (folder / "measurements" / "one.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location("made_up", Path(__file__).parent / "conftest.py")
    made_up = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made_up)
    root = tmp_path_factory.mktemp("published")
    return [tell_tale(made_up.write_fake_run(root / name)) for name in ("x2", "x3")]


@pytest.fixture(scope="module")
def site(runs, tmp_path_factory):
    return publish(runs, tmp_path_factory.mktemp("site") / "public").parent


def texts(folder):
    return {
        path.relative_to(folder): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.suffix in {".html", ".json", ".csv"}
    }


def test_the_site_has_pages_and_downloads_and_no_logs(site):
    files = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    for name in ("x2", "x3"):
        for file in ("leaderboard.html", "pixels.html", "results.json", "leaderboard.csv", "per_image.csv"):
            assert f"{name}/{file}" in files
        assert f"{name}/models/row-0.html" in files
    assert not any(part in path for path in files for part in ("logs/", "measurements/", "samples/", ".log"))
    index = (site / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'href="([^"#]+)"', index)) <= files


def test_no_path_of_this_machine_is_in_it(site):
    for path, text in texts(site).items():
        assert "organiser" not in text, path
        assert not re.search(r"[\"' >]/(home|srv|tmp|root)/", text), path
    assert "last line" not in "".join(texts(site).values())
    assert "weights.pt" in (site / "x2" / "leaderboard.html").read_text(encoding="utf-8")


def test_every_link_of_the_site_leads_to_a_file(site):
    for page in site.rglob("*.html"):
        for address in re.findall(r'(?:href|src)="([^"#]+)', page.read_text(encoding="utf-8")):
            if not address.startswith("https://"):
                assert (page.parent / address).exists(), (page, address)


def test_an_anonymous_site_names_nobody(runs, tmp_path):
    folder = publish(runs[:1], tmp_path / "site", anonymous=True).parent / "x2"
    names = [entry.name for entry in load_run(runs[0]).run.entries if entry.kind == "submission"]
    run = load_run(folder).run
    assert [e.name for e in run.entries if e.kind == "submission"] == [f"Submission {n}" for n in range(1, 21)]
    pages = "".join(text for path, text in texts(folder).items() if path.suffix != ".js")
    for name in ("LRSRN", "RT4KSR", "IMDN", "Aselsan", "DoYouChargeQQCoin", "333_196"):
        assert name not in pages
    assert "lrsrn" not in pages.casefold()
    assert "Submission 1Block" in pages  # a class of another row's layers
    assert len(names) == 20
    slugs = {row["slug"] for row in csv.DictReader((folder / "per_image.csv").read_text().splitlines())}
    assert slugs <= {entry.slug for entry in run.entries}
    assert {slug for entry in run.entries for slug in entry.tied_with} <= {entry.slug for entry in run.entries}
    assert list((folder / "crops").glob("*/models/submission-1.webp"))


def test_feedback_goes_to_each_team(runs, tmp_path):
    teams = write_feedback(runs[:1], tmp_path)
    assert len({path.name for path in teams}) == len(teams)
    strangers = (tmp_path / "Strangers" / "x2-row-20.md").read_text()
    assert "failed at the step `load`: ImportError" in strangers
    assert "harness check" in strangers
    assert "the last line" in strangers
    scored = (tmp_path / "z6" / "x2-row-0.md").read_text()
    assert "| score | 12.85" in scored
    assert json.loads((tmp_path / "z6" / "x2-row-0.json").read_text())["name"] == "LRSRN"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see /a/b/c.py, line 3", "see c.py, line 3"),
        (r"C:\Users\me\run and D:/x/y", "run and y"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("2 / (0.1 * x) GMAC/s and Set5/baby", "2 / (0.1 * x) GMAC/s and Set5/baby"),
        ("--out=/srv/runs/x2 ~/data", "--out=x2 data"),
    ],
)
def test_paths_are_shortened_and_addresses_are_not(text, left):
    assert without_paths(text) == left


def test_a_public_run_is_stable(fake_run):
    run = load_run(fake_run).run
    once, _ = public_run(run)
    assert public_run(once)[0] == once
    assert [entry.score for entry in once.entries] == [entry.score for entry in run.entries]


def test_the_command_and_its_mistakes(runs, tmp_path):
    done = CliRunner().invoke(app, ["publish", str(runs[0]), "--out", str(tmp_path / "site"), "--feedback"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "site-feedback" / "z6").is_dir()
    with pytest.raises(UsageError, match="of the name"):
        publish([runs[0], runs[0]], tmp_path / "site")
    with pytest.raises(UsageError, match="inside a run"):
        publish([runs[0]], runs[0] / "site")


def test_nothing_but_a_published_run_is_replaced(runs, tmp_path):
    reports = tmp_path / "reports"
    shutil.copytree(runs[0], reports / "x2")
    (reports / "x2" / ".lock").touch()
    before = contents(reports)
    with pytest.raises(UsageError, match=r"no published run.*it holds layers") as refused:  # the run itself
        publish([reports / "x2"], reports)
    assert "--out" in str(refused.value)
    assert contents(reports) == before
    (tmp_path / "site" / "x2").mkdir(parents=True)
    (tmp_path / "site" / "x2" / "thesis.tex").write_text("the only copy")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "x2").symlink_to(reports / "x2")
    for site in ("site", "linked"):
        with pytest.raises(UsageError, match="no published run"):
            publish([reports / "x2"], tmp_path / site)
    assert (tmp_path / "site" / "x2" / "thesis.tex").read_text() == "the only copy"
    assert not (tmp_path / "site" / "index.html").exists()
    publish([reports / "x2"], tmp_path / "new")
    (tmp_path / "new" / "x2" / "models" / "old-row.html").write_text("of a row that is gone")
    publish([reports / "x2"], tmp_path / "new")
    assert not (tmp_path / "new" / "x2" / "models" / "old-row.html").exists()
    assert contents(reports) == before


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
