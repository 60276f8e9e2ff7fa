"""A made-up run that looks like a real one: figures of the right size, and names that try to break the page."""

import csv
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BICUBIC = 29.412
HOSTILE = "<script>window.pwned = 1</script>"
RIGHT_TO_LEFT = "שלום \u202egnol\u202c رقم ٣"
EMOJI = "Pixel 🚀 $\\alpha_1$ \"x\" id='q' & co"
IMAGES = ["castle", "harbour", "night-market", "ink-fox", "arcade", "voxel-hills"]

# name, team, runtime in ms (GPU), PSNR over bicubic, parameters, MACs, parameters of the training form
MODELS = [
    ("LRSRN", "z6", 11.19, 1.104, 41_356, 85.399e9, 333_196),
    ("RT4KSR", "Organisers", 7.09, 0.304, 44_521, 24.186e9, 152_233),
    ("RTSRN", "Computer Vision Lab", 24.6, 0.902, 193_356, 400.653e9, None),
    ("IMDN", "", 412.0, 1.511, 873_164, 1790.2e9, None),
    ("SESR-M5", "Arm", 9.41, 0.731, 17_628, 36.51e9, 268_332),
    ("FSRCNN", "", 12.84, 0.411, 24_683, 105.6e9, None),
    ("SCSRN", "", 12.31, 0.874, 42_988, 89.11e9, None),
    ("Bicubic++", "Aselsan Research", 1.17, 0.122, 33_120, 8.61e9, None),
    ("RTVSR", "RTVSR", 2.24, 0.794, 26_608, 13.7687e9, None),
    ("CRC", "DoYouChargeQQCoin", 2.38, 0.224, 828, 1.6921e9, None),
    ("ALONG", "ALONG", 1.91, 0.714, 66_764, 15.3281e9, None),
    ("OV", "Team OV", 2.91, 0.704, 4_212, 8.734e9, 61_440),
    (EMOJI, 'R&D "quotes"', 5.56, 0.824, 11_376, 23.5893e9, None),
    (RIGHT_TO_LEFT, "فريق", 4.22, 0.391, 6_828, 14.0673e9, None),
    (HOSTILE, "</td></table><img src=x onerror=alert(1)>", 16.0, 0.154, 50_000, 207.0e9, None),
    (
        "A-submission-whose-name-goes-on-and-on-without-a-single-space",
        "Long & Sons",
        28.31,
        0.734,
        21_200,
        38.5e9,
        None,
    ),
]
BASELINES = [("bicubic", 0.46, 0.0), ("bilinear", 0.31, -0.902), ("lanczos", 0.61, -0.034), ("nearest", 0.22, -1.73)]


def score_of(psnr: float, runtime_ms: float) -> float:
    """Return the NTIRE 2023 score."""
    return 0.0 if psnr <= BICUBIC else float(2 ** (psnr - BICUBIC) * 2 / (0.1 * runtime_ms**0.5))


def quality(gain: float) -> dict[str, float]:
    """Return the quality fields of a row that beats bicubic by ``gain`` dB."""
    psnr = BICUBIC + gain
    ssim = 0.8829 + 0.0131 * gain
    return {
        "psnr_rgb": psnr,
        "psnr_y": psnr + 2.71,
        "ssim_rgb": ssim,
        "ssim_y": ssim + 0.021,
        "delta_psnr_bicubic": gain,
        "precision_drop_db": 0.0,
    }


def runtime(ms: float, cpu: bool) -> dict[str, Any]:
    """Return the timing fields."""
    few = cpu and ms > 20_000
    return {
        "median": ms,
        "mean": ms * 1.008,
        "ci": [ms * 0.985, ms * 1.017],
        "p95": ms * 1.06,
        "samples": 1 if few else 244,
        "stable": not few,
        "note": "one call: it outlasts the time budget" if few else None,
    }


def submission_row(model: tuple[Any, ...], cpu: bool) -> dict[str, Any]:
    """Return one scored submission."""
    name, team, ms, gain, params, macs, before = model
    ms = ms * 180 if cpu else ms
    score = score_of(BICUBIC + gain, ms)
    row = {
        "name": name, "team": team, "kind": "submission", "status": "ok", "score": score,
        "score_ci": [score * 0.985, score * 1.012], "params": params, "macs": int(macs), "flops": int(2 * macs),
        "activations": params * 9, "runtime_ms": runtime(ms, cpu), "fps": 1000 / ms, "peak_memory_bytes": 812_000_000,
        "macs_source": "fvcore at two sizes, scaled; torch.utils.flop_counter agrees",
        "fingerprint": f"{params:064x}",
        "isolation": "process", **quality(gain),
    }  # fmt: skip
    if before is not None:
        row["reparam"] = {
            "method": "author: fuse_model", "params_before": before, "params_after": params,
            "macs_before": int(macs * 5.2), "macs_after": int(macs), "max_abs_error": 3.1e-7,
            "notes": ["4 regions folded"],
        }  # fmt: skip
    return row


