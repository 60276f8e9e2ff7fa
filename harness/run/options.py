"""Convert the options of ``harness run``, typed or given in Python, to what a run takes."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.results.crops import parse_choice
from harness.run.request import RunRequest

_FIELDS = {
    "baselines": "with_baselines", "out_folder": "out", "time_budget": "time_budget_s", "timeout": "timeout_s",
    "convention": "conventions", "crop": "crops", "analysis_limit": "analysis_limit_s",
}  # fmt: skip
"""Fields of a request by the name of their option, where the two differ."""
# Fields without an option of their own: `dataset` and `backend` take several values, and `command` is recorded.
_DERIVED = ("further_datasets", "further_backends", "command")
_SEVERAL = ("submissions", "only", "exclude", "conventions", "crops")


def option_names() -> list[str]:
    """Return the names that :func:`request_from` takes."""
    own = {field: option for option, field in _FIELDS.items() if option != "out_folder"}
    names = [own.get(field.name, field.name) for field in fields(RunRequest)]
    return [name for name in names if name not in _DERIVED]


def request_from(options: Mapping[str, Any]) -> RunRequest:
    """Return the request that options describe.

    Parameters
    ----------
    options
        Values by the name of the option with underscores. ``dataset`` and ``backend`` may be one or several, the
        latter also separated by commas. Names that no field of a request has are left out.

    Raises
    ------
    UsageError
        A crop is not ``IMAGE:X,Y,SIZE``.
    """
    known = {field.name for field in fields(RunRequest)}
    given: dict[str, Any] = {_FIELDS.get(name, name): _plain(value) for name, value in options.items()}
    for name in _SEVERAL:
        if name in given:
            given[name] = several(given[name])
    for name in ("out", "wheels"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    # The first data set is scored and timed, the others are measured too.
    first, *further = several(given.pop("dataset", None)) or ("embedded",)
    given["submissions"] = tuple(Path(path) for path in given["submissions"])
    given["crops"] = tuple(parse_choice(text) for text in given.get("crops", ()))
    given["conventions"] = tuple(dict.fromkeys(given.get("conventions", ())))
    given |= {"dataset": str(first), "further_datasets": tuple(map(str, further))}
    backend, *others = backend_names(given.pop("backend", None)) or ("eager",)
    given |= {"backend": backend, "further_backends": tuple(others)}
    # Options that concern what the command prints only are no fields of a request.
    return RunRequest(**{name: value for name, value in given.items() if name in known})


def several(given: Any) -> tuple[Any, ...]:
    """Return one, several or no values as several."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | Path) else (given,)


def backend_names(given: Any) -> tuple[str, ...]:
    """Return the names of backends, each once, from one or several texts with names between commas."""
    names = [name.strip() for text in several(given) for name in str(_plain(text)).split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value
