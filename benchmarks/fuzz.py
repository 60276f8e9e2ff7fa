"""Fuzz the readers of untrusted input with 100,000 damaged inputs each; only documented errors are allowed.

Run ``python benchmarks/fuzz.py [READER ...] [--inputs N] [--seed N]``. Readers are frames, manifest, zip, results,
measurement, and one for each image format, such as image-png; a hundredth of the inputs is enough for these, because
decoding is slow. Each input is a valid one with bytes flipped, removed, duplicated or replaced by values that are
critical for parsers. Outcomes are counted. An undocumented exception ends the run, and its input is written to the
system's temporary folder.

The tests do the same on fewer inputs with hypothesis, which damages structure rather than bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from harness.data import read_rgb
from harness.errors import DataError, HarnessError, ResultsError
from harness.isolation.messages import PREFIX, ProtocolError, decode, encode
from harness.isolation.messages import Message as Frame
from harness.results import RunStore, read_run
from harness.submissions.archives import extract
from harness.submissions.manifest import read_manifest
from harness.submissions.mistakes import ManifestError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import image_files
from damage import SECRET, framed, mutated, reader

ROOT = Path(__file__).resolve().parent.parent
FINGERPRINT = "f" * 64

Read = Callable[[bytes, Path], object]


def read_frame(data: bytes, _folder: Path) -> object:
    """Read a frame after correcting its prefix, so that the remaining bytes are parsed."""
    return decode(reader(framed(data[PREFIX.size :])), SECRET, 0, max_payload=1 << 16)


def read_manifest_of(data: bytes, folder: Path) -> object:
    """Read a manifest."""
    (folder / "submission.toml").write_bytes(data)
    return read_manifest(folder)


def read_zip(data: bytes, folder: Path) -> object:
    """Unpack a submission and assert that nothing is written outside of the cache."""
    (folder / "s.zip").write_bytes(data)
    cache = folder / "cache"
    try:
        found = extract(folder / "s.zip", cache)
        assert found.is_relative_to(cache)
        return found
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        assert [path.name for path in folder.iterdir()] == ["s.zip"], sorted(folder.iterdir())


def read_results(data: bytes, folder: Path) -> object:
    """Read a run."""
    (folder / "results.json").write_bytes(data)
    return read_run(folder)


def read_measurement(data: bytes, folder: Path) -> object:
    """Read a stored measurement; the store returns None for a damaged one."""
    (folder / "measurements").mkdir(exist_ok=True)
    (folder / "measurements" / f"{FINGERPRINT}.json").write_bytes(data)
    if RunStore(folder).measurement(FINGERPRINT) is None:
        raise ResultsError("damaged")
    return True


def frames() -> list[bytes]:
    """Return valid frames without payload."""
    bodies = [{"params": 41400, "layers": [{"name": "a", "kernel": [3, 3]}]}, {"samples_ms": [9.5, 9.75], "clock": "x"}]
    return [b"".join(encode(Frame("count", body), SECRET, 0)) for body in bodies]


def zips() -> list[bytes]:
    """Return valid archives, uncompressed and compressed."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("arch.py", "def srmodel():\n    pass\n")
            archive.writestr("utils/a.py", "x" * 50)
            archive.writestr("checkpoint.pth", bytes(99))
        found.append(buffer.getvalue())
    return found


def manifests() -> list[bytes]:
    """Return the manifests of the baselines, without and with a table; none refers to a (missing) file."""
    found = [path.read_bytes() for path in sorted(ROOT.glob("baselines/*/submission.toml"))]
    published = b'[published]\nx2 = { params_k = 41.4, psnr_val = 32.831, runtime_ms = 9.77, source = "paper" }\n'
    return [*found, *(text + published for text in found if b"[published]" not in text)]


def results() -> list[bytes]:
    """Return the first three rows of the sample run."""
    content = json.loads((ROOT / "reports" / "sample" / "results.json").read_bytes())
    content["entries"] = content["entries"][:3]
    return [json.dumps(content).encode()]


def measurements() -> list[bytes]:
    """Return a stored measurement."""
    timing = {"clock": "monotonic clock", "samples": [[0.1, 9.5], [0.2, 9.75]], "session": "a"}
    images = [{"image": "a", "psnr_rgb": 30.0, "psnr_y": 31.0, "ssim_rgb": 0.9, "ssim_y": 0.91}]
    content = {"fingerprint": FINGERPRINT, "created": "2026-01-01T00:00:00+00:00", "status": "ok", "params": 1}
    return [json.dumps({**content, "timing": timing, "images": images}).encode()]


def read_image_file(data: bytes, folder: Path) -> object:
    """Read an image; a file with another suffix is decoded by its content."""
    (folder / "image.png").write_bytes(data)
    return read_rgb(folder / "image.png")


IMAGE_READERS: dict[str, tuple[Callable[[], list[bytes]], Read, type[HarnessError]]] = {
    f"image-{kind}": (partial(image_files.readable().__getitem__, kind), read_image_file, DataError)
    for kind in image_files.readable()
}
IMAGE_SHARE = 100
"""How many times fewer inputs an image format gets."""
READERS: dict[str, tuple[Callable[[], list[bytes]], Read, type[HarnessError]]] = {
    "frames": (frames, read_frame, ProtocolError),
    "manifest": (manifests, read_manifest_of, ManifestError),
    "zip": (zips, read_zip, HarnessError),
    "results": (results, read_results, ResultsError),
    "measurement": (measurements, read_measurement, ResultsError),
    **IMAGE_READERS,
}


def fuzz(name: str, inputs: int, seed: int, folder: Path) -> Counter[str]:
    """Pass damaged inputs to a reader and count the outcomes."""
    corpus, read, documented = READERS[name]
    good, random, outcomes = corpus(), Random(f"{name}{seed}"), Counter[str]()
    for _ in range(inputs):
        data = mutated(random.choice(good), random)
        try:
            read(data, folder)
            outcomes["accepted"] += 1
        except documented as error:
            outcomes[type(error).__name__] += 1
        except BaseException:
            (Path(tempfile.gettempdir()) / f"fuzz-{name}.bin").write_bytes(data)
            raise
    return outcomes


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz the selected readers and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", default=list(READERS), help=f"of {', '.join(READERS)}")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for name in options.readers:
        begin = time.perf_counter()
        inputs = options.inputs // IMAGE_SHARE if name in IMAGE_READERS else options.inputs
        with tempfile.TemporaryDirectory() as folder:
            outcomes = fuzz(name, inputs, options.seed, Path(folder))
        counts = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
        print(f"{name}: {inputs} inputs in {time.perf_counter() - begin:.0f} s: {counts}", flush=True)


if __name__ == "__main__":
    main()
