"""Virtual environments for packages that submissions require and the harness lacks, one per set of requirements.

The packages of the harness, in particular torch, are visible in these environments and are never installed again. A
submission that pins another version of torch is measured with the same version as all others.

Installing a package never executes its code: only wheels are accepted, no source distributions, and only by name, from
uv's configured index or from a folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.errors import SubmissionError, UnsupportedError, UsageError
from harness.submissions.archives import default_cache
from harness.submissions.challenge.imports import needs_of
from harness.submissions.challenge.packages import required
from harness.submissions.manifest import Manifest
from harness.submissions.packages import package_folders
from harness.submissions.requirements import parse, read_requirements, unmet

KEPT = frozenset(
    "torch torchvision triton numpy sr-harness pydantic pydantic-core typing-extensions packaging psutil".split()
)
"""Packages that are never installed, whatever version a submission requires, because the worker itself uses them."""

_TIMEOUT_S = 900
_HINT = "correct the requirements, or use --wheels with a folder that contains these packages"


def needed(root: Path, manifest: Manifest) -> list[str]:
    """Return the requirements to install for a submission, sorted.

    These are the requirements in the manifest and in ``requirements.txt``, and the known packages that the modules of
    its factories import, that no installed package satisfies, except :data:`KEPT` and lines that are not valid
    requirements.
    """
    lines = {*manifest.requires, *read_requirements(root), *_imported(root, manifest)}
    return sorted(line for line in lines if (name := _name(line)) and name not in KEPT and unmet([line]))


def _imported(root: Path, manifest: Manifest) -> list[str]:
    """Return the distributions of known packages that the factories' modules import, found without executing them."""
    modules = [factory.partition(":")[0] for factory in (manifest.factory, *manifest.alternatives)]
    try:
        return required(needs_of(root / manifest.folder, modules).packages)
    except (OSError, SubmissionError):  # the worker says what is wrong with its files
        return []


def _name(line: str) -> str | None:
    requirement = parse(line)
    return None if requirement is None else canonicalize_name(requirement.name)


def check_options(*, install: bool, wheels: Path | None) -> None:
    """Validate the options ``--install`` and ``--wheels``.

    Raises
    ------
    UsageError
        uv is not installed, the folder does not exist, or ``--wheels`` is given without ``--install``.
    """
    if wheels is not None and not install:
        raise UsageError("--wheels has no effect without --install", hint="add --install")
    if wheels is not None and not wheels.is_dir():
        raise UsageError("no such folder of wheels", where=str(wheels), hint="create it: `pip download -d FOLDER ...`")
    if install and find_uv() is None:
        raise UsageError("--install needs uv, which is not installed", hint="python -m pip install uv")


def find_uv() -> str | None:
    """Return the path of uv from the installed Python package, else from ``PATH``; None if there is none."""
    try:
        from uv import find_uv_bin
    except ImportError:
        return shutil.which("uv")
    try:
        return find_uv_bin()
    except FileNotFoundError:
        return shutil.which("uv")


def python_for(
    root: Path, manifest: Manifest, wheels: Path | None, notify: Callable[[str], None]
) -> tuple[Path | None, list[str]]:
    """Create or find the environment of one submission.

    Parameters
    ----------
    root
        Folder of the submission.
    manifest
        Its manifest.
    wheels
        Folder of wheels to install from instead of an index.
    notify
        Called with the list of requirements before they are installed.

    Returns
    -------
    python
        Interpreter of the environment; None if the submission needs no other than that of the harness.
    requirements
        The installed requirements.

    Raises
    ------
    UnsupportedError
        The requirements cannot be installed.
    """
    requirements = needed(root, manifest)
    if not requirements:
        return None, []
    notify(", ".join(requirements))
    return environment(requirements, wheels=wheels), requirements


def environment(requirements: Sequence[str], *, wheels: Path | None = None, cache_dir: Path | None = None) -> Path:
    """Return the interpreter of an environment with ``requirements``, from the cache or newly built with uv.

    Parameters
    ----------
    requirements
        Output of :func:`needed`.
    wheels
        Folder of wheels to install from instead of an index, for machines without network access.
    cache_dir
        Folder of environments; the user's cache folder by default.

    Raises
    ------
    UnsupportedError
        uv is not installed or cannot install a requirement, or the disk is full.
    """
    addresses = [line for line in requirements if Requirement(line).url]
    if addresses:
        raise UnsupportedError(
            f"requires packages from a URL ({', '.join(addresses)}), which are not installed",
            hint="require a package of the index by name",
        )
    target = (cache_dir or default_cache().parent / "environments") / _key(requirements)
    python = target / "bin" / "python"
    # The environment appears by a rename, so that an existing one is complete.
    if not python.exists():
        try:
            _build(list(requirements), target, wheels)
        except OSError as error:
            reason = f"cannot create an environment: {error.strerror or error}"
            raise UnsupportedError(
                reason,
                where=str(target.parent),
                hint="free disk space there, or set HARNESS_CACHE_DIR to another folder",
            ) from error
    return python


def _key(requirements: Sequence[str]) -> str:
    """Return a cache key. It covers the installed packages, because they decide what an environment must add."""
    parts = [sorted(requirements), sys.version, sys.prefix, sorted(_installed())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _installed() -> list[str]:
    return [f"{found.name}=={found.version}" for found in distributions() if found.name]


def _build(requirements: list[str], target: Path, wheels: Path | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".building-"))
    try:
        folder = temporary / "venv"
        # --relocatable, because the environment is renamed after it is built.
        _uv("venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(folder))
        # After "--", nothing that a submission requires can be taken for an option of uv.
        _uv("pip", "install", "--quiet", "--no-build", *_source(wheels), *_overrides(requirements, temporary),
            "--python", str(folder / "bin" / "python"), "--", *requirements)  # fmt: skip
        _add_own_packages(folder)
        _publish(folder, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        # Another process has built the same environment in the meantime.
        if not target.is_dir():
            raise


def _source(wheels: Path | None) -> list[str]:
    return [] if wheels is None else ["--no-index", "--find-links", str(wheels.resolve())]


def _overrides(requirements: list[str], folder: Path) -> list[str]:
    """Return uv options that exclude every dependency that is installed with the harness, such as torch.

    uv has no option to exclude a package. An override with a marker that is never true has that effect.
    """
    asked = {_name(line) for line in requirements}
    own = {canonicalize_name(found.name) for found in distributions() if found.name} | KEPT
    file = folder / "overrides.txt"
    file.write_text("".join(f"{name} ; python_version < '0'\n" for name in sorted(own - asked)), encoding="utf-8")
    return ["--overrides", str(file)]


def _add_own_packages(folder: Path) -> None:
    """Append the package folders of the harness to the search path of the new environment, after its own."""
    # Exactly one folder exists, since the environment has one version of Python.
    (site,) = folder.glob("lib/python*/site-packages")
    # A checkout that is not installed is found through this folder.
    harness = Path(__file__).resolve().parents[2]
    lines = [*map(str, package_folders()), str(harness)]
    (site / "harness_packages.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _uv(*arguments: str) -> None:
    uv = find_uv()
    if uv is None:
        raise UnsupportedError("--install needs uv, which is not installed", hint="python -m pip install uv")
    try:
        done = subprocess.run([uv, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnsupportedError(f"uv did not finish within {_TIMEOUT_S} s", hint="use a folder of wheels") from error
    if done.returncode:
        reason = " ".join(done.stderr.split())[-600:]
        raise UnsupportedError(f"uv cannot install what is required: {reason}", hint=_HINT)
