"""Recreate the images of the embedded data set from their sources, as described in its catalogue.

Usage: ``python -m training.prepare_embedded OUT``

Photographs and artwork are taken from Debian packages. Renderings are produced by POV-Ray (package ``povray``) from the
example scenes of ``povray-examples``. The pixels are compared with the shipped images and differences are printed;
renderings may differ by single grey levels on another processor or with another version of POV-Ray.
"""

import argparse
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from training.prepare_data import unpack

EMBEDDED = Path(__file__).resolve().parents[1] / "harness" / "data" / "embedded"
INCLUDE = "usr/share/povray-3.7/include"
WIDTH, HEIGHT = 2040, 1080


@dataclass(frozen=True, slots=True)
class Recipe:
    """Source of one image, its size before cropping (`resize`), and the left and top of the crop (`corner`)."""

    file: str
    package: str
    path: str
    resize: tuple[int, int] | None
    corner: tuple[int, int]


def read_recipes(catalogue: Path = EMBEDDED / "catalogue.toml") -> list[Recipe]:
    """Return the recipes of all images of the catalogue."""
    entries = tomllib.loads(catalogue.read_text("utf-8"))["image"]
    return [_recipe(entry) for entry in entries]


def _recipe(entry: dict[str, str | list[int]]) -> Recipe:
    package, path = str(entry["source"]).split(": ")
    width, height, left, top = (int(number) for number in entry.get("resize_crop", (0, 0, 0, 0)))
    return Recipe(str(entry["file"]), package, path, (width, height) if width else None, (left, top))


def crop(picture: Path, recipe: Recipe) -> Image.Image:
    """Downscale a picture with a Lanczos filter, which removes blur, and crop it to the size of the data set."""
    left, top = recipe.corner
    with Image.open(picture) as image:
        scaled = image.convert("RGB")
        if recipe.resize:
            scaled = scaled.resize(recipe.resize, Image.Resampling.LANCZOS)
        return scaled.crop((left, top, left + WIDTH, top + HEIGHT))


def render(scene: Path, include: Path, out: Path) -> Path:
    """Render a POV-Ray scene at the size of the data set with recursive antialiasing; return the path of the PNG.

    One thread is used because the jitter of the antialiasing depends on the assignment of blocks to threads.
    """
    size = (f"+W{WIDTH}", f"+H{HEIGHT}", "+A0.1", "+AM2", "+R2", "+WT1")
    command = ["povray", f"+I{scene.name}", f"+O{out}", *size, "-D", "-GA", f"+L{include}"]
    subprocess.run(command, cwd=scene.parent, check=True)
    return out


def make(recipe: Recipe, folder: Path) -> Image.Image:
    """Create one image from its package, which is unpacked below `folder`."""
    source = unpack(recipe.package, folder) / recipe.path
    if source.suffix == ".pov":
        source = render(source, unpack("povray-includes", folder) / INCLUDE, folder / "frame.png")
    return crop(source, recipe)


def difference(made: Image.Image, shipped: Path) -> int:
    """Return the largest difference between two images in grey levels."""
    with Image.open(shipped) as image:
        extrema = ImageChops.difference(made, image.convert("RGB")).getextrema()
    return max(int(highest) for _, highest in extrema)  # type: ignore[misc]


def main() -> None:
    """Recreate all images of the embedded data set and compare them with the shipped ones."""
    parser = argparse.ArgumentParser(prog="python -m training.prepare_embedded", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder for the lossless WebP images")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for recipe in read_recipes():
        with tempfile.TemporaryDirectory() as temporary:
            image = make(recipe, Path(temporary))
        image.save(out / recipe.file, lossless=True, quality=80, method=4)
        if (EMBEDDED / recipe.file).is_file():
            print(f"{recipe.file}: differs by at most {difference(image, EMBEDDED / recipe.file)} grey levels")


if __name__ == "__main__":
    main()
