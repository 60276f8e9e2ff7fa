"""Which form of a network is measured: what a track scores never rises, and doubtful gains are timed."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.engines.inline import InlineEngine, InlineExchange
from harness.errors import WorkerError
from harness.isolation.job import Job
from harness.isolation.messages import Message
from harness.isolation.opening import load_request
from harness.isolation.session import Session
from harness.pipeline import run
from harness.results.schema import NetworkForm, ReparamPolicy
from harness.run import form_timing
from harness.run.form_choice import FormTimes, choose, choose_by_time, own_form, scored_figures
from harness.run.plan import RunRequest
from harness.submissions.discovery import discover
from harness.tracks import get_track
from harness.tracks.custom import read_track

pytestmark = pytest.mark.timeout(300)

SHARED = """
import torch
from torch import nn
from torch.nn import functional

class Shared(nn.Module):
    # Two blocks share a 3x3 convolution. The first collapses into one of its own, so the parameters rise.
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 12, 1)

    def forward(self, x):
        y = functional.relu(self.first(self.shared(functional.relu(self.head(x)))))
        y = self.second(self.shared(y))
        big = functional.interpolate(x, scale_factor=2.0, mode="bicubic")
        return big + 0.001 * functional.pixel_shuffle(y, 2)

def srmodel():
    return Shared()
"""
HEAD, BLOCK, TAIL = (3 * 9 + 1) * 8, (8 * 9 + 1) * 8, 9 * 12
LOADED = HEAD + BLOCK + 9 * 8 + TAIL
COLLAPSED = HEAD + 2 * BLOCK + TAIL  # the second block would cost more operations as one convolution
MACS = [24 * 32 * (27 * 8 + 2 * 72 * 8 + 8 * 12 + pointwise) for pointwise in (8 * 8, 0)]

figures = st.none() | st.integers(0, 10**6)
forms = st.builds(
    lambda author, collapsed: [form("loaded", 10**6, 10**6, 10**6), *author, *collapsed],
    st.lists(st.builds(lambda p, m, a: form("author", p, m, a), st.integers(0, 10**6), figures, figures), max_size=1),
    st.lists(
        st.builds(lambda p, m, a: form("automatic", p, m, a), st.integers(0, 10**6), figures, figures), max_size=1
    ),
)
scored = st.lists(st.sampled_from(["params", "macs", "activations"]), unique=True)


def form(name: str, params: int, macs: int | None, activations: int | None) -> NetworkForm:
    return NetworkForm(name=name, method=name, params=params, macs=macs, activations=activations)  # type: ignore[arg-type]


@given(
    forms=forms,
    scored=scored,
    ratio=st.floats(0.1, 10),
    p_value=st.floats(0, 1),
    policy=st.sampled_from(["auto", "author"]),
)
def test_no_scored_figure_ever_rises(
    forms: Sequence[NetworkForm], scored: Sequence[str], ratio: float, p_value: float, policy: ReparamPolicy
) -> None:
    own, times = own_form(forms), FormTimes(1.0, ratio, ratio, p_value, 16)
    choice = choose(policy, forms, scored) or choose_by_time(forms, times)
    (used,) = [form for form in forms if form.name == choice.form]
    assert used.name in (own.name, "automatic")
    for name in scored:
        before, after = getattr(own, name), getattr(used, name)
        assert used is own or (before is not None and after is not None and after <= before)
    if used is not own:
        assert policy == "auto"
        saved = own.macs is not None and used.macs is not None and used.macs <= 0.95 * own.macs
        assert (saved and used.params <= own.params) or (ratio < 1 and p_value < 0.05)
    if forms[-1].name == "automatic" and used is own:
        assert f"{forms[-1].params:,} parameters" in choice.reason


def test_a_form_that_cannot_be_timed_is_not_chosen() -> None:
    both = [form("loaded", 100, 1000, 10), form("automatic", 110, 990, 10)]
    assert choose("auto", both, []) is None
    assert choose_by_time(both, None).form == "loaded"


@pytest.mark.parametrize(
    ("name", "policy", "figures"),
    [
        ("ntire-esr-2022", "author", ("params", "macs", "activations")),
        ("ntire-esr-2025", "author", ("params", "macs")),
        ("ntire23-x2", "auto", ()),
        ("ais2024-x4", "auto", ()),
    ],
)
def test_tracks_that_score_parameters_measure_the_authors_form(
    name: str, policy: str, figures: tuple[str, ...]
) -> None:
    assert (get_track(name).reparam_policy, scored_figures(get_track(name))) == (policy, figures)


def test_a_custom_track_states_its_form(tmp_path: Path) -> None:
    text = '[track]\nname = "mine"\nscale = 2\ninput_size = [24, 32]\nreparam = "none"\n[score]\nformula = "psnr"\n'
    (tmp_path / "mine.toml").write_text(text)
    assert read_track(tmp_path / "mine.toml").reparam_policy == "none"


class Scripted(InlineExchange):
    """Reports times by the form in use: the collapsed one takes the given share of the other's."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share
        self._form = "loaded"
        self._call = itertools.count()

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        reply = super().request(message, timeout_s, max_payload)
        if message.name == "use_form":
            self._form = message.body["form"]
        if message.name == "time":
            ms = (self._share if self._form == "automatic" else 1.0) * (1.0 + 0.01 * (next(self._call) % 7))
            samples = [ms * 0.01] * len(reply.body["samples_ms"])
            return Message(
                "time",
                reply.body | {"samples_ms": samples, "warmup_ms": [0.01] * len(reply.body["warmup_ms"])},
                reply.arrays,
            )
        return reply


