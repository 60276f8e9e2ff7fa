"""Colours of the figures for print; a page replaces each with a variable of its light or dark theme."""

from collections.abc import Mapping

# Every value is unique, because the page finds the colours in the finished drawing by value.
PAPER: Mapping[str, str] = {
    "ink": "#23211f",
    "muted": "#6a6661",
    "rule": "#e2ded8",
    "mark": "#1f5fa8",
    "base": "#77736d",
    "front": "#b0622a",
    "curve": "#c4beb5",
    "ground": "#fffefd",
    "band0": "#b3423f",
    "band1": "#c9772b",
    "band2": "#a98a12",
    "band3": "#2f8a5b",
    "band4": "#2b79b9",
}
