"""A disk of 20 MB that fills up during a run: a clear error, a whole store, and a run that goes on from there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.isolation.sandbox import bwrap_problem

Submit = Callable[..., Path]


@pytest.mark.skipif(bwrap_problem() is not None, reason=f"no small disk can be made: {bwrap_problem()}")
def test_a_full_disk_ends_a_run_that_then_goes_on(submit: Submit, images: Path, tmp_path: Path) -> None:
    for name, body in {"a": "pass", "b": "x = x * 0.9"}.items():
        submit(name, body)
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [
        *("bwrap", "--dev-bind", "/", "/", "--size", str(20 << 20), "--tmpfs", str(disk), "--"),
        *(sys.executable, str(Path(__file__).parent / "full_disk.py")),
        *(str(tmp_path / "submissions"), str(images), str(disk)),
    ]
    environment = {**os.environ, "HARNESS_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    full, resumed = map(json.loads, done.stdout.splitlines())
    assert full["error"] == "ResultsError"
    assert "No space left on device" in full["message"]
    assert "Free disk space" in full["message"]
    assert full["measured"] == ["a"]
    assert resumed == {"measured": ["b"], "statuses": {"a": "ok", "b": "ok"}}
    assert list(disk.iterdir()) == []  # it was the small disk's, not this one's
