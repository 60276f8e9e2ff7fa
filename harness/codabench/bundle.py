"""Write a competition for Codabench: the data of a track, this package as its programs, pages and the leaderboard."""

from __future__ import annotations

import io
import secrets
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageDraw

import harness
from harness.codabench.columns import score_columns
from harness.codabench.competition import DEFAULT_QUEUE_LIMIT_S
from harness.codabench.record import KEY_FILE
from harness.codabench.results_only import README, TEMPLATE
from harness.codabench.settings import FILE_NAME, TRACK_FILE, Kind, Measuring, Settings
from harness.codabench.stored_data import StoredData, store_datasets
from harness.codabench.wheel import package_wheel, pinned_requirements, wheel_name, write_zip
from harness.errors import UsageError
from harness.files import atomic_file
from harness.quality import get_convention
from harness.submissions.skeleton import ARCHITECTURE, MANIFEST
from harness.tracks import TRACKS, Track, get_track

EXAMPLE_IMAGE = f"example/sr-harness:{harness.__version__}"
"""Placeholder for the image that the organisers build and push."""
_FIGURES_OF_IMAGES = ("psnr", "ssim", "bicubic", "runtime_ms")
"""Figures that submitted images and a stated runtime have."""
_DAYS = {"Development": 30, "Final": 7}
# Limit of one execution on the organisers' own queue.
_TIME_LIMIT_S = 3600
_PAGES = ("overview", "evaluation", "submitting", "terms")


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a competition is made of.

    Attributes
    ----------
    track
        Name of a track, or the TOML file of a custom one.
    datasets
        As for ``harness run --dataset``.
    docker_image
        The image that Codabench pulls.
    start
        Begin of the first phase, UTC.
    measuring
        How networks are measured.
    queue
        Vhost of the organisers' queue; None for the one that all competitions share.
    """

    track: str
    start: datetime
    datasets: tuple[str, ...] = ("embedded",)
    docker_image: str = EXAMPLE_IMAGE
    measuring: Measuring = field(default_factory=Measuring)
    queue: str | None = None


def write_bundle(request: BundleRequest, output: Path) -> None:
    """Write the bundle, a zip file.

    Raises
    ------
    UsageError
        There is no such track or data set, the track belongs to another package, or its score needs figures that no
        run measures.
    DataError
        A data set cannot be read.
    """
    track = get_track(request.track)
    _require_measurable(track, request.track)
    rules = _track_file(request.track)
    with tempfile.TemporaryDirectory(prefix="sr-harness-") as work:
        data = store_datasets(request.datasets, track, Path(work))
        files = _Files(request, track, data, rules).everything()
        with atomic_file(output) as stream:
            write_zip(stream, files)


def _require_measurable(track: Track, name: str) -> None:
    """Raise UsageError if no submission could ever get a score."""
    if track.given_by_hand:
        raise UsageError(
            f"no submission could be scored: the formula needs {', '.join(track.given_by_hand)}, which no run measures",
            where=name,
            hint="write the rules without these figures as a TOML file, see docs/tracks.md",
        )


def _track_file(name: str) -> dict[str, bytes]:
    """Return the file of a custom track; empty for a track of this package."""
    if name.endswith(".toml"):
        return {TRACK_FILE: Path(name).read_bytes()}
    own = [plugin for plugin in TRACKS.plugins() if plugin.name == name and plugin.target.startswith("harness.")]
    if not own:
        raise UsageError(
            f"track {name!r} belongs to another package, which the competition would lack",
            hint="write its rules as a TOML file, see docs/tracks.md",
        )
    return {}


def accepted_kinds(track: Track) -> list[Kind]:
    """Return what a track can score: images only if its formula and gates need nothing else than they have."""
    needed = [*track.needs, *(gate.figure for gate in track.gates)]
    # Compared by prefix, because figures of one data set have names such as psnr_test.
    from_images = all(name.startswith(_FIGURES_OF_IMAGES) for name in needed)
    return ["code", "results"] if from_images else ["code"]


@dataclass(frozen=True, slots=True)
class _Files:
    request: BundleRequest
    track: Track
    data: StoredData
    rules: Mapping[str, bytes]

    def everything(self) -> dict[str, bytes | Path]:
        """Return the content of all files by name."""
        files: dict[str, bytes | Path] = {
            "competition.yaml": yaml.safe_dump(self._competition(), sort_keys=False, allow_unicode=True).encode(),
            "logo.png": _logo(self.track),
            **{f"pages/{name}.md": self._page(f"{name}.md") for name in _PAGES},
            **_inside("reference_data", self.data.hr),
            **_inside("input_data", self.data.lr),
            **_inside("public_data", self.data.lr),
            **_inside("starting_kit", self._kit()),
        }
        program = self._program()
        for number, (phase, kinds) in enumerate(self._phases().items()):
            for name, content in self._of_phase(phase, kinds).items():
                # Each phase has programs of its own, since settings and key differ; the code in them is the same.
                files |= _inside(f"{name}_{number}", {**program, **content})
        return files

    def _phases(self) -> dict[str, list[Kind]]:
        # The last phase takes networks only, whose runtime is measured and not stated.
        return {"Development": accepted_kinds(self.track), "Final": ["code"]}

    def _of_phase(self, phase: str, kinds: list[Kind]) -> dict[str, dict[str, bytes]]:
        """Return what the two programs of a phase have of their own; the ingestion program learns no figure of HR."""
        settings = Settings(
            harness_version=harness.__version__,
            track=TRACK_FILE if self.rules else self.request.track,
            phase=phase,
            accepts=kinds,
            datasets=self.data.datasets,
            bicubic_psnr=self.data.bicubic_psnr,
            bicubic_source=self.data.bicubic_source,
            measuring=self.request.measuring,
        )
        # PSNRs of bicubic are figures of the ground truth, which is kept from the container that runs submitted code.
        blind = [one.model_copy(update={"bicubic": {}}) for one in settings.datasets]
        public = settings.model_copy(update={"datasets": blind, "bicubic_psnr": None})
        # Each phase has a key of its own.
        key = secrets.token_hex(32).encode()
        return {
            "scoring_program": {
                "metadata.yaml": _command("score /app/input /app/output"),
                FILE_NAME: settings.model_dump_json(indent=1).encode(),
                KEY_FILE: key,
                **self.rules,
            },
            "ingestion_program": {
                "metadata.yaml": _command("ingest /app/ingested_program /app/input_data /app/output"),
                FILE_NAME: public.model_dump_json(indent=1).encode(),
                KEY_FILE: key,
                **self.rules,
            },
        }

    def _program(self) -> dict[str, bytes]:
        # The image has the Python that this bundle was written with, for which the requirements are pinned.
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return {
            "start.py": _rendered("start.py.txt", version=harness.__version__),
            "Dockerfile": _rendered("Dockerfile", image=self.request.docker_image, python=python),
            "requirements.txt": "".join(f"{pin}\n" for pin in pinned_requirements()).encode(),
            f"wheels/{wheel_name()}": package_wheel(),
        }

    def _kit(self) -> dict[str, bytes]:
        name = "Example"
        return {
            "network/submission.toml": MANIFEST.format(name=name).encode(),
            "network/arch.py": ARCHITECTURE.format(name=name).encode(),
            f"images/{README}": TEMPLATE.encode(),
        }

    def _page(self, template: str) -> bytes:
        _, _, height, width = self.track.input_shape
        return _rendered(
            template,
            title=self.track.title,
            track=self.track,
            height=height,
            width=width,
            datasets=self.data.datasets,
            labels=[one.label for one in self.data.datasets if one.label],
            kinds=accepted_kinds(self.track),
            convention=get_convention(self.track.convention).sentence,
            bicubic=self.data.bicubic_psnr,
            source=self.data.bicubic_source,
            version=harness.__version__,
            readme=TEMPLATE,
        )

    def _competition(self) -> dict[str, Any]:
        """Return the content of ``competition.yaml``."""
        queue = {} if self.request.queue is None else {"queue": self.request.queue}
        return {
            "version": 2,
            "title": self.track.title,
            "description": self.track.score_formula,
            "image": "logo.png",
            "terms": "pages/terms.md",
            "docker_image": self.request.docker_image,
            **queue,
            "registration_auto_approve": False,
            "enable_detailed_results": True,
            "make_programs_available": False,  # they hold the key for signatures
            "make_input_data_available": False,
            "pages": [
                {"title": "Overview", "file": "pages/overview.md"},
                {"title": "Evaluation", "file": "pages/evaluation.md"},
                {"title": "How to submit", "file": "pages/submitting.md"},
            ],
            "tasks": [_task_of(number, phase) for number, phase in enumerate(self._phases())],
            "phases": self._dated_phases(),
            "leaderboards": [
                {"title": "Results", "key": "main", "submission_rule": "Add_And_Delete", "columns": self._columns()}
            ],
        }

    def _dated_phases(self) -> list[dict[str, Any]]:
        # Codabench drops time zones, and `start` is in UTC.
        start, found = self.request.start.replace(microsecond=0, tzinfo=None), []
        # The shared queue ends longer executions, whatever the bundle says.
        limit = DEFAULT_QUEUE_LIMIT_S if self.request.queue is None else _TIME_LIMIT_S
        for number, phase in enumerate(self._phases()):
            end = start + timedelta(days=_DAYS[phase])
            found.append(
                {
                    "index": number,
                    "name": phase,
                    "start": start,
                    "end": end,
                    "tasks": [number],
                    "max_submissions_per_day": 5,
                    "max_submissions": 100,
                    "execution_time_limit": limit,
                    "public_data": "public_data",
                    "starting_kit": "starting_kit",
                }
            )
            start = end + timedelta(minutes=1)  # phases may not share a date
        return found

    def _columns(self) -> list[dict[str, Any]]:
        return [
            {"title": one.title, "key": one.key, "index": index, "sorting": one.sorting, "precision": one.precision}
            for index, one in enumerate(score_columns(self.track))
        ]


def _task_of(number: int, phase: str) -> dict[str, Any]:
    return {
        "index": number,
        "name": phase,
        "scoring_program": f"scoring_program_{number}",
        "ingestion_program": f"ingestion_program_{number}",
        "input_data": "input_data",
        "reference_data": "reference_data",
    }


def _inside(folder: str, files: Mapping[str, bytes | Path]) -> dict[str, bytes | Path]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _command(arguments: str) -> bytes:
    return f"command: python3 /app/program/start.py {arguments}\n".encode()


def _rendered(template: str, **values: Any) -> bytes:
    loader = PackageLoader("harness.codabench")
    # Everything that is rendered here is the organisers' own text.
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701
    return environment.get_template(template).render(**values).encode()


def _logo(track: Track) -> bytes:
    """Return a square picture with the scale on it."""
    picture = Image.new("RGB", (256, 256), "#20304a")
    ImageDraw.Draw(picture).text((128, 128), f"x{track.scale}", fill="white", anchor="mm", font_size=96)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
