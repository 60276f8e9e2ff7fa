"""The scoring program: quality from images and ground truth, the score, ``scores.json`` and the detailed result.

A submission that cannot be scored gets no ``scores.json`` and the exit status 1, so that Codabench shows it as failed
and not as one with a score of 0; the detailed result says what is wrong.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.codabench.columns import scores_of
from harness.codabench.detailed import Detail, failure_page, result_page
from harness.codabench.ingestion import STAGE, ingest
from harness.codabench.record import FILE_NAME, IMAGES, KEY_FILE, Measured, read_record
from harness.codabench.results_only import Statement, read_statement
from harness.codabench.settings import Settings, StoredDataset, read_settings, track_of
from harness.errors import HarnessError, ResultsError, SubmissionError
from harness.files import write_atomically
from harness.quality import ImageScore, score_folders
from harness.results.measurement import ImageQuality
from harness.results.record import Statistic
from harness.results.schema import Entry, Runtime
from harness.run.quality_pass import PSNR_CAP
from harness.tracks import Track
from harness.tracks.dataset_means import balanced, by_dataset, mean_over_datasets, mean_quality
from harness.tracks.scoring import NO_SCORE, RowFigures, ScoringRules, rank_rows, score_row

SCORES = "scores.json"
DETAIL = "detailed_results.html"
# Images that an error names.
_MOST_NAMED = 5
# Characters of the log that an error shows.
_MOST_LOG = 2000


@dataclass(frozen=True, slots=True)
class Judged:
    """A scored submission.

    Attributes
    ----------
    entry
        Its row.
    images
        Quality of each image.
    statistic
        The statistic of the runtime that the score uses.
    measured
        The record of the ingestion program; None for results.
    statement
        What the authors of results state; None for code.
    """

    entry: Entry
    images: list[ImageQuality]
    statistic: Statistic
    measured: Measured | None = None
    statement: Statement | None = None


def main(arguments: Sequence[str]) -> int:
    """Run one of the two programs and return its exit status.

    Parameters
    ----------
    arguments
        ``ingest PROGRAM SUBMISSION DATA OUTPUT`` or ``score PROGRAM INPUT OUTPUT``, all folders.
    """
    # As `metadata.yaml` of the two programs calls them, see `bundle._command`.
    step, program, *places = arguments
    if step == "ingest":
        submission, data, output = map(Path, places)
        ingest(Path(program), submission, data, output)
        return 0
    given, output = map(Path, places)
    return score(Path(program), given, output)


def score(program: Path, given: Path, output: Path) -> int:
    """Score one submission.

    Parameters
    ----------
    program
        Folder of this program, with its settings and the key for signatures.
    given
        Folder with ``ref``, the reference data, and ``res``, the output of the ingestion program.
    output
        Receives ``scores.json`` and ``detailed_results.html``, or the latter alone.

    Returns
    -------
    int
        Exit status: 1 if there is no score.
    """
    try:
        settings = read_settings(program)
        track = track_of(settings, program)
        judged = judge(settings, track, given, (program / KEY_FILE).read_bytes())
        scores = scores_of(judged.entry, track, judged.statistic, measured=judged.measured is not None)
    except HarnessError as error:
        return _fail(str(error), output)
    except Exception:  # noqa: BLE001 -- a participant sees the page alone
        traceback.print_exc()
        return _fail("The scoring program failed. The fault is not in the submission: ask the organisers.", output)
    # The page first, so that there are never scores without the page that explains them.
    detail = Detail(settings, track, judged.entry, judged.images, judged.statistic, judged.measured, judged.statement)
    write_atomically(output / DETAIL, result_page(detail, scores).encode())
    write_atomically(output / SCORES, json.dumps(scores, indent=1).encode())
    return 0


def _fail(message: str, output: Path) -> int:
    print(f"error: {message}", flush=True)  # noqa: T201 -- Codabench shows it
    write_atomically(output / DETAIL, failure_page(message).encode())
    return 1


def judge(settings: Settings, track: Track, given: Path, key: bytes) -> Judged:
    """Return the scored row of a submission.

    Raises
    ------
    HarnessError
        It cannot be scored. The message is for the participant.
    """
    res = given / "res"
    # The record is there if the ingestion program ran a network; its signature is checked before anything is used.
    if (res / FILE_NAME).is_file():
        return _judge_code(settings, track, given, read_record(res, key))
    if "results" not in settings.accepts:
        hint = "submit again; if it happens again, ask the organisers to look at the ingestion program's output"
        raise SubmissionError("the network left no measurement", hint=hint)
    statement = read_statement(res)
    runtime = Runtime.stated(1e3 * statement.runtime_s, "stated by the authors, not measured")
    row = Entry(name="submission", kind="submission", status="ok", slug="submission")
    images = _quality(settings, track, given, res)
    return Judged(_scored(row, images, runtime, settings, track, "mean"), images, "mean", statement=statement)


def _judge_code(settings: Settings, track: Track, given: Path, record: Measured) -> Judged:
    if record.run is None:
        raise _refusal(record)
    # `ingestion._run` refuses submissions with another number of networks.
    (row,) = record.run.entries
    statistic = record.run.protocol.statistic
    # Quality is computed here, where the ground truth is, from the images that the record vouches for.
    images = _quality(settings, track, given, given / "res" / IMAGES)
    if row.runtime_ms is None:
        raise ResultsError("the network has no runtime", where=row.name)
    return Judged(_scored(row, images, row.runtime_ms, settings, track, statistic), images, statistic, record)


def _refusal(record: Measured) -> SubmissionError:
    """Return why a submission was not measured, for its participant."""
    error = record.error
    if error is None:
        return SubmissionError("the network left no measurement", hint="ask the organisers")
    if error.stage == STAGE:  # the message is complete
        return SubmissionError(error.message)
    log = error.log.strip()
    hint = f"the log ends with:\n{log[-_MOST_LOG:]}" if log else None
    return SubmissionError(f"the network failed at the stage {error.stage!r}: {error.type}: {error.message}", hint=hint)


def _quality(settings: Settings, track: Track, given: Path, results: Path) -> list[ImageQuality]:
    """Return the quality of every image of every data set."""
    images: list[ImageQuality] = []
    for one in settings.datasets:
        # A phase with one data set takes images without a folder of its own.
        own = results / one.label if one.label and (results / one.label).is_dir() else results
        images += _quality_on(one, track, given / "ref" / one.folder / "HR", own)
    return images


def _quality_on(one: StoredDataset, track: Track, hr: Path, sr: Path) -> list[ImageQuality]:
    found = list(score_folders(sr, hr, track.convention, scale=track.scale))
    wrong = [result for result in found if not isinstance(result, ImageScore)]
    if wrong:
        # Reasons may contain paths of the container, which say nothing to the participant.
        named = "; ".join(f"{result.name}: {result.reason}" for result in wrong[:_MOST_NAMED])
        rest = f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        hint = f"send {len(one.images)} PNG images with the names of the LR images and {track.scale} times their size"
        count = f"{len(wrong)} of {len(found)} images cannot be compared with ground truth"
        raise SubmissionError(f"{count}: {_without_paths(named, hr, sr)}{rest}", hint=hint)
    scores = [result for result in found if isinstance(result, ImageScore)]
    return [_image(result, one.label) for result in scores]


def _without_paths(text: str, *folders: Path) -> str:
    for folder in folders:
        text = text.replace(f"{folder}/", "").replace(str(folder), folder.name)
    return text


def _image(result: ImageScore, label: str) -> ImageQuality:
    quality = result.quality
    return ImageQuality(
        image=result.name,
        dataset=label,
        psnr_rgb=min(quality.psnr_rgb, PSNR_CAP),
        psnr_y=min(quality.psnr_y, PSNR_CAP),
        ssim_rgb=quality.ssim_rgb,
        ssim_y=quality.ssim_y,
    )


def _scored(
    row: Entry, images: list[ImageQuality], runtime: Runtime, settings: Settings, track: Track, statistic: Statistic
) -> Entry:
    """Return the row with its quality and its score, by the same functions as a run."""
    groups = by_dataset(images)
    quality = mean_over_datasets(groups, track.convention)
    if quality is None or settings.bicubic_psnr is None:
        raise ResultsError("there is nothing to compare", hint="write the bundle again with `harness export`")
    update = {
        **dict(quality),
        "datasets": {label: mean_quality(group, track.convention) for label, group in groups.items() if label},
        "delta_psnr_bicubic": getattr(quality, track.metric) - settings.bicubic_psnr,
        # What the ingestion program found out about quality has no ground truth behind it.
        "precision_drop_db": None,
        "score": None, "score_ci": None, "score_log10": None, "score_log10_ci": None, "rank": None,
        "rank_range": None,
        # Notes on a low quality ("would reach ...") were computed from enlarged LR images in place of ground truth.
        "notes": [note for note in row.notes if not note.startswith("would reach")],
    }  # fmt: skip
    entry = row.model_copy(update=update)
    # With the label, because images of two data sets may have the same name.
    psnr = {f"{image.dataset}/{image.image}": float(getattr(image, track.metric)) for image in images}
    labels = {f"{image.dataset}/{image.image}": image.dataset for image in images}
    figures = RowFigures(balanced(psnr, labels), runtime)
    rules = _rules(settings, track, statistic)
    scored = score_row(entry, figures, rules)
    # Ranked alone to apply the gates; Codabench ranks the submissions itself.
    (placed,) = rank_rows([scored], {scored.slug: figures}, rules).entries
    if placed.failed_gates:
        raise SubmissionError(f"the ranking needs {'; '.join(placed.failed_gates)}", hint="improve the figure")
    undefined = [note for note in placed.notes if note.startswith(NO_SCORE)]
    if undefined:
        raise SubmissionError(undefined[0], hint="the track's formula decides")
    return placed


def _rules(settings: Settings, track: Track, statistic: Statistic) -> ScoringRules:
    reference = {f"{one.label}/{name}": psnr for one in settings.datasets for name, psnr in one.bicubic.items()}
    labels = {f"{one.label}/{name}": one.label for one in settings.datasets for name in one.images}
    means = {one.label: sum(one.bicubic.values()) / len(one.bicubic) for one in settings.datasets if one.bicubic}
    return ScoringRules(
        track=track,
        bicubic_psnr=settings.bicubic_psnr or 0.0,
        statistic=statistic,
        reference=balanced(reference, labels),
        bicubic_by_dataset=means,
    )
