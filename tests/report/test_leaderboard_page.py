import json
import re
from html.parser import HTMLParser

import pytest

from harness.errors import ResultsError
from harness.report.page import build_report


class Page(HTMLParser):
    """What a browser would see: tags with attributes, text by tag, cells by row."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.rows, self.text, self.scripts, self._open = [], [], {}, [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self._open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "tr":
            self.rows[attributes.get("id", len(self.rows))] = []
        if tag in {"td", "th"} and self.rows:
            self.rows[next(reversed(self.rows))].append("")

    def handle_data(self, data):
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
            return
        self.text.append(data)
        if self.rows and self.rows[next(reversed(self.rows))]:
            self.rows[next(reversed(self.rows))][-1] += data

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def page(page_source):
    return Page(page_source)


def row_of(page, name):
    return next(cells for cells in page.rows.values() if any(cell.strip().startswith(name) for cell in cells[:2]))


def test_every_entry_has_its_row_best_first(page, make_run):
    entries = json.loads((make_run("again") / "results.json").read_text())["entries"]
    ranks = [cells[0].strip() for anchor, cells in page.rows.items() if str(anchor).startswith("m")]
    ranked = sorted((entry for entry in entries if entry.get("rank")), key=lambda entry: entry["rank"])
    ends = [entry["rank_range"] for entry in ranked]
    spans = [str(low) if low == high else f"{low}\N{EN DASH}{high}" for low, high in ends]
    assert [rank.split() for rank in ranks if rank] == [[str(at), span] for at, span in enumerate(spans, 1)]
    assert len(ranks) == sum(entry["status"] == "ok" for entry in entries)
    assert sum(str(anchor).startswith("u") for anchor in page.rows) == 4


def test_a_row_shows_measured_and_published_figures(page):
    words = " ".join(row_of(page, "LRSRN"))
    for figure in (
        "12.85",
        "paper 12.87",
        "30.52",
        "paper 35.02",
        "+1.10",
        "11.28",
        "paper 9.77",
        "89.4",
        "41.36",
        "85.4",
    ):
        assert figure in words
    assert "333.2 → 41.4" in words


def test_rows_without_a_score_say_why_and_show_what_was_measured(page):
    assert {"failed", "load"} <= {cell.strip() for cell in row_of(page, "Import <b>bomb</b>")}
    assert "No module named 'mamba_ssm'" in " ".join(row_of(page, "Import"))
    bare = [cell.strip() for cell in row_of(page, "AGSR")]
    assert bare[-3:] == ["4.44", "6.83", "14.1"]
    assert "no weights for x2" in " ".join(bare)


def test_marks_of_rows(page):
    assert "baseline" in row_of(page, "bicubic")[1]
    assert "reconstructed" in row_of(page, "ALONG")[1]
    assert "≥" in " ".join(row_of(page, "RTSRN"))


def test_header_says_what_was_run(page):
    facts = """NVIDIA GeForce RTX 3090|ntire23: fp16|1920x1080 to 3840x2160|embedded: 6 images|torch 2.13.0
    SSIM Gaussian 11x11
    2026-05-01T21:04:11+02:00|harness run submissions/ --scale 2|sqrt(runtime_ms)"""
    for fact in re.split(r"\||\n\s*", facts):
        assert fact in page.words.replace("\N{MULTIPLICATION SIGN}", "x")


def test_a_run_on_the_cpu_warns(page, make_run):
    assert "Timed on a CPU" not in page.words
    slow = Page(build_report(make_run("cpu", cpu=True)).read_text(encoding="utf-8"))
    assert "Timed on a CPU" in slow.words
    assert "The machine was busy" in slow.words
    assert any(tag == "span" and "one call" in attributes.get("title", "") for tag, attributes in slow.tags)


def test_names_are_text(page):
    assert "<script>window.pwned = 1</script>" in page.words
    assert not any("pwned" in script for script in page.scripts)
    assert not any(attribute.startswith("on") for _, attributes in page.tags for attribute in attributes)
    assert [tag for tag, _ in page.tags].count("img") == 0


def test_a_name_that_may_be_cut_off_is_whole_in_its_title(make_run):
    folder = make_run("long")
    results = json.loads((folder / "results.json").read_text())
    names = [entry["name"] for entry in results["entries"]]
    results["entries"][0]["name"] = long = 'Efficient <"long"> network, version 12'
    (folder / "results.json").write_text(json.dumps(results))
    page = Page(build_report(folder).read_text())
    titles = {attributes.get("title") for _, attributes in page.tags if attributes.get("class") == "name"}
    assert long in titles
    assert not titles & {name for name in names if len(name) < 16}


def test_policy_allows_our_script_alone(page):
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}' 'self' file:;", policy)
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_nothing_is_fetched(page):
    for _, attributes in page.tags:
        for key in ("src", "href", "data", "srcset"):
            assert not re.match(r"(?i)\s*(https?:)?//", attributes.get(key) or "")


def test_ids_are_unique_and_marks_lead_to_rows(page):
    assert len(page.ids) == len(set(page.ids))
    targets = {attributes["data-row"] for _, attributes in page.tags if "data-row" in attributes}
    assert targets
    assert targets <= set(page.ids)


def test_figures_have_text_alternatives_and_themed_colours(page):
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) >= 3
    for drawing in drawings:
        assert set(drawing["aria-labelledby"].split()) <= set(page.ids)
    styles = [
        attributes["style"]
        for tag, attributes in page.tags
        if tag in {"path", "text", "use"} and attributes.get("style")
    ]
    assert not [style for style in styles if re.search(r"#[0-9a-f]{6}", style) and "#000000" not in style]


def test_the_same_results_give_the_same_bytes(make_run):
    run = make_run()
    first = build_report(run).read_bytes()
    assert build_report(run).read_bytes() == first
    assert build_report(make_run("elsewhere")).read_bytes() == first


def test_a_run_without_a_single_score(make_run):
    run = make_run()
    results = json.loads((run / "results.json").read_text())
    results["entries"] = [entry for entry in results["entries"] if entry["status"] != "ok"]
    (run / "results.json").write_text(json.dumps(results))
    assert "Nothing was measured to the end" in Page(build_report(run).read_text(encoding="utf-8")).words


@pytest.mark.parametrize("content", [None, "{", '{"schema_version": 99}'])
def test_unreadable_results_are_named(make_run, content):
    run = make_run()
    (run / "results.json").unlink()
    if content is not None:
        (run / "results.json").write_text(content)
    with pytest.raises(ResultsError):
        build_report(run)


@pytest.mark.parametrize(
    ("spread", "said"),
    [
        (
            {"relative": 0.031, "degrees": 30, "paired_relative": 0.012, "paired_degrees": 28},
            "of their times relative to the anchor network (standard deviation, 30 degrees of freedom), by 1.2 %",
        ),
        (
            {"relative": 0.0, "degrees": 3},
            "by no more than the scatter of their rounds explains.",
        ),
        (None, None),
    ],
)
def test_what_processes_differ_by_is_said_where_it_was_measured(make_run, spread, said):
    folder = make_run("spread")
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**results, "process_spread": spread}))
    words = Page(build_report(folder).read_text()).words
    assert ("Processes that run the same network" in words) == (said is not None)
    assert said is None or said in words
