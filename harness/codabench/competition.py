"""The keys of ``competition.yaml`` that Codabench reads, with the limits of its database.

Source: the unpacker of version 2 bundles and the serializers of Codabench. It ignores keys that it does not know.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

DEFAULT_QUEUE_LIMIT_S = 600
"""Longest execution on the queue that all competitions share, seconds."""
FILES_OF_A_TASK = ("scoring_program", "reference_data", "ingestion_program", "input_data")
"""Keys of a task that name a folder or a zip file in the bundle."""
FILES_OF_A_PHASE = ("public_data", "starting_kit")

SubmissionRule = Literal[
    "Add", "Add_And_Delete", "Add_And_Delete_Multiple", "Force_Last", "Force_Latest_Multiple", "Force_Best"
]


def _moment(value: Any) -> Any:
    """Return the moment that Codabench makes of a value: a date is its midnight, and time zones are dropped."""
    if isinstance(value, str):
        # YAML makes dates of unquoted values; quoted ones are text.
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Page(_Keys):
    """A page of text."""

    title: str
    file: str


class Phase(_Keys):
    """A period in which submissions are accepted."""

    index: int | None = None
    name: str
    description: str = ""
    start: Moment
    end: Moment | None = None
    tasks: Annotated[list[int], Field(min_length=1)]
    max_submissions_per_day: int = 5
    max_submissions: int = 100
    execution_time_limit: Annotated[int, Field(gt=0)] = DEFAULT_QUEUE_LIMIT_S
    public_data: str | None = None
    starting_kit: str | None = None
    auto_migrate_to_this_phase: bool = False
    accepts_only_result_submissions: bool = False
    hide_output: bool = False
    hide_prediction_output: bool = False
    hide_score_output: bool = False


class Task(_Keys):
    """Programs and data. ``key`` names a task that Codabench has already; all other keys are then ignored."""

    index: int
    name: str = ""
    description: str = ""
    key: str | None = None
    scoring_program: str | None = None
    reference_data: str | None = None
    ingestion_program: str | None = None
    input_data: str | None = None
    ingestion_only_during_scoring: bool = False


class LeaderboardColumn(_Keys):
    """A figure of ``scores.json``, whose key is that of the column."""

    title: Annotated[str, Field(max_length=36)]
    key: Annotated[str, Field(max_length=36)]
    index: Annotated[int, Field(ge=0)]
    sorting: Literal["desc", "asc"] = "desc"
    precision: int = 2
    hidden: bool = False
    computation: Literal["sum", "avg", "min", "max"] | None = None
    computation_indexes: list[int] | None = None


class Leaderboard(_Keys):
    """A table of results, ranked by the column ``primary_index``."""

    title: Annotated[str, Field(max_length=64)]
    key: Annotated[str, Field(max_length=36)]
    columns: Annotated[list[LeaderboardColumn], Field(min_length=1)]
    submission_rule: SubmissionRule = "Add"
    hidden: bool = False
    primary_index: Annotated[int, Field(ge=0)] = 0


class Competition(_Keys):
    """The whole file."""

    # A quoted number is text in YAML.
    version: Literal[2, "2"]
    title: str
    image: str
    terms: str
    pages: list[Page]
    phases: Annotated[list[Phase], Field(min_length=1)]
    tasks: Annotated[list[Task], Field(min_length=1)]
    leaderboards: Annotated[list[Leaderboard], Field(min_length=1)]
    solutions: list[dict[str, Any]] = []
    description: str = ""
    docker_image: str = "codalab/codalab-legacy:py37"
    queue: str | None = None
    registration_auto_approve: bool = False
    enable_detailed_results: bool = False
    show_detailed_results_in_submission_panel: bool = True
    show_detailed_results_in_leaderboard: bool = True
    auto_run_submissions: bool = True
    can_participants_make_submissions_public: bool = True
    make_programs_available: bool = False
    make_input_data_available: bool = False
    competition_type: str = "competition"
    contact_email: str | None = None
    reward: str | None = None
    forum_enabled: bool = True
    fact_sheet: dict[str, Any] | None = None
