"""Run a bundle on a submission, in the folders and the two steps of Codabench's compute worker."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

import harness
from harness.codabench.check import DESCRIPTION, check_bundle
from harness.codabench.competition import Competition, Phase, Task
from harness.codabench.results_only import kind_of
from harness.codabench.scoring import DETAIL, SCORES
from harness.codabench.settings import read_settings
from harness.errors import DataError, HarnessError, UsageError
from harness.submissions.archives import extract


@dataclass(frozen=True, slots=True)
class LocalRun:
    """Result of a submission.

    Attributes
    ----------
    phase
        Name of the phase whose programs ran.
    scores
        Content of ``scores.json``: what would be stored, by key of the column. None if the submission failed.
    ignored
        Keys of ``scores.json`` without a column; Codabench drops them without a message.
    printed
        What the programs printed.
    detail
        Path of the detailed result.
    """

    phase: str
    scores: Mapping[str, float] | None
    ignored: tuple[str, ...]
    printed: str
    detail: Path


def run_bundle(bundle: Path, submission: Path, output: Path, phase: str | None = None) -> LocalRun:
    """Run the ingestion program and the scoring program of a phase.

    Parameters
    ----------
    bundle
        The zip file.
    submission
        Folder or zip file.
    output
        Receives ``scores.json`` and ``detailed_results.html``; files of an earlier run are replaced.
    phase
        Name of the phase; the first one that takes this kind of submission by default.

    Raises
    ------
    UsageError
        The bundle has errors, or there is no such phase.
    DataError
        A program left what Codabench refuses.
    """
    errors = [one for one in check_bundle(bundle) if one.level == "error"]
    if errors:
        named = "; ".join(f"{one.where}: {one.message}" for one in errors[:3])
        raise UsageError(f"Codabench would refuse it: {named}", where=str(bundle), hint="see `harness codabench check`")
    with tempfile.TemporaryDirectory(prefix="sr-harness-") as name:
        work = Path(name)
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(work / "bundle")
        files = _extracted(submission, work) if submission.is_file() else submission
        competition = Competition.model_validate(yaml.safe_load((work / "bundle" / DESCRIPTION).read_bytes()))
        chosen, task = _phase(competition, work / "bundle", files, phase)
        worker = _Worker(work, work / "bundle", task)
        printed, status = worker.run(files)
        return _outcome(competition, chosen, worker.output, output, printed, status)


def _extracted(submission: Path, work: Path) -> Path:
    """Return the folder of an extracted zip file, with all its files as on Codabench, after its index was validated."""
    # `extract` leaves out files that Codabench keeps, so that its result serves for the validation only.
    extract(submission, work / "validated")
    with zipfile.ZipFile(submission) as archive:
        archive.extractall(work / "submission")
    return work / "submission"


def _phase(competition: Competition, bundle: Path, submission: Path, name: str | None) -> tuple[Phase, Task]:
    tasks = {task.index: task for task in competition.tasks}
    # Bundles of the harness have one task in each phase; of others the first one runs.
    phases = [(phase, tasks[phase.tasks[0]]) for phase in competition.phases]
    if name is not None:
        named = [pair for pair in phases if pair[0].name == name]
        if not named:
            known = ", ".join(phase.name for phase, _ in phases)
            raise UsageError(f"there is no phase {name!r}", hint=f"choose one of {known}")
        return named[0]
    try:
        kind = kind_of(submission)
        return next(pair for pair in phases if kind in read_settings(bundle / (pair[1].scoring_program or "")).accepts)
    except (HarnessError, StopIteration):  # what cannot be told is said by the programs
        return phases[0]


@dataclass(frozen=True, slots=True)
class _Worker:
    """The folders of Codabench's compute worker. Containers see them below ``/app``."""

    work: Path
    bundle: Path
    task: Task

    @property
    def output(self) -> Path:
        """Output of the scoring step."""
        return self.work / "scoring" / "output"

    def run(self, submission: Path) -> tuple[str, int]:
        """Return what the programs printed, and the exit status of the scoring program."""
        predicting = self.work / "predicting"
        # First step: the submission and the LR images, without the reference data.
        (predicting / "output").mkdir(parents=True)
        shutil.copytree(submission, predicting / "ingested_program", symlinks=True)
        self._provide(predicting, {"program": self.task.ingestion_program, "input_data": self.task.input_data})
        printed = ""
        if self.task.ingestion_program:
            printed, _ = _execute(predicting)  # Codabench goes on to the scoring step whatever the exit status
        else:
            shutil.copytree(submission, predicting / "output", symlinks=True, dirs_exist_ok=True)
        scoring = self.work / "scoring"
        self.output.mkdir(parents=True)
        self._provide(scoring, {"program": self.task.scoring_program, "input/ref": self.task.reference_data})
        # Second step: what the first one left, beside the reference data.
        shutil.copytree(predicting / "output", scoring / "input" / "res", symlinks=True)
        more, status = _execute(scoring)
        return printed + more, status

    def _provide(self, root: Path, sources: Mapping[str, str | None]) -> None:
        for place, name in sources.items():
            if name is None:
                continue
            source = self.bundle / name
            if source.is_dir():
                shutil.copytree(source, root / place)
            else:
                with zipfile.ZipFile(source) as archive:
                    archive.extractall(root / place)


def _execute(root: Path) -> tuple[str, int]:
    """Run the command of a program, with the folder `root` in place of ``/app``."""
    program = root / "program"
    described = next(path for name in ("metadata.yaml", "metadata") if (path := program / name).is_file())
    command = shlex.split(yaml.safe_load(described.read_bytes())["command"])
    # In Codabench's containers the folders of a step are mounted below /app.
    command = [word.replace("/app/", f"{root}/") if word.startswith("/app/") else word for word in command]
    # The interpreter that runs this package, whatever the PATH says.
    if command[0] in {"python", "python3"}:
        command[0] = sys.executable
    own = str(Path(harness.__file__).parent.parent)  # a checkout may not be installed
    places = os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": places}
    done = subprocess.run(
        command, cwd=program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout, done.returncode


def _outcome(competition: Competition, phase: Phase, made: Path, output: Path, printed: str, status: int) -> LocalRun:
    if (made / "metadata").exists():
        raise DataError("the scoring program wrote output/metadata, which belongs to Codabench", hint="do not write it")
    # Codabench marks a submission as failed by the exit status of the scoring program.
    scores = _read_scores(made / SCORES) if status == 0 else None
    output.mkdir(parents=True, exist_ok=True)
    for name in (SCORES, DETAIL):
        (output / name).unlink(missing_ok=True)
        if (made / name).is_file():
            shutil.copyfile(made / name, output / name)
    keys = {column.key for column in competition.leaderboards[0].columns}
    stored = None if scores is None else {key: value for key, value in scores.items() if key in keys}
    ignored = tuple(key for key in scores or {} if key not in keys)
    return LocalRun(phase.name, stored, ignored, printed, output / DETAIL)


def _read_scores(path: Path) -> dict[str, float]:
    try:
        scores = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the scoring program left no valid scores.json ({error})", where=path.name) from error
    if not isinstance(scores, dict) or not all(isinstance(value, int | float) for value in scores.values()):
        raise DataError("is no object of numbers by key, as Codabench needs", where=path.name)
    return scores
