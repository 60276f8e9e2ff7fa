"""Collect the training images of `images.toml` as PNG files.

Usage: ``python -m training.prepare_data OUT [--shared DIR]``

Photographs and drawings are taken from Debian packages, which are downloaded with ``apt-get`` and unpacked without
being installed, and from the folder of shared photographs if it exists. Images that are not available are skipped with
a message. In addition, the pictures of ``training.renderings`` are generated.
"""

import argparse
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from shutil import which

from PIL import Image

from training.renderings import write_renderings

CATALOGUE = Path(__file__).with_name("images.toml")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "train"
SHARED_PREFIX = "shared/"


@dataclass(frozen=True, slots=True)
class Source:
    """One training image: package and file, author and licence, and downscaling factor."""

    name: str
    package: str
    file: str
    author: str
    licence: str
    downscale: float


def read_catalogue(path: Path = CATALOGUE) -> list[Source]:
    """Return the list of training images in the order of the file."""
    return [Source(**entry) for entry in tomllib.loads(path.read_text("utf-8"))["image"]]


def downscale(image: Image.Image, factor: float) -> Image.Image:
    """Downscale by `factor` with a Lanczos filter, which removes blur and block artifacts of JPEG sources."""
    width, height = (round(side / factor) for side in image.size)
    return image if factor == 1 else image.resize((width, height), Image.Resampling.LANCZOS)


def convert(source: Source, root: Path, out: Path) -> bool:
    """Write one image to ``out/NAME.png``; return False if the source does not contain it."""
    path = root / source.file
    if not path.is_file():
        print(f"skipped {source.name}: {source.package} has no {source.file}")
        return False
    with Image.open(path) as image:
        downscale(image.convert("RGB"), source.downscale).save(out / f"{source.name}.png")
    return True


def unpack(package: str, folder: Path) -> Path:
    """Download a Debian package by name and unpack it below `folder`, without installing it."""
    as_user = ("-o", "APT::Sandbox::User=root")  # apt's own user cannot read root's temporary folder
    subprocess.run(["apt-get", *as_user, "download", "-qq", package], cwd=folder, check=True)
    (archive,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, folder / package], check=True)
    return folder / package


def source_root(package: str, shared: Path, folder: Path) -> Path | None:
    """Return the folder with the files of a package; print the reason and return None if it is not available."""
    if package.startswith(SHARED_PREFIX):
        root = shared / package.removeprefix(SHARED_PREFIX)
        if not root.is_dir():
            print(f"skipped {package}: there is no folder {root}")
        return root if root.is_dir() else None
    if which("apt-get") is None or which("dpkg-deb") is None:
        print(f"skipped {package}: apt-get and dpkg-deb are needed (a Debian system)")
        return None
    try:
        return unpack(package, folder)
    except subprocess.CalledProcessError as error:
        print(f"skipped {package}: {error} (try `apt-get update`)")
        return None


def prepare(out: Path, shared: Path = SHARED, catalogue: Path = CATALOGUE) -> int:
    """Write all available images of the catalogue to `out`; return the number of written images."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(read_catalogue(catalogue), key=lambda source: source.package)
    written = 0
    for package, members in groupby(sources, key=lambda source: source.package):
        with tempfile.TemporaryDirectory() as temporary:
            root = source_root(package, shared, Path(temporary))
            count = 0 if root is None else sum(convert(source, root, out) for source in members)
        print(f"{package}: {count} images", flush=True)
        written += count
    return written


def main() -> None:
    """Read the command line and prepare the images."""
    parser = argparse.ArgumentParser(prog="python -m training.prepare_data", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for the PNG images")
    parser.add_argument(
        "--shared", type=Path, default=SHARED, help="folder of shared photographs (default: %(default)s)"
    )
    arguments = parser.parse_args()
    count = prepare(arguments.out, arguments.shared) + write_renderings(arguments.out)
    print(f"{count} images in {arguments.out}")


if __name__ == "__main__":
    main()
