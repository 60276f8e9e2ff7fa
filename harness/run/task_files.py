"""Put the files that a task has made into the folder of the run: logs, crops, upscaled images."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from harness.results import RunStore
from harness.results.crops import CropStore
from harness.run.plan import Plan
from harness.run.tasks import Outcome, Task


def take_over_files(plan: Plan, task: Task, outcome: Outcome) -> None:
    """Move the files of a task into the run's folder, and remove the task's own folder.

    Raises
    ------
    OSError
        They cannot be written.
    """
    if outcome.folder is not None:
        folder = outcome.folder
    else:
        folder = Path(tempfile.mkdtemp(prefix="sr-harness-task-"))
        for relative, content in outcome.files.items():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    try:
        _take_over_logs(plan, task, folder)
        _take_over_images(plan, task, folder)
        _take_over_crops(plan, task, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_over_logs(plan: Plan, task: Task, folder: Path) -> None:
    """Write the logs of a timing; append those of the images to them."""
    kept, made = RunStore(plan.folder), RunStore(folder)
    for planned in task.submissions:
        source, target = made.log_path(planned.submission.slug), kept.log_path(planned.submission.slug)
        if source.is_file():
            with suppress(OSError):  # a log that cannot be written is no error
                target.parent.mkdir(parents=True, exist_ok=True)
                # A timing begins the log anew; the images of the same network are measured by a later task.
                with target.open("wb" if task.kind == "time" else "ab") as stream:
                    stream.write(source.read_bytes())


def _take_over_images(plan: Plan, task: Task, folder: Path) -> None:
    for planned in task.submissions:
        source = folder / "images" / planned.submission.slug
        target = plan.folder / "images" / planned.submission.slug
        if source.is_dir():
            for path in sorted(source.rglob("*")):  # data sets that the run had before stay
                if path.is_file():
                    (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(path, target / path.relative_to(source))


def _take_over_crops(plan: Plan, task: Task, folder: Path) -> None:
    crops = plan.crop_store()
    if crops is not None and (folder / "crops" / "crops.json").is_file():
        # Merged and not moved: several tasks add crops of other networks to the same images.
        crops.take_over(CropStore(folder), [planned.submission.slug for planned in task.submissions])
