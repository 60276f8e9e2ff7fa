"""Engines are found by name."""

import pytest

from harness.engines import LocalEngine, get_engine
from harness.errors import UsageError


def test_the_local_engine_is_the_built_in_one() -> None:
    assert isinstance(get_engine("local"), LocalEngine)


def test_an_unknown_engine_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="local"):
        get_engine("cloud")


def test_an_installed_engine_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint, EntryPoints

    point = EntryPoint("again", "harness.engines:InlineEngine", "harness.engines")
    monkeypatch.setattr("harness.plugins.entry_points", lambda group: EntryPoints([point]))
    assert get_engine("again").name == "inline"
