"""Check that a run of the main job is a finished leaderboard in which trained networks beat bicubic."""

import json
import sys
from pathlib import Path

MUST_BEAT_BICUBIC = ("LRSRN", "SESR", "FSRCNN", "CRC")

folder = Path(sys.argv[1])
run = json.loads((folder / "results.json").read_text())
rows = {entry["name"]: entry for entry in run["entries"]}
assert run["run"]["complete"], "the run is not complete"
for name in MUST_BEAT_BICUBIC:
    gain = rows[name]["delta_psnr_bicubic"]
    assert gain > 0, f"{name} does not beat bicubic ({gain:+.3f} dB)"
    assert rows[name]["score"] > 0
assert abs(rows["Bicubic"]["psnr_rgb"] - run["track"]["bicubic_psnr"]) < 1e-9, "the baseline row is not the reference"
assert (folder / "leaderboard.html").stat().st_size > 10_000
print(f"{len(rows)} rows; best: {run['entries'][0]['name']}")
