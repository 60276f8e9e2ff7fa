"""Embed a matplotlib figure in a page: theme colours, the page's fonts, unique ids."""

import re
from collections import Counter
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from markupsafe import Markup

from harness.report.drawing import Drawn, render
from harness.report.palette import PAPER

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Removed from styles, so that text has the font of the page.
FONT = re.compile(r"font-family: [^;]+;? ?")
# From colours of the drawing to variables of the style sheet, which differ between the light and the dark theme.
HUES = {hue: f"var(--fig-{role})" for role, hue in PAPER.items()}
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
# White space around the commands of a path, and repeated white space.
_BLANKS = re.compile(r"\s*([A-Za-z]|\s)\s*")
_RECURS = 4  # a style is worth a class from so many uses on
HUE = re.compile("|".join(re.escape(hue) for hue in HUES))


def on_page(drawn: Drawn) -> Markup:
    """Return a figure as HTML."""
    drawing = render(drawn.figure, "svg").decode("utf-8")
    element = for_page(drawing, drawn.name, drawn.title, drawn.description, drawn.targets)
    return Markup(element)  # noqa: S704  (serialised XML, text escaped there)


def for_page(drawing: str, prefix: str, title: str, description: str, targets: Mapping[str, str]) -> str:
    """Return the drawing as an ``<svg>`` element to put into HTML.

    Parameters
    ----------
    drawing
        A complete SVG file, text kept as text.
    prefix
        Goes before every id, so that two drawings in a page do not share any.
    title, description
        The text alternative.
    targets
        From an id in the drawing to the value of its ``data-row``, which the page's script reads.
    """
    # Otherwise every tag would be written with a prefix, which HTML does not know.
    ET.register_namespace("", SVG)
    root = ET.fromstring(drawing)  # noqa: S314  (our own drawing)
    for element in list(root):
        if element.tag == f"{{{SVG}}}metadata":
            root.remove(element)
    for element in root.iter():
        _adapt(element, prefix, targets)
    # Without a size, the drawing takes the width of its column; the view box keeps its proportions.
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}-title {prefix}-desc"}
    # Before title and description are added, whose ids must stay.
    _compress(root, prefix)
    root[0:0] = [_text("title", f"{prefix}-title", title), _text("desc", f"{prefix}-desc", description)]
    return ET.tostring(root, encoding="unicode")


def _adapt(element: ET.Element, prefix: str, targets: Mapping[str, str]) -> None:
    name = element.get("id")
    if name is not None:
        if name in targets:
            element.set("data-row", targets[name])
        element.set("id", f"{prefix}-{name}")
    # XLink is deprecated in SVG 2, and HTML needs no namespace for href.
    target = element.attrib.pop(f"{{{XLINK}}}href", None) or element.get("href")
    if target and target.startswith("#"):
        element.set("href", f"#{prefix}-{target[1:]}")
    for key, value in element.attrib.items():
        if "url(#" in value:
            element.set(key, REFERENCE.sub(rf"url(#{prefix}-\1)", value))
    style = element.get("style")
    if style:
        element.set("style", FONT.sub("", HUE.sub(lambda match: HUES[match[0]], style)))


def _compress(root: ET.Element, prefix: str) -> None:
    """Make a drawing small: no blank text, unused ids or empty groups, one decimal, styles that recur as classes."""
    used = _referenced(root)
    short = "".join(word[0] for word in prefix.split("-"))
    _shorten_ids(root, used, short)
    for element in root.iter():
        clip = element.attrib.pop("clip-path", None)
        if clip is not None:
            # As a part of the style, it can be shared by a class.
            element.set("style", f"{element.get('style', '')}; clip-path: {clip}".removeprefix("; "))
    counts = Counter(element.get("style") for element in root.iter() if element.get("style"))
    classes = {style: f"{short}{at}" for at, (style, count) in enumerate(counts.most_common()) if count >= _RECURS}
    for element in root.iter():
        if element.tag != f"{{{SVG}}}text":
            element.text = None if not (element.text or "").strip() else element.text
        element.tail = None
        for key in ("d", "x", "y", "transform"):
            if key in element.attrib:
                element.set(key, _short_numbers(element.attrib[key]))
        if element.get("style") in classes:
            element.set("class", classes[element.attrib.pop("style")])
    # After ids and styles are gone from most groups.
    _unwrap(root)
    if classes:
        rules = ET.Element(f"{{{SVG}}}style")
        rules.text = "".join(f".{name}{{{style}}}" for style, name in classes.items())
        root.insert(0, rules)


def _shorten_ids(root: ET.Element, used: set[str], short: str) -> None:
    """Give what is referenced short ids, and remove the ids of everything else."""
    names = {name: f"{short}-{at}" for at, name in enumerate(sorted(used))}
    for element in root.iter():
        if element.get("id") in names:
            element.set("id", names[element.attrib["id"]])
        else:
            element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            if key == "href":
                element.set(key, f"#{names[value.removeprefix('#')]}")
            elif "url(#" in value:
                element.set(key, REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", value))


def _referenced(root: ET.Element) -> set[str]:
    found = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href":
                found.add(value.removeprefix("#"))
            found.update(REFERENCE.findall(value))
    return found


def _short_numbers(text: str) -> str:
    """Round numbers with many decimals, of lengths in points, to a tenth."""
    return _BLANKS.sub(r"\1", _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), text)).strip()


def _unwrap(parent: ET.Element) -> None:
    """Replace groups without attributes by their content; the row of a group of one element goes to that element."""
    # Backwards, since a group is replaced by any number of elements.
    for at in reversed(range(len(parent))):
        child = parent[at]
        _unwrap(child)
        if child.tag != f"{{{SVG}}}g":
            continue
        if set(child.attrib) == {"data-row"} and len(child) == 1:
            child[0].set("data-row", child.attrib.pop("data-row"))
        if not child.attrib:
            parent[at : at + 1] = list(child)


def _text(tag: str, name: str, content: str) -> ET.Element:
    element = ET.Element(f"{{{SVG}}}{tag}", {"id": name})
    element.text = content
    return element
