"""Pack the running package as a wheel, and pin what it requires, so that a competition runs exactly this code."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import IO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import harness
from harness.errors import UsageError

NAME = "sr-harness"
_STEM = f"sr_harness-{harness.__version__}"
_TAG = "py3-none-any"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all entries, so that equal content gives equal bytes."""


def wheel_name() -> str:
    """Return the file name of the wheel."""
    return f"{_STEM}-{_TAG}.whl"


def package_wheel() -> bytes:
    """Return this package as a wheel, also where it was installed in editable mode.

    The images of the embedded data set are left out: they contain ground truth.

    Raises
    ------
    UsageError
        The package runs without being installed, so that its metadata is unknown.
    """
    info = f"{_STEM}.dist-info"
    # The running code itself, not what was installed: a checkout may be ahead.
    files = {name: path.read_bytes() for name, path in _modules()}
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    files[f"{info}/entry_points.txt"] = (_installed().read_text("entry_points.txt") or "").encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    buffer = io.BytesIO()
    write_zip(buffer, files)
    return buffer.getvalue()


def write_zip(target: IO[bytes], files: Mapping[str, bytes | Path]) -> None:
    """Write a zip file from bytes or files by name, without times; images are stored as they are."""
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            # The Unix mode is in the upper half. Images and wheels are compressed already.
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if name.endswith((".png", ".whl")) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.read_bytes() if isinstance(content, Path) else content)


def pinned_requirements() -> list[str]:
    """Return the packages that this package requires, directly or not, as ``name==version``, sorted.

    Local versions such as ``2.13.0+cpu`` are cut, because package indexes do not have them.
    """
    pins: dict[str, str] = {}
    waiting = list(_installed().requires or [])
    while waiting:
        # A walk through the graph of requirements; `pins` holds the nodes that were visited.
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        # Without an extra: what the package requires only for its own extras is left out.
        if name in pins or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:  # optional on this system
            continue
        pins[name] = f"{name}=={Version(found.version).public}"
        waiting += found.requires or []
    return sorted(pins.values())


def _installed() -> Distribution:
    try:
        return distribution(NAME)
    except PackageNotFoundError as error:
        raise UsageError(f"{NAME} is not installed, only imported", hint="install it: pip install .") from error


def _modules() -> Iterator[tuple[str, Path]]:
    """Yield the files of the package with their names in the wheel."""
    package = Path(harness.__file__).parent
    folders = {"harness": package}
    if not (package / "_baselines").is_dir():  # a checkout keeps them beside the package
        folders["harness/_baselines"] = package.parent / "baselines"
    for prefix, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            # Names inside of the package, by which the ground truth is recognised.
            inner = path.relative_to(folder)
            is_ground_truth = inner.parts[:2] == ("data", "embedded") and path.suffix == ".webp"
            if path.is_file() and "__pycache__" not in inner.parts and not is_ground_truth:
                yield f"{prefix}/{inner.as_posix()}", path


def _metadata() -> str:
    """Return the metadata with the version of the running code, which an editable installation may lag behind."""
    text = _installed().read_text("METADATA") or ""
    lines = text.splitlines(keepends=True)
    return "".join(f"Version: {harness.__version__}\n" if line.startswith("Version:") else line for line in lines)


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    lines = []
    for name, content in files.items():
        # As the specification of wheels demands: URL-safe base64 without padding.
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    # The format of wheels leaves digest and size of RECORD itself empty.
    return "".join([*lines, f"{own_name},,\n"]).encode()
