"""Selection of the next schedule in the queue, and reading of the published table."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from training.evaluate import TABLE, Gain, published_gain
from training.network import load_trainee
from training.queue import QUEUE, Item, next_item, read_queue


def put(zoo: Path, model: str, log: str | None = None, scale: int = 2) -> None:
    (zoo / model / "weights").mkdir(parents=True, exist_ok=True)
    (zoo / model / "submission.toml").write_text("")
    if log is not None:
        (zoo / model / "weights" / f"x{scale}.json").write_text(log)
        (zoo / model / "weights" / f"x{scale}.safetensors").write_bytes(b"")


def test_the_first_unfinished_model_is_next(tmp_path) -> None:
    put(tmp_path, "A", '{"rounds": 1}')
    put(tmp_path, "B")
    items = [Item(model="A"), Item(model="Absent"), Item(model="B")]
    chosen = next_item(items, tmp_path, set())
    assert chosen is not None
    assert chosen.model == "B"
    assert next_item(items, tmp_path, {chosen.name}) is None


def test_a_second_round_waits_for_the_first(tmp_path) -> None:
    put(tmp_path, "A")
    second = Item(model="A", round=2)
    assert next_item([second], tmp_path, set()) is None
    put(tmp_path, "A", '{"rounds": 1}')
    assert next_item([second], tmp_path, set()) == second
    put(tmp_path, "A", '{"rounds": 2}')
    assert next_item([second], tmp_path, set()) is None


def test_a_new_tail_waits_for_its_body(tmp_path) -> None:
    put(tmp_path, "A")
    item = Item(model="A", scale=3, from_scale=2)
    assert next_item([item], tmp_path, set()) is None
    put(tmp_path, "A", "{}")
    assert next_item([item], tmp_path, set()) == item


def test_the_project_queue_is_valid() -> None:
    assert read_queue(QUEUE)


def test_a_mistake_in_the_queue_is_named(tmp_path) -> None:
    path = tmp_path / "queue.toml"
    path.write_text('[[train]]\nmodel = "A"\nminute = 3\n')
    with pytest.raises(UsageError, match="minute"):
        read_queue(path)


def test_an_unknown_model_or_scale_is_refused() -> None:
    with pytest.raises(UsageError, match="no model"):
        load_trainee("Nobody", 2)
    with pytest.raises(UsageError, match="not support scale 5"):
        load_trainee("LRSRN", 5)


def test_published_gains_are_the_poster_minus_its_bicubic(shared: Path) -> None:
    assert published_gain(shared / TABLE, "LRSRN", 2, "Set14") == pytest.approx(28.84 - 27.38)
    assert published_gain(shared / TABLE, "IMDN", 3, "Set5") == pytest.approx(29.68 - 27.28)
    assert published_gain(shared / TABLE, "CRC", 2, "Set14") is None


def test_share_of_a_gain() -> None:
    assert Gain("Set14", 28.5, 27.5, 2.0).share == pytest.approx(0.5)
    assert Gain("Set14", 28.5, 27.5, None).share is None
