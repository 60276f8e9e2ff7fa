"""Virtual environments for what submissions require and the harness lacks, one per set of requirements.

The harness's own packages, torch above all, stay visible in such an environment and are never installed again: a
submission that pins another torch is measured with the one that all others are measured with.

Nothing that is asked for runs while it is installed: only wheels are taken, which are unpacked and no more, and only
by name, from the index that uv is set to or from a folder.
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

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.errors import UnsupportedError, UsageError
from harness.submissions.archives import default_cache
from harness.submissions.manifest import Manifest
from harness.submissions.packages import package_folders
from harness.submissions.requirements import read_requirements, unmet

KEPT = frozenset(
    "torch torchvision triton numpy sr-harness pydantic pydantic-core typing-extensions packaging psutil".split()
)
"""Packages that are the harness's, whatever version a submission asks for: a worker itself runs on them."""

_TIMEOUT_S = 900
_HINT = "correct the requirements, or name with --wheels a folder that holds these packages"


def needed(root: Path, manifest: Manifest) -> list[str]:
    """Return the requirements of a submission that are to be installed for it, sorted.

    Those are the lines of the manifest's ``requires`` and of ``requirements.txt`` that no installed package meets,
    without :data:`KEPT` and what is no requirement.
    """
    lines = {*manifest.requires, *read_requirements(root)}
    return sorted(line for line in lines if (name := _name(line)) and name not in KEPT and unmet([line]))


def _name(line: str) -> str | None:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return None


def check_options(*, install: bool, wheels: Path | None) -> None:
    """Refuse what ``--install`` and ``--wheels`` ask for where it cannot be had.

    Raises
    ------
    UsageError
        There is no uv, no such folder, or wheels without ``--install``.
    """
    if wheels is not None and not install:
        raise UsageError("--wheels says where --install takes packages from", hint="add --install")
    if wheels is not None and not wheels.is_dir():
        raise UsageError("is no folder of wheels", where=str(wheels), hint="make one with `pip download -d FOLDER ...`")
    if install and find_uv() is None:
        raise UsageError("--install needs uv, which is not installed", hint="python -m pip install uv")


def find_uv() -> str | None:
    """Return the path of uv: the installed package's, else what is on the search path."""
    try:
        from uv import find_uv_bin
    except ImportError:
        return shutil.which("uv")
    try:
        return find_uv_bin()
    except FileNotFoundError:
        return shutil.which("uv")


def python_for(
    root: Path, manifest: Manifest, wheels: Path | None, tell: Callable[[str], None]
) -> tuple[Path | None, list[str]]:
    """Return the interpreter for one submission, None for the harness's own, and what was installed for it.

    ``tell`` hears what is to be installed before that begins. Raises UnsupportedError.
    """
    lacking = needed(root, manifest)
    if not lacking:
        return None, []
    tell(", ".join(lacking))
    return environment(lacking, wheels=wheels), lacking


def environment(requirements: Sequence[str], *, wheels: Path | None = None, cache_dir: Path | None = None) -> Path:
    """Return the Python interpreter of an environment that meets ``requirements``, built by uv or found in the cache.

    Parameters
    ----------
    requirements
        What :func:`needed` returns.
    wheels
        Folder of wheels to install from instead of an index, for machines without network.
    cache_dir
        Where environments are kept; the user's cache folder by default.

    Raises
    ------
    UnsupportedError
        uv is not installed or cannot install a requirement, or the disk is full.
    """
    addresses = [line for line in requirements if Requirement(line).url]
    if addresses:
        raise UnsupportedError(
            f"asks for packages at an address ({', '.join(addresses)}), which are not installed",
            hint="name a package of the index",
        )
    target = (cache_dir or default_cache().parent / "environments") / _key(requirements)
    python = target / "bin" / "python"
    if not python.exists():
        try:
            _build(list(requirements), target, wheels)
        except OSError as error:
            reason = f"no environment can be made: {error.strerror or error}"
            raise UnsupportedError(reason, where=str(target.parent), hint="make room there") from error
    return python


def _key(requirements: Sequence[str]) -> str:
    parts = [sorted(requirements), sys.version, sys.prefix, sorted(_installed())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _installed() -> list[str]:
    return [f"{found.name}=={found.version}" for found in distributions() if found.name]


def _build(requirements: list[str], target: Path, wheels: Path | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".building-"))
    try:
        folder = temporary / "venv"
        _uv("venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--quiet", "--no-build", *_source(wheels), *_overrides(requirements, temporary),
            "--python", str(folder / "bin" / "python"), "--", *requirements)  # fmt: skip
        _show_own_packages(folder)
        _settle(folder, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _settle(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        # Another process has built the same meanwhile: its environment is as good.
        if not target.is_dir():
            raise


def _source(wheels: Path | None) -> list[str]:
    return [] if wheels is None else ["--no-index", "--find-links", str(wheels.resolve())]


def _overrides(requirements: list[str], folder: Path) -> list[str]:
    """Tell uv to leave out every dependency that is installed beside the harness, such as torch."""
    asked = {_name(line) for line in requirements}
    own = {canonicalize_name(found.name) for found in distributions() if found.name} | KEPT
    file = folder / "overrides.txt"
    file.write_text("".join(f"{name} ; python_version < '0'\n" for name in sorted(own - asked)), encoding="utf-8")
    return ["--overrides", str(file)]


def _show_own_packages(folder: Path) -> None:
    """Put the harness's packages behind those of the new environment on its path."""
    (site,) = folder.glob("lib/python*/site-packages")
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
