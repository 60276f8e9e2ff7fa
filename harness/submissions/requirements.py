"""Compare the packages that a submission requires with the installed ones."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from harness.errors import UnsupportedError

FILE_NAME = "requirements.txt"
_MAX_BYTES = 100_000


def unmet(requires: list[str]) -> list[str]:
    """Return the requirements that no installed package satisfies, each with the installed version.

    A requirement for another platform counts as satisfied, one that cannot be parsed as not satisfied.

    >>> unmet(["packaging", "packaging<1"])  # doctest: +SKIP
    ['packaging<1 (24.1 is installed)']
    """
    return [reason for text in requires if (reason := _unmet(text))]


def _unmet(text: str) -> str | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"{text} (not a requirement)"
    if requirement.marker and not requirement.marker.evaluate():
        return None
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{text} (not installed)"
    # A local version such as 2.6.0+cu124 satisfies ==2.6.0, and pre-releases of torch are common.
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return f"{text} ({installed} is installed)"


def check(requires: list[str], where: str) -> None:
    """Check that every requirement of a manifest is satisfied.

    Raises
    ------
    UnsupportedError
        At least one is not; the message lists them.
    """
    lacking = unmet(requires)
    if lacking:
        raise UnsupportedError(
            f"requires {', '.join(lacking)}",
            where=where,
            hint="run with --install, or install the missing packages in the environment of the harness",
        )


def read_requirements(root: Path) -> list[str]:
    """Return the lines of ``requirements.txt`` without comments and pip options; empty if there is no such file."""
    path = root / FILE_NAME
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES).decode(errors="replace")  # untrusted: of any size and encoding
    except OSError:
        return []
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]
