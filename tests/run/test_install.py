"""Submissions that need packages which are not there, through whole runs with real workers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.isolation.sandbox import bwrap_problem
from harness.pipeline import run
from harness.results import Entry
from harness.run.plan import RunRequest
from harness.run.progress import ProgressEvent, StageProgress
from harness.submissions.environments import find_uv

Submit = Callable[..., Path]
Request = Callable[..., RunRequest]

needs_uv = pytest.mark.skipif(find_uv() is None, reason="uv is not installed")
needs_bwrap = pytest.mark.skipif(bwrap_problem() is not None, reason=f"no sandbox: {bwrap_problem()}")


@pytest.fixture
def needy(submit: Submit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a submission that imports, and requires, a package which is not there."""
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    folder = submit("needy", "x = x * (zz_blocks.VERSION == '2.5')", before="import zz_blocks\n")
    manifest = folder / "submission.toml"
    manifest.write_text(manifest.read_text() + 'requires = ["zz_blocks>=2"]\n')
    return folder


@needs_uv
@pytest.mark.parametrize("where", ["process", pytest.param("bwrap", marks=needs_bwrap)])
def test_a_requirement_is_met_with_install_and_named_without(
    needy: Path, submit: Submit, request_for: Request, make_wheel: Callable[..., Path], where: str
) -> None:
    request = request_for(sandbox=where, timeout_s=120.0)
    without = run(request).run.entries[0]
    assert (without.status, without.error.stage) == ("unsupported", "load")
    assert "requires zz_blocks>=2 (not installed)" in without.error.message
    assert "--install" in without.error.message
    options = {"sandbox": where, "timeout_s": 120.0, "install": True, "wheels": make_wheel("zz_blocks", "2.5")}
    row = run(request_for(**options)).run.entries[0]
    assert row.status == "ok", row.error
    assert "installed for it: zz_blocks>=2" in row.notes
    assert row.psnr_rgb > 10


@needs_uv
def test_what_cannot_be_installed_is_one_row(needy: Path, submit: Submit, request_for: Request, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    stages: list[str] = []

    def listen(event: ProgressEvent) -> None:
        if isinstance(event, StageProgress):
            stages.append(f"{event.stage} {event.detail}".strip())

    submit("other")
    finished = run(request_for(install=True, wheels=tmp_path / "wheels", sandbox="process"), [listen])
    rows = {entry.name: entry for entry in finished.run.entries}
    assert rows["other"].status == "ok"
    assert (rows["needy"].status, rows["needy"].error.stage) == ("unsupported", "install")
    assert "uv cannot install what is required" in rows["needy"].error.message
    assert "install zz_blocks>=2" in stages


def entry_of(finished: object, name: str) -> Entry:
    (entry,) = [entry for entry in finished.run.entries if entry.name == name]
    return entry


def make_pickled(folder: Path) -> None:
    """Give a submission a checkpoint whose pickle asks for a class besides tensors."""
    import torch

    torch.save({"params": {"gain": torch.ones(1)}, "config": torch.nn.ReLU}, folder / "x2.pth")
    manifest = folder / "submission.toml"
    manifest.write_text(manifest.read_text() + '[weights]\nx2 = "x2.pth"\n')


@needs_bwrap
def test_a_pickle_that_wants_code_is_run_on_trust_in_the_sandbox(submit: Submit, request_for: Request) -> None:
    make_pickled(submit("pickled"))
    submit("plain", "x = x * 0.9")
    refused = run(request_for(timeout_s=120.0))
    row = entry_of(refused, "pickled")
    assert (row.status, row.error.type) == ("failed", "CheckpointError")
    assert "ReLU" in row.error.message
    assert "--trust-pickle" in row.error.message
    trusted = run(request_for(timeout_s=120.0, trust_pickle=True))
    row = entry_of(trusted, "pickled")
    assert row.status == "ok", row.error
    assert row.notes == ["reading x2.pth executed code from its pickle (--trust-pickle)"]
    assert entry_of(trusted, "plain").runtime_ms == entry_of(refused, "plain").runtime_ms  # not measured again


@pytest.mark.parametrize("where", ["process", "none"])
def test_pickles_are_not_trusted_without_the_sandbox(submit: Submit, request_for: Request, where: str) -> None:
    submit("plain")
    with pytest.raises(UsageError, match="--trust-pickle needs a sandbox, and workers run as process"):
        run(request_for(sandbox=where, trust_pickle=True))


def test_wheels_without_install_are_bad_usage(submit: Submit, request_for: Request, tmp_path: Path) -> None:
    submit("plain")
    with pytest.raises(UsageError, match="--install"):
        run(request_for(wheels=tmp_path))
