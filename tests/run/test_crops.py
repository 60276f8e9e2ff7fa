"""What pictures a run keeps: by default none of images that nobody published, else what was asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engines.inline import InlineEngine
from harness.errors import UsageError
from harness.pipeline import run
from harness.results.crops import Choice, CropStore
from harness.run.plan import RunRequest, make_plan

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]


def test_a_run_keeps_the_pieces_on_which_submissions_differ(submit: Submit, request_for: Request) -> None:
    submit("one")
    submit("two", "x = x * 0.9")
    request = replace(request_for(), images="full", crops=(Choice("second", 8, 4, 16),))
    finished = run(request, engine=InlineEngine())
    windows = CropStore(finished.folder).windows()
    assert sorted((window.why, window.image) for window in windows) == [
        ("choice", "second"),
        ("dispute", "first"),
        ("dispute", "second"),
        ("whole", "first"),
        ("whole", "second"),
    ]
    page = (finished.folder / "pixels.html").read_text(encoding="utf-8")
    assert "where the submissions differ most" in page
    assert "second at 8, 4" in page
    later = run(replace(request, crops=(Choice("first", 0, 0, 8),)), engine=InlineEngine())
    (warning,) = later.run.remarks
    assert "no crop of first at 0,0" in warning


def test_hidden_images_stay_hidden(submit: Submit, request_for: Request) -> None:
    submit("one")
    assert make_plan(request_for()).crop_store() is None
    assert make_plan(replace(request_for(), crops=(Choice("first", 0, 0, 8),))).crop_store() is not None


@pytest.mark.parametrize(
    ("crop", "keep", "words"),
    [
        (Choice("frist", 0, 0, 8), "auto", "first"),
        (Choice("first", 60, 0, 8), "auto", "64 pixels wide and 48 high"),
        (Choice("first", 0, 0, 8), "none", "forbids"),
    ],
)
def test_a_crop_that_cannot_be_kept_is_refused(
    submit: Submit, request_for: Request, crop: Choice, keep: str, words: str
) -> None:
    submit("one")
    with pytest.raises(UsageError, match=words):
        make_plan(replace(request_for(), images=keep, crops=(crop,)))
