"""Sessions that test the project in other environments than the one it is developed in: ``nox -s NAME``."""

import os

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "docs", "tests-3.11"]
nox.options.error_on_missing_interpreters = True

OLDEST, NEWEST = "3.11", "3.13"

# Tests of the documentation. They run every example of CONTRIBUTING.md and check every name that a page mentions.
DOCS_TESTS = ("tests/test_documentation.py", "tests/test_contributing.py", "tests/submissions/test_submitting_page.py")


@nox.session(python=[OLDEST, NEWEST])
def tests(session: nox.Session) -> None:
    """Run the tests with the newest versions of all dependencies on the oldest and the newest supported Python."""
    _install(session, "highest")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(python=OLDEST)
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest declared version of each dependency.

    Old releases raise deprecation warnings beside newer indirect dependencies, so warnings are not errors here.
    """
    _install(session, "lowest-direct")
    # Old releases of torch compile with it, and environments that uv makes for Python 3.11 lack it.
    session.install("setuptools>=70")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", "-W", "default", *session.posargs)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style, types and the layers of packages."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Test the documentation: completeness, names, links and examples."""
    _install(session, "highest")
    session.run("python", "-m", "pytest", *DOCS_TESTS, *session.posargs)


@nox.session(python=OLDEST)
def site(session: nox.Session) -> None:
    """Build the documentation site into ``site/``; warnings are errors, among them links that lead nowhere."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-b", "html", "docs", "site", *session.posargs)


def _install(session: nox.Session, resolution: str) -> None:
    """Install the project with its test dependencies.

    The environment variable ``HARNESS_TORCH`` names another build of torch, such as ``torch==2.13.0+cpu``. The default
    build on Linux needs 3 GB for CUDA.
    """
    torch = [os.environ["HARNESS_TORCH"]] if "HARNESS_TORCH" in os.environ else []
    if session.venv_backend == "uv":
        session.install("--resolution", resolution, "-e", ".[test]", *torch)
    elif resolution == "highest":
        session.install("-e", ".[test]", *torch)
    else:
        session.error("the lowest versions are resolved by uv: python -m pip install uv")
