"""The zoo's cheats on an accelerator: what works there ends as disqualified, and honest networks beside it do not."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from zoo.build import build_zoo, expectations

from harness.pipeline import run
from harness.run.plan import RunRequest
from harness.tracks import get_track

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.accelerator.is_available(), reason="needs an accelerator"),
    pytest.mark.timeout(600),
]

EXPECTED = expectations()
CHEATS = {
    name: e.get("accelerator", e["status"])
    for name, e in EXPECTED.items()
    if "disqualified" in (e.get("accelerator"), e["status"]) and e.get("stage", "time") == "time"
}
OF_THE_CPU = {"spins_other_cores"}  # the time of an accelerator is none of the processor's
HONEST = {"honest_bicubic", "honest_nearest", "not_deterministic", "honest_trained"}


def test_cheats_are_disqualified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = replace(get_track("ntire23-x2"), input_shape=(1, 3, 540, 960))
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda scale: track)
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((64, 48))
        coarse.resize((128, 96), Image.Resampling.BICUBIC).save(tmp_path / "images" / f"{index}.png")
    build_zoo(tmp_path / "zoo")
    request = RunRequest(
        submissions=tuple(tmp_path / "zoo" / name for name in sorted((CHEATS.keys() - OF_THE_CPU) | HONEST)),
        dataset=str(tmp_path / "images"),
        out=tmp_path / "run",
        time_budget_s=1.0,
        with_baselines=False,
        timeout_s=120.0,
        sandbox="process",
    )
    rows = {entry.slug.replace("-", "_"): entry for entry in run(request).run.entries}
    ends = {name: (row.status, row.error.message if row.error else "") for name, row in rows.items()}
    print(*sorted(ends.items()), sep="\n")
    assert {name: end for name, end in ends.items() if end[0] != CHEATS.get(name, "ok")} == {}
    assert set(ends) >= (CHEATS.keys() - OF_THE_CPU) | HONEST
    told = {name: EXPECTED[name]["match"] for name in ends if "match" in EXPECTED[name] and ends[name][0] != "failed"}
    assert {name: ends[name] for name, match in told.items() if not re.search(match, ends[name][1])} == {}