def baseline_row(name: str, ms: float, gain: float, cpu: bool) -> dict[str, Any]:
    """Return one baseline; it scores zero because it does not beat bicubic."""
    ms = ms * 180 if cpu else ms
    return {
        "name": name, "kind": "baseline", "status": "ok", "score": 0.0, "score_ci": [0.0, 0.0], "params": 0, "macs": 0,
        "flops": 0, "runtime_ms": runtime(ms, cpu), "fps": 1000 / ms, **quality(gain),
    }  # fmt: skip


def unscored_rows() -> list[dict[str, Any]]:
    """Return rows that failed, were disqualified or have no weights."""
    failed = {
        "name": "Import <b>bomb</b>", "team": "Strangers", "kind": "submission", "status": "failed",
        "error": {"stage": "load", "type": "ImportError", "message": "No module named 'mamba_ssm' </script><i>",
                  "log": 'Traceback (most recent call last):\n  File "arch.py", line 3\nImportError: mamba_ssm'},
    }  # fmt: skip
    hung = {
        "name": "Slumber", "team": "zZz", "kind": "submission", "status": "failed", "params": 12_345,
        "error": {"stage": "time", "type": "Timeout", "message": "no answer within 600 s", "log": ""},
    }  # fmt: skip
    cheat = {
        "name": "TooGood", "team": "Sly", "kind": "submission", "status": "disqualified", "params": 9_999,
        "error": {"stage": "time", "type": "OutputMismatch", "message": "timed output differs from the scored",
                  "log": ""},
    }  # fmt: skip
    bare = {
        "name": "AGSR", "team": "AGSR", "kind": "submission", "status": "unsupported", "reconstructed": True,
        "params": 6_828, "macs": 14_067_300_000, "runtime_ms": runtime(4.4, False), "fps": 227.0,
        "error": {"stage": "load", "type": "Unsupported", "message": "no weights for x2", "log": ""},
    }  # fmt: skip
    return [failed, hung, cheat, bare]


def ranked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the rows their ranks, slugs and ties."""
    for index, row in enumerate(rows):
        row["slug"] = f"row-{index}"
    scored = sorted((row for row in rows if row["status"] == "ok"), key=lambda row: -row["score"])
    for rank, row in enumerate((row for row in scored if row["kind"] == "submission"), 1):
        row["rank"] = rank
    for first, second in pairwise(scored):
        if first["score"] and first["score_ci"][0] < second["score_ci"][1]:
            first.setdefault("tied_with", []).append(second["slug"])
            second.setdefault("tied_with", []).append(first["slug"])
    for row in scored:
        if "rank" in row:
            ties = [other["rank"] for other in scored if other["slug"] in row.get("tied_with", []) and "rank" in other]
            row["rank_range"] = [min([row["rank"], *ties]), max([row["rank"], *ties])]
    return rows


def comparisons(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare every pair of the ranked rows: those that are tied have a corrected p-value of 0.4, others 0.0004."""
    ordered = sorted((row for row in rows if "rank" in row), key=lambda row: row["rank"])
    return [
        {"slugs": [one["slug"], other["slug"]], "difference": one["score"] - other["score"], "ci": None,
         "p_value": 0.1 if tied else 1e-5, "corrected_p_value": 0.4 if tied else 4e-4}
        for one, other in combinations(ordered, 2)
        for tied in [other["slug"] in one.get("tied_with", [])]
    ]  # fmt: skip


def published(rows: list[dict[str, Any]]) -> None:
    """Add authors' figures to a few rows."""
    lrsrn, rt4ksr = rows[0], rows[1]
    lrsrn["published"] = {"params_k": 41.40, "macs_g": 85.7309, "runtime_ms": 9.77, "psnr_val": 32.831,
                          "psnr_test": 35.02, "score": 12.87, "source": "CVPRW 2023 poster"}  # fmt: skip
    rt4ksr["published"] = {"params_k": 44.5, "psnr_test": 34.22, "score": 9.27, "source": "NTIRE 2023 report",
                           "note": "report says 171.99 G FLOPs"}  # fmt: skip
    rows[10]["reconstructed"] = True
    rows[10]["notes"] = ["input padded to a multiple of 3"]
    rows[2]["incomplete_ops"] = ["custom::warp"]


