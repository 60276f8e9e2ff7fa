"""Submissions that installed packages register as entry points, read from metadata without importing them."""

from __future__ import annotations

import importlib.util
from importlib.metadata import EntryPoint
from pathlib import Path

from harness.errors import ManifestError
from harness.faults import concerns_the_run, submission_error
from harness.plugins import Registry
from harness.submissions.manifest import FILE_NAME, Manifest, read_manifest
from harness.submissions.submission import PROTOCOL_SCALES, BrokenSubmission, Found, Submission
from harness.text import single_line

SUBMISSIONS: Registry[object] = Registry("harness.submissions", "submission", lambda loaded: loaded)
"""Listed here and never loaded: the code of a submission is executed in workers only."""


def installed_submissions() -> list[Found]:
    """List the entry points of the group ``harness.submissions``.

    An entry point is ``package.module:factory`` or ``package.module`` (the factory is then ``srmodel``). A
    ``submission.toml`` next to the module or in a parent folder within the package provides everything but the factory.
    """
    return [_describe(point) for point in SUBMISSIONS.find(SUBMISSIONS.group)]


def _describe(point: EntryPoint) -> Found:
    module, _, attribute = point.value.partition(":")
    # The value of an entry point may end with extras in brackets.
    module, factory = module.strip(), attribute.split("[")[0].strip() or "srmodel"
    try:
        package = _package_folder(module, point)
        manifest = _manifest(package, module, point.name)
        manifest = manifest.model_copy(update={"factory": f"{module}:{factory}"})
    except Exception as error:
        if concerns_the_run(error):
            raise
        name = single_line(point.name, 200) or "submission"
        return BrokenSubmission(name, Path(point.value), submission_error(error, point.value))
    return Submission(manifest.name, "", "submission", package, manifest, "entry-point", module)


def _package_folder(module: str, point: EntryPoint) -> Path:
    top = module.split(".", maxsplit=1)[0]
    try:
        # find_spec of a dotted name would import its parent packages, which is submitted code.
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        owner = f" of {point.dist.name}" if point.dist else ""
        raise ManifestError(
            f"the entry point {point.name} = {point.value!r}{owner} does not refer to an installed package",
            hint="point it at a module inside a package, such as my_model.arch:srmodel",
        )
    # Only namespace packages have several folders.
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _manifest(package: Path, module: str, name: str) -> Manifest:
    folder = package.joinpath(*module.split(".")[1:])
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return _relative_to(package, candidate, read_manifest(candidate))
        if candidate == package:
            break
    return Manifest(name=name, scales=list(PROTOCOL_SCALES))


def _relative_to(package: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Return ``manifest`` with paths of weights relative to the package instead of the manifest's folder."""
    if folder == package or not manifest.weights:
        return manifest
    inner = folder.relative_to(package)
    return manifest.model_copy(
        update={"weights": {key: (inner / path).as_posix() for key, path in manifest.weights.items()}}
    )
