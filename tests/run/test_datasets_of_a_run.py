"""Several data sets in one run: figures for each, means with equal weights, and nothing measured twice."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from harness.data import open_dataset
from harness.data.degradation import get_degradation
from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import DataError, UsageError
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.pipeline import run
from harness.report import load_run
from harness.run.datasets import open_datasets
from harness.tracks import get_track, read_track


class Counting(InlineEngine):
    """Counts the requests that workers get."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def open(self, job: Job) -> Session:
        session = super().open(job)
        ask = session.exchange.request

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            self.asked[message.name] += 1
            return ask(message, timeout_s, max_payload)

        session.exchange.request = request
        return session


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return folders of one, two and three images of 48 x 64 pixels."""
    rng, made = np.random.default_rng(0), {}
    for count, name in enumerate(("one", "two", "three"), start=1):
        made[name] = tmp_path / name
        made[name].mkdir()
        for index in range(count):
            coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(made[name] / f"image{index}.png")
    return made


def repeated_psnr(folder: Path, scale: int, degradation: str) -> list[float]:
    """Return the RGB PSNR of pixel repetition, by its definition."""
    dataset = open_dataset(folder, scale, get_degradation(degradation))
    found = []
    for index in range(len(dataset)):
        lr, hr = dataset.pair(index)
        sr = lr.repeat(scale, 0).repeat(scale, 1).astype(float)
        found.append(10 * math.log10(255**2 / np.mean((sr - hr.astype(float)) ** 2)))
    return found


def test_each_data_set_has_figures_and_the_row_their_mean(submit, request_for, folders) -> None:
    submit("net")
    options = request_for(dataset=str(folders["one"]), further_datasets=(str(folders["three"]),), with_baselines=True)
    finished = run(options, engine=InlineEngine())
    expected = {name: fmean(repeated_psnr(folders[name], 2, "ntire23")) for name in ("one", "three")}
    row = next(entry for entry in finished.run.entries if entry.name == "net")
    assert {name: figures.psnr_rgb for name, figures in row.datasets.items()} == pytest.approx(expected, abs=1e-9)
    assert row.psnr_rgb == pytest.approx(fmean(expected.values()), abs=1e-9)
    assert [(one.label, one.images) for one in finished.run.datasets] == [("one", 1), ("three", 3)]
    assert finished.run.track.bicubic_psnr == pytest.approx(fmean(one.bicubic_psnr for one in finished.run.datasets))
    table = load_run(finished.folder).per_image[row.slug]
    assert set(table) == {"one/image0", "three/image0", "three/image1", "three/image2"}
    csv = (finished.folder / "leaderboard.csv").read_text().splitlines()[0]
    assert "psnr_rgb_one" in csv
    assert "ssim_y_three" in csv
    assert "PSNR RGB, three" in finished.report.read_text()


def test_an_added_data_set_is_upscaled_alone(submit, request_for, folders) -> None:
    submit("net")
    options = request_for(dataset=str(folders["two"]))
    first = run(options, engine=InlineEngine()).run.entries[0]
    engine = Counting()
    added = run(replace(options, further_datasets=(str(folders["three"]),)), engine=engine).run.entries[0]
    # Scored calls are made by the same request as timed ones: three images, and no more.
    assert (engine.asked["load"], engine.asked["time"], engine.asked["upscale"]) == (1, 3, 3)
    assert added.runtime_ms == first.runtime_ms
    assert added.datasets["two"].psnr_rgb == first.psnr_rgb
    again = Counting()
    run(replace(options, further_datasets=(str(folders["three"]),)), engine=again)
    assert not again.asked
    # Without the added one, the row is what it was.
    assert run(options, engine=again).run.entries[0].psnr_rgb == first.psnr_rgb
    assert not again.asked


def test_an_efficient_track_from_its_measured_figures(submit, request_for, folders, monkeypatch) -> None:
    track = replace(
        get_track("ntire-esr-2025"),
        input_shape=(1, 3, 24, 32),
        gates=tuple(replace(gate, least=10.0) for gate in get_track("ntire-esr-2025").gates),
    )
    monkeypatch.setattr("harness.run.plan.get_track", lambda _name: track)
    better = (
        "y = nn.functional.interpolate(x * self.gain, scale_factor=self.scale, mode='bicubic'); "
        "return y + {} * (y - nn.functional.avg_pool2d(y, 3, 1, 1, count_include_pad=False))"
    )
    for name, body in {"a": better.format(0.1), "b": better.format(0.2), "worse": "x = x * 0.1"}.items():
        submit(name, body, scales="[4]")
    options = request_for(
        track=track.name, dataset=str(folders["two"]), further_datasets=(str(folders["three"]),), protocol=None,
        time_budget_s=None,
    )  # fmt: skip
    finished = run(options, engine=InlineEngine())
    baseline = {"runtime": 16.69, "macs": 16.7e9, "params": 0.276e6}
    assert finished.run.protocol.name == "esr"
    rows = {entry.name: entry for entry in finished.run.entries}
    for row in rows.values():
        assert row.status == "ok", row.error
        figures = {"runtime": row.runtime_ms.mean, "macs": row.macs, "params": row.params}
        parts = {name: math.exp(2 * value / baseline[name]) for name, value in figures.items()}
        assert row.partial_scores == pytest.approx(parts)
        total = 0.7 * parts["runtime"] + 0.15 * parts["macs"] + 0.15 * parts["params"]
        assert row.score == pytest.approx(total)
        assert row.score_log10 == pytest.approx(math.log10(total))
        passed = all(round(row.datasets[role].psnr_rgb, 2) >= 10 for role in ("validation", "test"))
        assert (row.failed_gates == []) == passed
        assert (row.rank is not None) == passed
    assert rows["worse"].failed_gates
    ranked = sorted((row for row in rows.values() if row.rank), key=lambda row: row.rank)
    assert [row.score for row in ranked] == sorted(row.score for row in ranked)


def small_track(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    """Let a track time frames of 24 x 32 pixels."""
    small = replace(get_track(name), input_shape=(1, 3, 24, 32))
    monkeypatch.setattr("harness.run.plan.get_track", lambda _name: small)
    return name


def test_quality_levels_of_a_codec_are_scored_by_their_mean(submit_sharp, request_for, folders, monkeypatch) -> None:
    submit_sharp("net", scales="[4]")
    options = request_for(track=small_track(monkeypatch, "ais2024-x4"), dataset=str(folders["two"]))
    finished = run(options, engine=InlineEngine())
    (row,) = finished.run.entries
    assert row.status == "ok", row.error
    assert set(row.datasets) == {"qp31", "qp63"}
    assert row.datasets["qp31"].psnr_y > row.datasets["qp63"].psnr_y
    psnr = (row.datasets["qp31"].psnr_y + row.datasets["qp63"].psnr_y) / 2
    time = getattr(row.runtime_ms, finished.run.protocol.statistic)
    gain = psnr - fmean(one.bicubic_psnr for one in finished.run.datasets)
    assert row.score == pytest.approx(2**gain * 2 / (0.1 * math.sqrt(time)), rel=1e-9)


def test_a_mobile_track_from_its_measured_figures(submit_sharp, request_for, folders, monkeypatch) -> None:
    submit_sharp("net", scales="[3]")
    options = request_for(track=small_track(monkeypatch, "mai2022-x3"), dataset=str(folders["two"]))
    finished = run(options, engine=InlineEngine())
    (row,) = finished.run.entries
    assert row.status == "ok", row.error
    time = getattr(row.runtime_ms, finished.run.protocol.statistic)
    assert row.score == pytest.approx(2 ** (2 * row.psnr_rgb) / (10 * 2**48 * time), rel=1e-9)


def test_a_custom_track_in_toml_with_roles(submit, request_for, folders, tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[track]\nname = "mine-x2"\nscale = 2\ninput_size = [24, 32]\ndegradation = "bicubic"\n'
        '[score]\nformula = "2 * psnr_hard + psnr_easy - log10(runtime_ms)"\n'
        '[[datasets]]\nrole = "easy"\n[[datasets]]\nrole = "hard"\ndegradation = "jpeg50"\n'
    )
    submit("net")
    two, three = str(folders["two"]), str(folders["three"])
    options = request_for(track=str(path), dataset=f"hard={three}", further_datasets=(two,))
    finished = run(options, engine=InlineEngine())
    (row,) = finished.run.entries
    hard = fmean(repeated_psnr(folders["three"], 2, "jpeg50"))
    easy = fmean(repeated_psnr(folders["two"], 2, "bicubic"))
    time = getattr(row.runtime_ms, finished.run.protocol.statistic)
    assert row.score == pytest.approx(2 * hard + easy - math.log10(time), abs=1e-6)
    assert read_track(path).missing({}) == ["psnr_hard", "psnr_easy", "runtime_ms"]


def test_a_custom_track_that_scores_the_size_of_the_weights(submit_sharp, request_for, folders, tmp_path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        '[track]\nname = "small-x2"\nscale = 2\ninput_size = [24, 32]\n[score]\nformula = "psnr - size_bytes / 1024"\n'
    )
    folder = submit_sharp("net")
    save_file({"gain": torch.full((1,), 1.0)}, folder / "net.safetensors")
    with (folder / "submission.toml").open("a") as manifest:
        manifest.write('[weights]\nx2 = "net.safetensors"\n')
    submit_sharp("bare")
    finished = run(request_for(track=str(path), dataset=str(folders["two"])), engine=InlineEngine())
    rows = {entry.name: entry for entry in finished.run.entries}
    size = (folder / "net.safetensors").stat().st_size
    assert rows["net"].size_bytes == size
    assert rows["net"].score == pytest.approx(rows["net"].psnr_rgb - size / 1024)
    assert (rows["bare"].size_bytes, rows["bare"].score) == (None, None)


def test_quality_levels_come_from_one_folder(folders) -> None:
    opened = open_datasets([str(folders["two"])], get_track("ais2024-x4"))
    assert [(one.label, one.dataset.degradation.name) for one in opened] == [("qp31", "avif31"), ("qp63", "avif63")]


@pytest.mark.parametrize(
    ("conventions", "side", "least"), [((), 11, 11), ((), 12, None), (("ntire-esr",), 18, 19), (("ntire-esr",), 19, 19)]
)
def test_an_image_smaller_than_the_window_of_ssim_is_named(
    folders, conventions: tuple[str, ...], side: int, least: int | None
) -> None:
    small = folders["three"] / "image1.png"
    Image.new("RGB", (40, side)).save(small)
    if least is None:
        assert open_datasets([str(folders["three"])], get_track("ntire23-x2"), conventions)
        return
    with pytest.raises(DataError, match=f"HR image of 40x{side // 2 * 2}, but SSIM .* needs {least}x{least}") as caught:
        open_datasets([str(folders["three"])], get_track("ntire23-x2"), conventions)
    assert caught.value.where == str(small)
    assert "Remove it from data set three" in str(caught.value)


def test_two_data_sets_of_one_label_are_an_error(folders) -> None:
    track = get_track("ntire23-x2")
    with pytest.raises(UsageError, match="two data sets are called 'two'"):
        open_datasets([str(folders["two"]), str(folders["two"])], track)
    (only,) = open_datasets([str(folders["two"])], track)
    assert only.label == ""


NOT_EVERY_SIZE = "assert tuple(x.shape[-2:]) != (44, 60), 'this size fails'"


def test_a_failure_on_a_further_data_set_leaves_the_figures_of_the_first(submit, request_for, folders) -> None:
    Image.new("RGB", (120, 88), (9, 90, 30)).save(folders["two"] / "large.png")
    submit("net", NOT_EVERY_SIZE)
    alone = run(request_for(dataset=str(folders["one"])), engine=InlineEngine())
    (row,) = alone.run.entries
    assert row.status == "ok"
    both = request_for(dataset=str(folders["one"]), further_datasets=(str(folders["two"]),))
    (failed,) = run(both, engine=InlineEngine()).run.entries
    assert (failed.status, failed.error.stage) == ("failed", "upscale")
    again = run(request_for(dataset=str(folders["one"])), engine=Counting())
    assert again.run.entries == [row]


def test_an_unusable_image_is_named_before_anything_is_measured(submit, request_for, folders) -> None:
    submit("net")
    whole = (folders["three"] / "image0.png").read_bytes()
    spoiled = {
        "alpha channel": Image.new("RGBA", (64, 48), (9, 90, 30, 128)),
        "mode CMYK": Image.new("CMYK", (64, 48)),
        "truncated": whole[: len(whole) * 2 // 3],
    }
    for what, image in spoiled.items():
        path = folders["three"] / ("image9.jpg" if what == "mode CMYK" else "image9.png")
        path.write_bytes(image) if isinstance(image, bytes) else image.save(path)
        for place in ({"dataset": str(folders["three"])}, {"further_datasets": (str(folders["three"]),)}):
            engine = Counting()
            with pytest.raises(DataError, match=rf"image9\.\w+: .*{what}"):
                run(request_for(**place), engine=engine)
            assert engine.asked == {}
        path.unlink()