def fake_results(cpu: bool = False, extra: int = 0) -> dict[str, Any]:
    """Return a run's ``results.json`` as a plain dictionary, with ``extra`` generated models more."""
    random = np.random.default_rng(7)
    models = list(MODELS)
    for index in range(extra):
        params = int(10 ** random.uniform(3, 6))
        ms = float(10 ** random.uniform(0, 2.4))
        models.append(
            (
                f"Net-{index:03d}",
                f"Team {index % 37}",
                ms,
                float(random.uniform(-0.1, 1.4)),
                params,
                params * 2.07e6,
                None,
            )
        )
    rows = [submission_row(model, cpu) for model in models]
    published(rows)
    rows += [baseline_row(*baseline, cpu) for baseline in BASELINES] + unscored_rows()
    return {
        "schema_version": 1,
        "run": {"id": "2026-05-01-x2", "created": "2026-05-01T21:04:11+02:00", "harness_version": "1.0.0",
                "command": "harness run submissions/ --scale 2"},
        "track": {"name": "ntire23-x2", "scale": 2, "bicubic_psnr": BICUBIC,
                  "score_formula": "0 if psnr <= bicubic else 2**(psnr - bicubic) * 2 / (0.1 * sqrt(runtime_ms))"},
        "dataset": {"name": "embedded", "images": 6, "fingerprint": "5f" * 32, "image_names": IMAGES,
                    "degradation": "Pillow bicubic, JPEG quality 90, 4:2:0"},
        "device": {"kind": "cpu" if cpu else "cuda", "name": "AMD EPYC 7763" if cpu else "NVIDIA GeForce RTX 3090",
                   "torch": "2.13.0", "threads": 2, "python": "3.11.9", "platform": "Linux-6.8-x86_64",
                   "memory_bytes": 25_769_803_776,
                   "versions": {"numpy": "2.4.1", "pillow": "12.1", "libjpeg": "turbo 3.1"}},
        "protocol": {"name": "cpu" if cpu else "ntire23", "input_shape": [1, 3, 1080, 1920],
                     "output_shape": [1, 3, 2160, 3840], "precision": "fp32" if cpu else "fp16",
                     "warmup": "50 calls", "repeats": "244 calls", "statistic": "median" if cpu else "mean",
                     "clock": "monotonic" if cpu else "CUDA events"},
        "entries": (entries := ranked(rows)),
        "comparisons": comparisons(entries) if not extra else [],
        "warnings": ["The machine was busy before the run began: load 1.7 on 2 cores"] if cpu else [],
    }  # fmt: skip


def write_fake_run(folder: Path, cpu: bool = False, extra: int = 0) -> Path:
    """Write a run's folder: results, per-image quality and raw samples."""
    results = fake_results(cpu, extra)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    write_per_image(folder, results)
    write_samples(folder, results)
    write_layers(folder, results)
    write_crops(folder, results)
    return folder


