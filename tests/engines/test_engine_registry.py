"""Engines are found by name."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from harness.engines import ENGINES, LocalEngine, get_engine
from harness.engines.inline import InlineEngine
from harness.errors import UsageError


def test_engines_of_the_harness_are_registered_like_all_others() -> None:
    assert isinstance(get_engine("local"), LocalEngine)
    assert isinstance(get_engine("inline"), InlineEngine)


def test_an_unknown_engine_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="Choose one of: inline, local"):
        get_engine("cloud")


def test_an_engine_of_a_package_is_made_from_its_class() -> None:
    points = [
        EntryPoint("again", "harness.engines.local:LocalEngine", "harness.engines"),
        EntryPoint("number", "math:pi", "harness.engines"),
    ]
    registry = replace(ENGINES, find=lambda _: points)
    assert isinstance(registry.get("again"), LocalEngine)
    with pytest.raises(UsageError, match=r"it is a float without devices\(\), executor\(\) and open\(\)"):
        registry.get("number")
