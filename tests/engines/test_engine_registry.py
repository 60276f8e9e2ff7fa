"""Engines are found by name."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from harness.engines import ENGINES, Engine, LocalEngine, get_engine
from harness.engines.inline import InlineEngine
from harness.engines.registry import _MEMBERS
from harness.errors import UsageError


def test_engines_of_the_harness_are_registered_like_all_others() -> None:
    assert isinstance(get_engine("local"), LocalEngine)
    assert isinstance(get_engine("inline"), InlineEngine)


def test_an_unknown_engine_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="Choose one of: inline, local"):
        get_engine("cloud")


class Unfinished(LocalEngine):
    """An engine of an older version of the protocol."""

    share: Any = property()
    disconnect: Any = property()  # raises AttributeError


def test_an_engine_of_a_package_is_made_from_its_class() -> None:
    points = [
        EntryPoint("again", "harness.engines.local:LocalEngine", "harness.engines"),
        EntryPoint("number", "math:pi", "harness.engines"),
    ]
    registry = replace(ENGINES, find=lambda _: points)
    assert isinstance(registry.get("again"), LocalEngine)
    with pytest.raises(UsageError, match="it is a float without name, shares_files, devices, executor"):
        registry.get("number")


def test_an_engine_that_lacks_what_a_run_needs_at_its_end_is_refused_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.engines.local.LocalEngine", Unfinished)
    points = [EntryPoint("unfinished", "harness.engines.local:LocalEngine", "harness.engines")]
    with pytest.raises(UsageError, match="it is a Unfinished without share, disconnect"):
        replace(ENGINES, find=lambda _: points).get("unfinished")


def test_every_member_of_the_protocol_is_required() -> None:
    members = {name for owner in Engine.__mro__ for name in (*vars(owner), *getattr(owner, "__annotations__", {}))}
    assert set(_MEMBERS) == {name for name in members if not name.startswith("_")}
