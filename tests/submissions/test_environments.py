"""Environments for the requirements of submissions, built offline from a folder of wheels."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from harness.errors import UnsupportedError
from harness.submissions.environments import environment, needed
from harness.submissions.manifest import Manifest

needs_uv = pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")


def wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    """Write a wheel with one module that holds its version."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f'VERSION = "{version}"\n',
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, text)


def test_what_is_needed(tmp_path):
    (tmp_path / "requirements.txt").write_text("torch==1.13.1\nnumpy\nzz_blocks>=2\n-e .\npydantic\n")
    manifest = Manifest(name="a", scales=[2], requires=["zz_more", "torch>=1.0"])
    assert needed(tmp_path, manifest) == ["zz_blocks>=2", "zz_more"]


@needs_uv
def test_an_environment_is_built_once_and_sees_torch(tmp_path):
    wheel(tmp_path / "wheels", "zz_blocks", "2.5", requires=("torch>=99", "zz_deep"))
    wheel(tmp_path / "wheels", "zz_deep", "1.0")
    options = {"wheels": tmp_path / "wheels", "cache_dir": tmp_path / "cache"}
    python = environment(["zz_blocks>=2"], **options)
    code = "import zz_blocks, zz_deep, torch, harness.errors; print(zz_blocks.VERSION, torch.__version__)"
    shown = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    import torch

    assert shown.stdout.split() == ["2.5", torch.__version__]
    shutil.rmtree(tmp_path / "wheels")
    assert environment(["zz_blocks>=2"], **options) == python
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")] == []


@needs_uv
def test_what_cannot_be_installed_is_unsupported(tmp_path):
    (tmp_path / "wheels").mkdir()
    with pytest.raises(UnsupportedError, match=r"uv cannot install .*zz-nothing"):
        environment(["zz_nothing"], wheels=tmp_path / "wheels", cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_uv(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnsupportedError, match="needs uv"):
        environment(["zz_nothing"], cache_dir=tmp_path)
