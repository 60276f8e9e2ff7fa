"""What an anonymous copy of a run says instead of names: nobody is named, and no other word is replaced."""

import pytest

from harness.report import load_run
from harness.report.public_run import public_run
from harness.results.schema import Entry

ROWS = [  # name, team, slug
    ("a", "time", "a"),
    ("LRSRN", "Deep Seers", "LRSRN"),
    ("LRSRN-tiny", "Deep Seers", "LRSRN-tiny"),
    ("2", "", "2"),
    ("Straße", "Frame", "Strasse"),
    ("Bicubic++", "Zoë & Co", "Bicubic"),
]


@pytest.fixture
def hidden(fake_run):
    """Return a function that gives the texts of a run as an anonymous copy has them."""

    def hide(*texts, **figures):
        run = load_run(fake_run).run
        names = [
            entry.model_copy(update={"name": name, "team": team, "slug": slug, "tied_with": []})
            for entry, (name, team, slug) in zip(run.entries, ROWS, strict=False)
        ]
        names[1] = Entry.model_validate({**names[1].model_dump(), **figures})
        run = run.model_copy(update={"entries": names, "comparisons": [], "warnings": list(texts)})
        copy, _ = public_run(run, anonymous=True)
        return copy if figures else copy.warnings

    return hide


@pytest.mark.parametrize(
    "text",
    [
        "Other programs used 80% of the processor at a time: times of all 2 networks are doubtful.",
        "The frames per second of a frame, a bicubic one, hold at any time.",
        "a plug-in failed: x2 of 12 timed frames, 2.5 ms; another time",
    ],
)
def test_ordinary_words_stay(hidden, text):
    assert hidden(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: no weights for x2", "Submission 1: no weights for x2"),
        ("2: took 2 s", "Submission 4: took 2 s"),
        ("No module named 'a'", "No module named 'Submission 1'"),
        ("No file a/weights.pt beside time/arch.py", "No file Submission 1/weights.pt beside a team/arch.py"),
        ("team time asks team Frame", "team a team asks team a team"),
        ("LRSRN: odd; lrsrn_x2.pt, LrsrnNet, myLRSRN2", None),
        ("LRSRN-tiny, lrsrn_tiny and LRSRN Tiny are one", "Submission 3, Submission 3 and Submission 3 are one"),
        ("Deep Seers, deepseers, deep-seers, DEEP_SEERS", "a team, a team, a team, a team"),
        ("STRAẞE, straße", "Submission 5, Submission 5"),
        ("Bicubic++: slower than bicubic", "Submission 6: slower than bicubic"),
        ("Zoë & Co, ZOË&CO", "a team, a team"),
    ],
)
def test_names_are_replaced_in_every_form(hidden, text, expected):
    (shown,) = hidden(text)
    if expected is not None:
        assert shown == expected
    assert "lrsrn" not in shown.casefold()
    assert "seers" not in shown.casefold()


def test_a_name_of_several_rows_is_that_of_no_certain_one(fake_run):
    run = load_run(fake_run).run
    twins = [
        entry.model_copy(update={"name": "Twin Net", "team": "", "slug": slug, "tied_with": []})
        for entry, slug in zip(run.entries, ("one-slug", "other-slug"), strict=False)
    ]
    run = run.model_copy(update={"entries": twins, "comparisons": [], "warnings": ["Twin Net fails; other-slug too"]})
    assert public_run(run, anonymous=True)[0].warnings == ["a submission fails; Submission 2 too"]


def test_every_text_of_a_row_is_read(hidden):
    run = hidden(
        incomplete_ops=["lrsrn::warp"],
        macs=1,
        about={"authors": ["Ada Seer"], "code": "https://example.org/ada"},
        reparam={"method": "author: fuse_lrsrn", "params_before": 1, "params_after": 1, "notes": ["LRSRN.body folded"]},
    )
    assert "lrsrn" not in run.model_dump_json().casefold()
