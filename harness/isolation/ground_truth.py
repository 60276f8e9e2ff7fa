"""Find the HR images that ship with the package wherever a sandbox would show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.isolation.environment import PACKAGE
from harness.submissions.packages import package_folders

_IMAGES = Path("data") / "embedded"


def visible_images(binds: Mapping[Path, Path]) -> list[Path]:
    """Return the paths inside a sandbox at which folders of HR images would be visible.

    Parameters
    ----------
    binds
        Folders of this machine and the paths at which the sandbox shows them.

    Notes
    -----
    Paths are compared after symbolic links are resolved: an environment that is reached through a link is shown under
    the path of the link too. Other installed copies of the package, beside the running one, are found as well.
    """
    folders = {folder.resolve() for source in binds for folder in _image_folders(source)}
    places = {
        target / folder.relative_to(source.resolve())
        for source, target in binds.items()
        for folder in folders
        if folder.is_relative_to(source.resolve())
    }
    return sorted(places)


def _image_folders(source: Path) -> Iterator[Path]:
    packages = [PACKAGE, *(folder / PACKAGE.name for folder in package_folders())]
    # Debian names the folder dist-packages, and installs packages of pip below local/.
    for pattern in ("lib*/python*/*-packages", "local/lib*/python*/*-packages"):
        packages += [folder / PACKAGE.name for folder in source.glob(pattern)]
    packages.append(source / PACKAGE.name)  # the folder of a submission may be that of a checkout
    yield from (package / _IMAGES for package in packages if (package / _IMAGES).is_dir())
