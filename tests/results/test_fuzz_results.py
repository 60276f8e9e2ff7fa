"""Whatever lies in a run's folder: a run, a measurement, or the documented error."""

import contextlib
import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ResultsError
from harness.results import Measurement, Run, RunStore, read_run

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
FINGERPRINT = "f" * 64
MEASUREMENT = {
    "fingerprint": FINGERPRINT,
    "created": "2026-01-01T00:00:00+00:00",
    "status": "ok",
    "notes": ["padded"],
    "reparam": {"method": "author", "params_before": 2, "params_after": 1, "max_abs_error": 1e-7},
    "params": 1,
    "timing": {
        "clock": "monotonic clock",
        "samples": [[0.1, 9.5], [0.2, 9.75]],
        "session": "a",
        "rounds": [{"number": 0, "calls": 2, "anchor_ms": [1.0, 1.5]}],
    },
    "images": [{"image": "a", "psnr_rgb": 30.0, "psnr_y": 31.0, "ssim_rgb": 0.9, "ssim_y": 0.91}],
}

oddities = st.sampled_from(
    [None, True, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "", "ok", "failed", "\ud800", "\0", [], {}, [[]], "1"]
).map(copy.deepcopy)  # what is drawn is changed in turn
values = st.recursive(
    oddities | st.text(max_size=6) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def good(root: Path) -> dict[str, Any]:
    """Return a real run's results, cut to three rows."""
    file = next(iter(sorted((root / "reports").glob("*/results.json"))))
    content = json.loads(file.read_bytes())
    content["entries"] = content["entries"][:3]
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("results")
    (place / "measurements").mkdir()
    return place


def changed(content: Any, data: st.DataObject) -> Any:
    """Return `content` with something replaced, removed or added, somewhere."""
    result = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 3))):
        place = result
        while True:
            inner = [value for value in (place.values() if isinstance(place, dict) else place) if value]
            inner = [value for value in inner if isinstance(value, dict | list)]
            if not inner or data.draw(st.integers(0, 2)) == 0:
                break
            place = data.draw(st.sampled_from(inner))
        change(place, data)
    return result


def change(place: dict[str, Any] | list[Any], data: st.DataObject) -> None:
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    key = data.draw(st.sampled_from(keys)) if keys else None
    if key is None or data.draw(st.integers(0, 9)) == 0:
        addition = data.draw(values)
        place.update({data.draw(st.text(max_size=5)): addition}) if isinstance(place, dict) else place.append(addition)
    elif data.draw(st.integers(0, 4)) == 0:
        del place[key]
    else:
        place[key] = data.draw(values)


def damaged(raw: bytes, data: st.DataObject) -> bytes:
    """Return `raw` with some bytes replaced, cut or doubled."""
    result = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(result)))
        result[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    return bytes(result)


def read(folder: Path, raw: bytes) -> None:
    (folder / "results.json").write_bytes(raw)
    with contextlib.suppress(ResultsError):
        assert isinstance(read_run(folder), Run)


def read_measurement(folder: Path, raw: bytes) -> None:
    (folder / "measurements" / f"{FINGERPRINT}.json").write_bytes(raw)
    found = RunStore(folder).measurement(FINGERPRINT)
    assert found is None or isinstance(found, Measurement)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_only_results_errors_come_out_of_changed_results(
    folder: Path, good: dict[str, Any], data: st.DataObject
) -> None:
    read(folder, json.dumps(changed(good, data)).encode())
    read_measurement(folder, json.dumps(changed(MEASUREMENT, data)).encode())


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data())
def test_only_results_errors_come_out_of_damaged_bytes(folder: Path, good: dict[str, Any], data: st.DataObject) -> None:
    read(folder, damaged(json.dumps(good).encode(), data))
    read_measurement(folder, damaged(json.dumps(MEASUREMENT).encode(), data))


@pytest.mark.parametrize(
    "raw", [b"[" * 200_000, b'{"schema_version":' * 100_000, b"9" * 10_000, b"\xff\xfe{}", b"null"]
)
def test_what_no_reader_bears_is_a_results_error(folder: Path, raw: bytes) -> None:
    (folder / "results.json").write_bytes(raw)
    with pytest.raises(ResultsError):
        read_run(folder)
    read_measurement(folder, raw)


def test_the_undamaged_ones_are_read(folder: Path, good: dict[str, Any]) -> None:
    (folder / "results.json").write_text(json.dumps(good))
    assert len(read_run(folder).entries) == 3
    (folder / "measurements" / f"{FINGERPRINT}.json").write_text(json.dumps(MEASUREMENT))
    assert RunStore(folder).measurement(FINGERPRINT) is not None
