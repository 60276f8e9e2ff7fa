"""Embed a matplotlib figure in a page: theme colours, the page's fonts, unique ids."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from markupsafe import Markup

from harness.report.drawing import Drawn, render
from harness.report.palette import PAPER

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
FONT = re.compile(r"font-family: [^;]+;? ?")
HUES = {hue: f"var(--fig-{role})" for role, hue in PAPER.items()}
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
    ET.register_namespace("", SVG)
    root = ET.fromstring(drawing)  # noqa: S314  (our own drawing)
    for element in list(root):
        if element.tag == f"{{{SVG}}}metadata":
            root.remove(element)
    for element in root.iter():
        _adapt(element, prefix, targets)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}-title {prefix}-desc"}
    root[0:0] = [_text("title", f"{prefix}-title", title), _text("desc", f"{prefix}-desc", description)]
    return ET.tostring(root, encoding="unicode")


def _adapt(element: ET.Element, prefix: str, targets: Mapping[str, str]) -> None:
    name = element.get("id")
    if name is not None:
        if name in targets:
            element.set("data-row", targets[name])
        element.set("id", f"{prefix}-{name}")
    target = element.attrib.pop(f"{{{XLINK}}}href", None) or element.get("href")
    if target and target.startswith("#"):
        element.set("href", f"#{prefix}-{target[1:]}")
    for key, value in element.attrib.items():
        if "url(#" in value:
            element.set(key, REFERENCE.sub(rf"url(#{prefix}-\1)", value))
    style = element.get("style")
    if style:
        element.set("style", FONT.sub("", HUE.sub(lambda match: HUES[match[0]], style)))


def _text(tag: str, name: str, content: str) -> ET.Element:
    element = ET.Element(f"{{{SVG}}}{tag}", {"id": name})
    element.text = content
    return element
