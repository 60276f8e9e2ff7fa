"""Generate random pictures with text and with uniform shapes that have sharp edges.

Such content is common in slides, charts and user interfaces but not in photographs. Networks trained on photographs
only produce ringing around letters.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

SIZE = (1600, 1200)
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono", "STIXGeneral")
TEXT_SIZES = (11, 14, 18, 24, 34, 48, 72)
WORDS = "the image of a network is what its kernels make from light, edges, noise and 1920 x 1080 (30 %) score +0.25"
SUPERSAMPLING = 3
"""Factor by which shapes are drawn larger and then averaged, for antialiasing; text is antialiased by Pillow."""


def slide(rng: np.random.Generator) -> Image.Image:
    """Draw columns of text in several sizes and fonts on blocks of uniform colour."""
    image = Image.new("RGB", SIZE, _colour(rng))
    draw = ImageDraw.Draw(image)
    for left in range(0, SIZE[0], 400):
        for top in range(0, SIZE[1], 300):
            ground = _colour(rng)
            draw.rectangle((left, top, left + 399, top + 299), fill=ground)
            _paragraph(draw, rng, (left + 8, top + 6), ground)
    return image


def _paragraph(draw: ImageDraw.ImageDraw, rng: np.random.Generator, corner: tuple[int, int], ground: Colour) -> None:
    """Fill a block with lines of text in one font; the next block overwrites text that is too long."""
    size = int(rng.choice(TEXT_SIZES))
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(fonts / f"{rng.choice(FONTS)}.ttf", size)
    ink = _colour(rng)
    # Replace ink that is hardly visible on its ground by black or white.
    if sum(abs(one - other) for one, other in zip(ink, ground, strict=True)) < 150:
        ink = (255, 255, 255) if sum(ground) < 380 else (0, 0, 0)
    words = WORDS.split()
    for line in range(int(290 / (1.3 * size))):
        text = " ".join(rng.choice(words, size=12))
        draw.text((corner[0], corner[1] + 1.3 * size * line), text, fill=ink, font=font)


def shapes(rng: np.random.Generator) -> Image.Image:
    """Draw overlapping outlined polygons, discs and groups of parallel lines."""
    width, height = (SUPERSAMPLING * side for side in SIZE)
    image = Image.new("RGB", (width, height), _colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(400):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = SUPERSAMPLING * 10 ** rng.uniform(0.7, 2.1)  # 5 to 126 pixels, uniform on a logarithmic scale
        line = round(SUPERSAMPLING * rng.uniform(0.7, 6.0))
        kind = rng.integers(3)
        if kind == 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), _colour(rng), _colour(rng), line)
        elif kind == 1:
            corners = [(x + radius * dx, y + radius * dy) for dx, dy in rng.normal(size=(int(rng.integers(3, 7)), 2))]
            draw.polygon(corners, _colour(rng), _colour(rng), line)
        else:
            _hatch(draw, rng, (x, y), radius, line)
    return image.resize(SIZE, Image.Resampling.BOX)


def _hatch(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, centre: tuple[float, float], radius: float, line: int
) -> None:
    """Draw parallel lines whose width equals the distance between them."""
    angle = rng.uniform(0, np.pi)
    along = radius * np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]]) / radius
    ink = _colour(rng)
    for step in np.arange(-radius, radius, 2.0 * line):
        start, end = (np.array(centre) + step * across + sign * along for sign in (-1, 1))
        draw.line((*start, *end), fill=ink, width=line)


def _colour(rng: np.random.Generator) -> Colour:
    """Return white, black, a random grey or a random colour, with equal probability."""
    kind = rng.integers(4)
    if kind < 2:
        return (255, 255, 255) if kind else (0, 0, 0)
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return (red, red, red) if kind == 2 else (red, green, blue)


DRAWN: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    f"{kind.__name__}-{number}": kind for kind in (slide, shapes) for number in range(3)
}
"""Drawing functions by name of the picture."""


def write_renderings(out: Path) -> int:
    """Write all pictures to ``out/rendering-NAME.png``; return their number."""
    out.mkdir(parents=True, exist_ok=True)
    for seed, (name, draw) in enumerate(DRAWN.items()):
        draw(np.random.default_rng(seed)).save(out / f"rendering-{name}.png")
    return len(DRAWN)
