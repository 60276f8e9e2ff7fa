"""Compare the packages that a submission requires with the installed ones."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from harness.errors import SubmissionError, UnsupportedError
from harness.plain_files import read_inside
from harness.submissions.distributions import how_to_install
from harness.text import first_line, single_line

FILE_NAME = "requirements.txt"
MAX_REQUIREMENTS = 1000
"""Number of requirements of a submission."""
_MAX_BYTES = 100_000
_MAX_LENGTH = 500


def parse(text: str) -> Requirement | None:
    """Return a requirement, or None if it is invalid or its marker cannot be evaluated.

    >>> parse("einops>=0.7").name
    'einops'
    >>> parse("foo; os_name ~= 'x'") is None
    True
    """
    return None if problem_of(text) is not None else Requirement(text)


def problem_of(text: str) -> str | None:
    """Return why a requirement is invalid, on one line; None if it is valid."""
    if len(text) > _MAX_LENGTH:
        return f"it has more than {_MAX_LENGTH} characters"
    try:
        requirement = Requirement(text)
        if requirement.marker is not None:
            requirement.marker.evaluate()
        # Evaluated here, because packaging reports some mistakes only then.
        requirement.specifier.contains("1.0", prereleases=True)
    except Exception as error:  # noqa: BLE001  # packaging raises more than it documents, RecursionError for one
        return single_line(first_line(str(error), type(error).__name__), 200)
    return None


def unmet(requires: list[str]) -> list[str]:
    """Return the requirements that no installed package satisfies, each with the installed version.

    A requirement for another platform counts as satisfied, one that cannot be parsed as not satisfied.

    >>> unmet(["packaging", "packaging<1"])  # doctest: +SKIP
    ['packaging<1 (24.1 is installed)']
    """
    return [reason for text in requires if (reason := _unmet(text))]


def _unmet(text: str) -> str | None:
    requirement = parse(text)
    if requirement is None:
        return f"{single_line(text, 100)} (not a requirement)"
    if requirement.marker and not requirement.marker.evaluate():
        return None
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{text} (not installed)"
    # A local version such as 2.6.0+cu124 satisfies ==2.6.0, and pre-releases of torch are common.
    if _is_satisfied(requirement, installed):
        return None
    return f"{text} ({installed} is installed)"


def _is_satisfied(requirement: Requirement, installed: str) -> bool:
    try:
        return requirement.specifier.contains(installed, prereleases=True)
    except ValueError:  # the installed package has a version that cannot be compared
        return False


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


def check_imports(distributions: Sequence[str], where: str) -> None:
    """Check that the distributions of packages that some code imports are installed.

    Raises
    ------
    UnsupportedError
        At least one is not; the message says how to install it.
    """
    lacking = [name for name in distributions if unmet([name])]
    if lacking:
        raise UnsupportedError(
            f"imports packages that are not installed: {', '.join(lacking)}",
            where=where,
            hint=how_to_install(lacking, "use --install"),
        )


def read_requirements(root: Path) -> list[str]:
    """Return the lines of ``requirements.txt`` without comments and pip options; empty if there is no such file.

    Raises
    ------
    SubmissionError
        The file is a link that leaves the folder, or lists more than :data:`MAX_REQUIREMENTS` packages.
    """
    path = root / FILE_NAME
    if not path.is_file():
        return []
    try:
        text = read_inside(path, root, _MAX_BYTES).decode(errors="replace")  # untrusted: of any size and encoding
    except OSError:
        return []
    # As pip does, a comment begins with a # after white space only: URLs may contain one.
    lines = [line.split(" #")[0].strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith(("#", "-"))]
    if len(found) > MAX_REQUIREMENTS:
        what = f"lists {len(found)} packages, the limit is {MAX_REQUIREMENTS}"
        raise SubmissionError(what, where=str(path), hint="list what the network imports")
    return found
