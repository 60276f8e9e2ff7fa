"""``harness check``: the stages of a run on two small images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.engines import Job, LocalEngine
from harness.engines.inline import InlineEngine
from harness.errors import UsageError, WorkerError
from harness.isolation.messages import Message
from harness.isolation.opening import load_request
from harness.isolation.session import Session
from harness.run.checking import CheckRequest, check_path
from harness.run.progress import StageProgress
from harness.submissions.discovery import discover
from harness.submissions.skeleton import create

pytestmark = pytest.mark.timeout(900)

ZOO = Path(__file__).resolve().parent.parent / "zoo"


def said(check):
    return " | ".join(f"{finding.level}: {finding.what}. {finding.hint}" for finding in check.findings)


def submit(folder, body, *, manifest="scales = [2]"):
    folder.mkdir(parents=True)
    if manifest:
        (folder / "submission.toml").write_text(f'[submission]\nname = "{folder.name}"\n{manifest}\n')
    lines = body.splitlines()
    indented = "\n".join(f"        {line}" for line in lines)
    (folder / "arch.py").write_text(
        f"import os, time\nfrom torch import nn\nfrom torch.nn import functional\n\n\nclass Network(nn.Module):\n"
        f"    def forward(self, x):\n{indented}\n\n\ndef srmodel():\n    return Network()\n"
    )
    return folder


BICUBIC = 'return functional.interpolate(x, scale_factor=2, mode="bicubic")'
SLEEP_S = 6
WINDOWS = "x.view(1, 3, x.shape[2] // {0}, {0}, x.shape[3] // {0}, {0})\n" + BICUBIC


class Impatient(LocalEngine):
    """Waits a few seconds for the network that sleeps, and a minute for all others."""

    def open(self, job):
        """Start a worker."""
        sleeps = job.submission.root.name == "sleeps_when_timed"
        return super().open(replace(job, timeout_s=SLEEP_S if sleeps else job.timeout_s))


@pytest.fixture(scope="module")
def told():
    """Return what is told during the check of the folder: slugs of stages, and the names whose checks are complete."""
    return []


@pytest.fixture(scope="module")
def checks(tmp_path_factory, told):
    """Return the checks of a folder of submissions, by name and scale."""
    folder = tmp_path_factory.mktemp("inbox")
    create("Mine", folder)
    submit(folder / "windows_of_7", WINDOWS.format(7))
    submit(folder / "windows_of_12", WINDOWS.format(12), manifest="scales = [2]\nsize_multiple = 12")
    submit(folder / "no_manifest", BICUBIC.replace("=2", "=3"), manifest="")
    submit(folder / "exits_on_images", f"if x.shape[-1] == 64:\n    os._exit(0)\n{BICUBIC}")
    submit(folder / "sleeps_when_timed", f"if x.shape[-1] == 128:\n    time.sleep(600)\n{BICUBIC}")
    submit(folder / "untrained", BICUBIC, manifest="scales = [2]\nneeds_weights = true")
    (folder / "broken").mkdir()
    (folder / "broken" / "submission.toml").write_text('[submission]\nname = "broken"\nscale = [2]\n')

    def listen(event):
        if isinstance(event, StageProgress) and event.slug:
            told.append(("stage", event.slug))

    found = check_path(
        CheckRequest(folder, timeout_s=60.0),
        [listen],
        engine=Impatient(),
        on_checked=lambda done: told.append(("checked", done[0].name)),
    )
    return {(check.name, check.scale): check for check in found}


def test_every_submission_is_checked_at_every_scale_that_it_has(checks):
    fine = {("Mine", 2), ("Mine", 3), ("Mine", 4), ("no_manifest", 3), ("untrained", 2)}
    fine |= {("windows_of_7", 2), ("windows_of_12", 2)}
    failing = {("broken", None), ("exits_on_images", 2), ("sleeps_when_timed", 2)}
    assert set(checks) == fine | failing
    assert {key for key, check in checks.items() if check.passed} == fine


def test_each_submission_is_told_before_the_next_one_begins(checks, told):
    assert {name for kind, name in told if kind == "checked"} == {name for name, _ in checks}
    names = [name for kind, name in told if kind == "checked"]
    assert names[0] == "broken"  # before anything is measured
    for name in ("exits_on_images", "sleeps_when_timed", "untrained", "windows_of_12"):
        end = told.index(("checked", name))
        own = [place for place, one in enumerate(told) if one == ("stage", name)]
        assert own, told
        assert max(own) < end
        between = {one for one in told[min(own) : end] if one[0] == "stage"}
        assert between == {("stage", name)}


def test_a_new_submission_has_nothing_to_mend(checks):
    for scale in (2, 3, 4):
        assert all(finding.level == "ok" for finding in checks["Mine", scale].findings), said(checks["Mine", scale])


def test_sizes_are_found_as_in_a_run(checks):
    assert "warn: takes only sides that are multiples of 7" in said(checks["windows_of_7", 2])
    assert "ok: takes sizes that are multiples of 12" in said(checks["windows_of_12", 2])
    assert "warn" not in said(checks["windows_of_12", 2])


def test_the_stage_of_a_failure_is_named(checks):
    assert "error: at upscale: the process" in said(checks["exits_on_images", 2])
    assert f"no answer within {SLEEP_S} s" in said(checks["sleeps_when_timed", 2])
    assert "did you mean scales" in said(checks["broken", None])


def test_no_weights_is_a_warning(checks):
    text = said(checks["untrained", 2])
    assert "warn: has no weights for x2" in text
    assert "dB" not in text


def test_a_scale_that_nothing_has():
    with pytest.raises(UsageError, match="no submission supports x3"):
        check_path(CheckRequest(ZOO / "honest_nearest", scale=3))


class Forger:
    """Answers every request with the given fields."""

    isolation = ""

    def __init__(self, body):
        self.body = body

    def request(self, message, _timeout_s, _max_payload):
        return Message(message.name, self.body)

    def log_tail(self):
        return ""


FINDING = {"level": "ok", "what": "fine", "hint": ""}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"findings": None},
        {"findings": ["fine"]},
        {"findings": [FINDING | {"level": "passed"}]},
        {"findings": [FINDING | {"what": 3}]},
        {"findings": [FINDING | {"what": "x" * 10**6}]},
        {"findings": [FINDING] * 1000},
        {"findings": [FINDING], "passed": True},
    ],
)
def test_forged_findings_are_refused(body):
    (found,) = discover([ZOO / "honest_nearest"], entry_points=False)
    session = Session(Forger(body), load_request(Job(found, 2)), 1.0)
    with pytest.raises(WorkerError, match="the worker sent") as caught:
        session.check()
    assert caught.value.kind == "ProtocolError"


def test_findings_are_printable():
    (found,) = discover([ZOO / "honest_nearest"], entry_points=False)
    body = {"findings": [FINDING | {"what": "\x1b[2J\u202efine"}]}
    (finding,) = Session(Forger(body), load_request(Job(found, 2)), 1.0).check()
    assert finding.what.isprintable()
    assert "fine" in finding.what


@pytest.mark.parametrize("value_range", [0.5, 2.0, 1e9])
def test_a_forged_value_range_is_refused(value_range):
    (found,) = discover([ZOO / "honest_nearest"], entry_points=False)
    body = {"params_before": 1, "size_multiple": 1, "value_range": value_range, "weights": True}
    session = Session(Forger(body), load_request(Job(found, 2)), 1.0)
    with pytest.raises(WorkerError, match="the worker sent a value range"):
        session.load()
    assert np.isclose(session.job.value_range, 1.0)


def test_what_a_limit_leaves_out_is_said(tmp_path):
    folder = submit(tmp_path / "limited", BICUBIC)
    arch = (folder / "arch.py").read_text()
    init = "def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(3, 3, 1)\n\n    def forward"
    (folder / "arch.py").write_text(
        arch.replace("def forward", init).replace("        return", "        x = self.conv(x)\n        return")
    )
    (check,) = check_path(CheckRequest(folder, analysis_limit_s=1e-6), engine=InlineEngine())
    assert check.passed
    cut = [finding for finding in check.findings if finding.hint == "--analysis-limit raises the limit"]
    assert [finding.level for finding in cut] == ["warn", "warn"]
    assert "the limit of the search" in cut[0].what
    assert "takes too long" in cut[1].what