def write_per_image(folder: Path, results: dict[str, Any]) -> None:
    """Write ``per_image.csv`` with a spread around each row's mean."""
    random = np.random.default_rng(3)
    offsets = np.array([-3.1, 1.2, -0.4, 4.4, -4.0, 1.9])
    with (folder / "per_image.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["slug", "image", "psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y"])
        for row in results["entries"]:
            if row["status"] == "ok":
                spread = offsets + random.normal(0, 0.12, 6) * (row["delta_psnr_bicubic"] != 0)
                for image, offset in zip(IMAGES, spread, strict=True):
                    values = row["psnr_rgb"] + offset, row["psnr_y"] + offset, row["ssim_rgb"], row["ssim_y"]
                    writer.writerow([row["slug"], image, *(f"{value:.6f}" for value in values)])


def write_samples(folder: Path, results: dict[str, Any]) -> None:
    """Write the raw timing samples of the first rows, with an outlier and a slow start."""
    random = np.random.default_rng(5)
    (folder / "samples").mkdir(exist_ok=True)
    for row in results["entries"][:4]:
        median = row["runtime_ms"]["median"]
        times = median * (1 + 0.01 * random.standard_normal(244)) + median * 0.2 * np.exp(-np.arange(244) / 12)
        times[100] *= 1.5
        times = np.round(times, 6).tolist()
        samples = [[round(0.001 * median * index, 6), round(float(ms), 6)] for index, ms in enumerate(times)]
        warmup = [[-0.05, times[0] * 3]]
        record = {"slug": row["slug"], "unit": "ms", "clock": "CUDA events", "warmup": warmup, "samples": samples}
        (folder / "samples" / f"{row['slug']}.json").write_text(json.dumps(record), encoding="utf-8")


def write_layers(folder: Path, results: dict[str, Any]) -> None:
    """Write the layers of the first rows: a short network, a long one, and one whose names try to break the page."""
    (folder / "layers").mkdir(exist_ok=True)
    for row, depth in zip(results["entries"][:3], (5, 60, 4), strict=True):
        layers = [layer_row(f"body.{at}.conv", 32, 32, row["macs"] / depth) for at in range(depth)]
        layers[0] |= {"name": HOSTILE, "type": RIGHT_TO_LEFT, "settings": "stride 2, groups 4"}
        layers[-1] |= {"name": "", "type": EMOJI, "calls": 0, "macs": 0, "in_channels": None, "out_channels": None}
        (folder / "layers" / f"{row['slug']}.json").write_text(json.dumps(layers), encoding="utf-8")


def layer_row(name: str, inputs: int, outputs: int, macs: float) -> dict[str, Any]:
    """Return one layer."""
    return {
        "name": name, "type": "Conv2d", "kernel": [3, 3], "settings": "", "in_channels": inputs,
        "out_channels": outputs, "output_shape": [1, outputs, 1080, 1920], "params": 9 * inputs * outputs + outputs,
        "macs": round(macs), "calls": 1,
    }  # fmt: skip


def write_crops(folder: Path, results: dict[str, Any]) -> None:
    """Keep pieces of two made-up images: stripes, which interpolation blurs and models partly restore."""
    from harness.results.crops import CropStore

    store = CropStore(folder, images=IMAGES[:2], size=160)
    rows, columns = np.mgrid[0:240, 0:320]
    for number, image in enumerate(IMAGES[:2]):
        wave = np.sin((rows * columns) / (900.0 + 300 * number)) * np.clip(columns / 160, 0, 1)
        hr = np.stack([128 + 110 * wave, 128 + 90 * wave, 120 - 60 * wave], axis=2)
        blurred = (hr + np.roll(hr, 2, 0) + np.roll(hr, 2, 1) + np.roll(hr, (2, 2), (0, 1))) / 4
        lr = blurred[::2, ::2].astype(np.uint8)
        store.begin(image, hr.astype(np.uint8), blurred.astype(np.uint8), lr)
        for row in results["entries"][:6]:
            share = 0.3 + 0.4 * row.get("delta_psnr_bicubic", 0)
            store.add(image, row["slug"], np.clip(blurred + share * (hr - blurred), 0, 255).astype(np.uint8))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a made-up run and gives its folder."""

    def make(name: str = "run", *, cpu: bool = False, extra: int = 0) -> Path:
        return write_fake_run(tmp_path / name, cpu, extra)

    return make


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one made-up run that tests read and leave as it is."""
    return write_fake_run(tmp_path_factory.mktemp("fake") / "run")


@pytest.fixture(scope="session")
def page_source(fake_run: Path) -> str:
    """Return the leaderboard of that run, built once."""
    from harness.report.page import build_report

    return build_report(fake_run).read_text(encoding="utf-8")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def missing(what: str) -> None:
    """Skip, or fail where a machine promises to run everything."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return headless Chromium."""
    if CHROMIUM is None:
        missing("chromium")
    if importlib.util.find_spec("playwright") is None:
        missing("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a file; afterwards no page may have complained or asked the network."""
    contexts, complaints = [], []

    def opened(
        path: Path,
        *,
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        script: bool = True,
        fragment: str = "",
        touch: bool = False,
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            java_script_enabled=script,
            offline=True,
            has_touch=touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else complaints.append(request.url))
        page.goto(path.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def until() -> Callable[[Any, str], None]:
    """Return a function that waits until an expression holds in a page, whose policy forbids playwright's own.

    An expression that fails does not hold yet: a page that is being replaced by another has no elements for a moment.
    """

    def wait(page: Any, expression: str) -> None:
        from playwright.sync_api import Error

        failure = ""
        for _ in range(600):
            try:
                if page.evaluate(expression):
                    return
                failure = ""
            except Error as error:
                failure = f" ({error})"
            page.wait_for_timeout(50)
        pytest.fail(f"it never held: {expression}{failure}")

    return wait


@pytest.fixture(scope="session")
def board(fake_run: Path, page_source: str) -> Path:
    """Return the leaderboard of the made-up run."""
    return fake_run / "leaderboard.html"
