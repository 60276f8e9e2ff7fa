"""Environments for the requirements of submissions, built offline from a folder of wheels."""

import shutil
import subprocess
import sys

import pytest

from harness.errors import UnsupportedError, UsageError
from harness.run.checking import CheckRequest, check_path
from harness.submissions import environments
from harness.submissions.environments import check_options, environment, find_uv, needed
from harness.submissions.manifest import Manifest
from harness.submissions.skeleton import create

needs_uv = pytest.mark.skipif(find_uv() is None, reason="uv is not installed")


def test_what_is_needed(tmp_path):
    (tmp_path / "requirements.txt").write_text("torch==1.13.1\nnumpy\nzz_blocks>=2\n-e .\npydantic\n")
    manifest = Manifest(name="a", scales=[2], requires=["zz_more", "torch>=1.0"])
    assert needed(tmp_path, manifest) == ["zz_blocks>=2", "zz_more"]


@needs_uv
def test_an_environment_is_built_once_and_sees_torch(tmp_path, make_wheel):
    make_wheel("zz_blocks", "2.5", requires=("torch>=99", "zz_deep"))
    options = {"wheels": make_wheel("zz_deep", "1.0"), "cache_dir": tmp_path / "cache"}
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
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnsupportedError, match="needs uv"):
        environment(["zz_nothing"], cache_dir=tmp_path)
    with pytest.raises(UsageError, match="needs uv"):
        check_options(install=True, wheels=None)


def test_options_that_cannot_be_had_are_refused(tmp_path):
    with pytest.raises(UsageError, match="Add --install"):
        check_options(install=False, wheels=tmp_path)
    with pytest.raises(UsageError, match="no such folder of wheels"):
        check_options(install=True, wheels=tmp_path / "absent")
    check_options(install=False, wheels=None)


@needs_uv
def test_nothing_that_is_asked_for_runs_while_it_is_installed(tmp_path):
    """A source distribution would run its build script, here in the controller's own rights."""
    project = tmp_path / "sources" / "zz_built-1.0"
    project.mkdir(parents=True)
    ran = tmp_path / "ran"
    script = f"open({str(ran)!r}, 'w')\nfrom setuptools import setup\nsetup(name='zz_built')\n"
    (project / "setup.py").write_text(script)
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: zz_built\nVersion: 1.0\n")
    shutil.make_archive(str(tmp_path / "sources" / "zz_built-1.0"), "gztar", tmp_path / "sources", project.name)
    with pytest.raises(UnsupportedError, match="zz-built"):
        environment(["zz_built"], wheels=tmp_path / "sources", cache_dir=tmp_path / "cache")
    with pytest.raises(UnsupportedError, match="from a URL"):
        environment([f"zz_built @ file://{project}"], cache_dir=tmp_path / "cache")
    assert not ran.exists()


def test_a_disk_without_room_is_said(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(environments.tempfile, "mkdtemp", full)
    with pytest.raises(UnsupportedError, match="No space left on device"):
        environment(["zz_blocks"], cache_dir=tmp_path)


def test_only_a_file_within_reason_is_read_for_requirements(tmp_path):
    (tmp_path / "requirements.txt").symlink_to("/dev/zero")
    assert needed(tmp_path, Manifest(name="a", scales=[2])) == []
    (tmp_path / "requirements.txt").unlink()
    (tmp_path / "requirements.txt").write_text("zz_blocks\n" + "#" * 200_000 + "\nzz_late\n")
    assert needed(tmp_path, Manifest(name="a", scales=[2])) == ["zz_blocks"]


@needs_uv
def test_a_check_installs_what_is_required_and_says_so(tmp_path, make_wheel, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    folder = create("Mine", tmp_path)
    (folder / "arch.py").write_text("import zz_blocks\n" + (folder / "arch.py").read_text())
    manifest = folder / "submission.toml"
    text = manifest.read_text()
    assert text.count("[submission]\n") == 1
    manifest.write_text(text.replace("[submission]\n", '[submission]\nrequires = ["zz_blocks"]\n'))
    wheels, said = make_wheel("zz_blocks", "2.5"), []
    before = check_path(CheckRequest(folder, scale=2))
    assert not before[0].passed
    assert "--install" in before[0].findings[-1].what
    installing = CheckRequest(folder, scale=2, install=True, wheels=wheels)
    assert all(check.passed for check in check_path(installing, [said.append]))
    assert "zz_blocks" in [event.detail for event in said if getattr(event, "stage", "") == "install"]
    (wheels / "zz_blocks-2.5-py3-none-any.whl").unlink()
    shutil.rmtree(tmp_path / "cache")
    (failed,) = check_path(installing)
    assert "uv cannot install" in failed.findings[-1].what


@pytest.mark.parametrize(
    ("package", "distribution"),
    [("cv2", "opencv-python-headless"), ("einops", "einops"), ("timm", "timm"), ("basicsr", "basicsr")],
)
def test_known_packages_that_the_code_imports_are_needed(tmp_path, monkeypatch, package, distribution):
    monkeypatch.setattr("harness.submissions.challenge.packages.is_installed", lambda name: name != package)
    monkeypatch.setattr("harness.submissions.environments.unmet", lambda lines: lines)
    (tmp_path / "net.py").write_text("import torch\nimport blocks\nimport no_known_package\n\nraise SystemExit\n")
    (tmp_path / "blocks.py").write_text(f"from {package}.inner import thing\n")
    assert needed(tmp_path, Manifest(name="a", scales=[2], factory="net:Net")) == [distribution]
