"""Place labels beside marks without overlaps."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Estimated width of a letter: 0.6 em in the widest common fonts, 1 em for East Asian letters and emoji.
LETTER_EM = 0.6
WIDE_EM = 1.05
BOLD = 1.15  # width of bold letters over that of others
# Marks that are labelled at most.
MOST = 100
_GAPS = (2.5, 9.0, 17.0, 26.0)  # points between a mark and its label, in order of preference
# Further gaps, for figures in which leader lines must not cross labels.
_FAR_GAPS = (38.0, 52.0, 68.0)
_STEP = 2.0  # points between the places at which a leader line is tested


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in points; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: "Box") -> bool:
        """Return whether the two rectangles share an area."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def within(self, other: "Box") -> bool:
        """Return whether this rectangle lies wholly inside ``other``."""
        return (
            self.left >= other.left and self.right <= other.right
            and self.bottom >= other.bottom and self.top <= other.top
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with a radius, in points, and the text of its label."""

    x: float
    y: float
    radius: float
    text: str
    bold: bool = False

    @property
    def box(self) -> Box:
        """The square around the mark."""
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


@dataclass(frozen=True, slots=True)
class Label:
    """The position of a label: the left end of its middle line; a ``far`` label needs a leader line."""

    mark: Mark
    box: Box
    far: bool


def text_width(text: str, size: float) -> float:
    """Return an upper estimate of a text's width in points, independent of the font."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (LETTER_EM * (len(text) - wide) + WIDE_EM * wide)


def place_labels(
    marks: Sequence[Mark], bounds: Box, size: float, obstacles: Sequence[Box] = (), *, clear_leaders: bool = False
) -> list[Label]:
    """Place as many labels as fit, in the order of the marks; at most the first hundred marks are labelled.

    Parameters
    ----------
    marks
        What is labelled.
    bounds
        Where labels may lie.
    size
        Of the text, points.
    obstacles
        What labels must not cover, besides marks.
    clear_leaders
        Whether leader lines and labels must not cross either.
    """
    # All marks first: no label may cover a mark, not even one that is labelled later.
    taken = [*obstacles, *(mark.box for mark in marks)]
    labels: list[Label] = []
    for mark in marks[:MOST]:
        for box, far in _candidates(mark, size, (*_GAPS, *_FAR_GAPS) if clear_leaders else _GAPS):
            leader = _leader(mark, box) if far and clear_leaders else []
            is_free = not any(box.meets(other) for other in taken)
            if box.within(bounds) and is_free and not any(p.meets(one.box) for p in leader for one in labels):
                labels.append(Label(mark, box, far))
                taken += [box, *leader]
                break
    return labels


def _leader(mark: Mark, box: Box) -> list[Box]:
    """Return small boxes along the line from a mark to the edge of its label."""
    # The point of the box that is nearest to the mark: on its left or right edge, or straight above or below the mark.
    x = min(max(mark.x, box.left), box.right)
    y = (box.bottom + box.top) / 2 if x != mark.x else box.bottom if box.bottom > mark.y else box.top
    steps = max(2, round(max(abs(x - mark.x), abs(y - mark.y)) / _STEP))
    places = [(mark.x + (x - mark.x) * at / steps, mark.y + (y - mark.y) * at / steps) for at in range(steps)]
    return [Box(px - 0.5, py - 0.5, px + 0.5, py + 0.5) for px, py in places]


def _candidates(mark: Mark, size: float, gaps: Sequence[float]) -> Iterator[tuple[Box, bool]]:
    """Yield candidate rectangles around a mark in order of preference: right, left, above, below, then further out."""
    # 1.25: height of a line of text over its size.
    width, height = text_width(mark.text, size) * (BOLD if mark.bold else 1), size * 1.25
    for gap in gaps:
        reach = mark.radius + gap
        # (0.7, 0.8) has a length of about 1, so that diagonal labels are as far away as others.
        for dx, dy in ((1, 0), (-1, 0), (0.7, 0.8), (-0.7, 0.8), (0.7, -0.8), (-0.7, -0.8), (0, 1), (0, -1)):
            x, y = mark.x + dx * reach, mark.y + dy * (reach + (height / 2 if dx == 0 else 0))
            left = x if dx > 0 else x - width if dx < 0 else x - width / 2
            # Only a label at the smallest gap needs no leader line.
            yield Box(left, y - height / 2, left + width, y + height / 2), gap > 5