@pytest.mark.parametrize(("share", "form"), [(0.5, "automatic"), (2.0, "loaded"), (1.0, "loaded")])
def test_the_faster_form_is_measured(share: float, form: str, tmp_path: Path, submissions: Path) -> None:
    (found,) = discover([submissions], entry_points=False)
    session = Session(Scripted(share), load_request(Job(found, 2)), 60.0)  # type: ignore[arg-type]
    session.load()
    frame = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    forms = session.reparameterize([frame]).forms
    times = form_timing.time_forms(session, ("loaded", "automatic"), frame)
    assert times.ratio == pytest.approx(share, rel=0.05)
    assert choose_by_time(forms, times).form == form


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    folder = tmp_path / "submissions" / "shared"
    folder.mkdir(parents=True)
    (folder / "submission.toml").write_text('[submission]\nname = "shared"\nscales = [2]\n')
    (folder / "arch.py").write_text(SHARED)
    return folder.parent


@pytest.mark.parametrize(
    ("track", "policy", "used", "why"),
    [
        ("ntire-esr-2025", None, "loaded", "the author's form is measured"),
        ("ntire-esr-2025", "auto", "loaded", "the track scores parameters"),
        ("ntire23-x2", None, "automatic", "it is faster"),
        ("ntire23-x2", "none", "loaded", "as it was submitted"),
    ],
)
def test_a_run_states_all_forms(
    track: str,
    policy: ReparamPolicy | None,
    used: str,
    why: str,
    submissions: Path,
    request_for: Callable[..., RunRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = get_track(track)
    small = replace(rules, scale=2, input_shape=(1, 3, 24, 32), degradation="bicubic", gates=(), datasets=())
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda _: small)
    times = FormTimes(2.0, 1.0, 0.5, 1e-4, 16)
    monkeypatch.setattr("harness.run.optional_stages.time_forms", lambda *_: times)
    finished = run(request_for(reparam=policy), engine=InlineEngine())
    stored = json.loads((finished.folder / "results.json").read_text())
    (row,) = stored["entries"]
    reparam = row["reparam"]
    assert (reparam["form"], reparam["policy"]) == (used, policy or small.reparam_policy)
    assert why in reparam["reason"]
    assert row["params"] == reparam["params_after"] == (COLLAPSED if used == "automatic" else LOADED)
    known = {form["name"]: (form["params"], form["macs"]) for form in reparam["forms"]}
    if policy != "none":
        assert known == {"loaded": (LOADED, MACS[0]), "automatic": (COLLAPSED, MACS[1])}
        assert row["macs"] == known[used][1]
    page = (finished.folder / "models" / "shared.html").read_text()
    assert ("Forms of the network" in page) == (policy != "none")


SIZED = """
import torch
from torch import nn
from torch.nn import functional

class Block(nn.Module):
    # Other than at all other sizes, there is an activation at the timed width.
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.Conv2d(32, 12, 1)

    def forward(self, x):
        y = self.first(x)
        return self.second(functional.relu(y) if x.shape[-1] == 72 else y)

class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block = Block()

    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0) + 0.1 * functional.pixel_shuffle(self.block(x), 2)

def srmodel():
    return Sized()
"""


@pytest.mark.parametrize(("width", "used"), [(72, "loaded"), (80, "automatic")])
def test_a_network_that_is_another_one_at_the_timed_size_stays_as_it_is(
    width: int, used: str, submissions: Path, request_for: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    (submissions / "shared" / "arch.py").write_text(SIZED)
    rules = get_track("ntire23-x2")
    small = replace(rules, input_shape=(1, 3, 24, width), degradation="bicubic", gates=(), datasets=())
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda _: small)
    (row,) = run(request_for(reparam="auto"), engine=InlineEngine()).run.entries
    assert (row.status, row.reparam.form) == ("ok", used)
    assert (used == "loaded") == any("than at smaller sizes" in note for note in row.reparam.notes)


class Refusing(InlineEngine):
    """Its workers live, and change no form."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def open(self, job: Job) -> Session:
        session = super().open(job)
        answer = session.exchange.request

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            if message.name == "use_form":
                raise WorkerError("no", stage="reparameterize", kind="SubmissionError")
            return answer(message, timeout_s, max_payload)

        session.exchange.request = request  # type: ignore[method-assign]
        self.opened.append(job.submission.slug)
        return session


def test_a_form_that_cannot_be_changed_is_made_by_a_new_process(
    submissions: Path, request_for: Callable[..., RunRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = get_track("ntire-esr-2025")  # it measures the author's form, and the collapsed one is in use at first
    small = replace(rules, scale=2, input_shape=(1, 3, 24, 32), degradation="bicubic", gates=(), datasets=())
    monkeypatch.setattr("harness.run.plan.track_for_scale", lambda _: small)
    engine = Refusing()
    (row,) = run(request_for(), engine=engine).run.entries
    assert (row.status, row.error, row.reparam.form) == ("ok", None, "loaded")
    assert (row.params, row.macs) == (LOADED, MACS[0])
    assert engine.opened.count("shared") == 2
    assert any("a new process" in note for note in row.notes)


def test_a_later_process_makes_the_same_form_however_long_it_takes(submissions: Path) -> None:
    (found,) = discover([submissions], entry_points=False)
    frame = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)

    def opened(limit_s: float) -> Session:
        job = Job(found, 2, analysis_limit_s=limit_s)  # type: ignore[arg-type]
        session = Session(InlineExchange(), load_request(job), 60.0)
        session.load()
        return session

    first, late = opened(60.0), opened(1e-6)
    made = first.reparameterize([frame])
    assert (made.method, made.params_after) == ("automatic", COLLAPSED)
    assert late.reparameterize([frame]).method == "none"
    again = late.reparameterize([frame], regions=first.regions)
    assert (again.method, again.params_after) == (made.method, made.params_after)
