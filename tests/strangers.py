"""Submissions as hypothesis makes them up, and a run without processes through which each must end as a row.

What is made up: folder trees, file names, manifests, requirements, archives, the replies of workers, and exceptions of
the controller while it handles a reply.
"""

import errno
import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from harness.cli.terminal import leaderboard_table, reasons
from harness.engines import Job
from harness.engines.this_machine import ThisMachine
from harness.errors import UsageError, WorkerError
from harness.isolation.messages import Message
from harness.isolation.opening import load_request
from harness.isolation.session import Session
from harness.results import Run, RunStore
from harness.run.assemble import RunOutcome, assemble, score_and_rank
from harness.run.bicubic_reference import BicubicReference
from harness.run.context import RunContext
from harness.run.group_timing import time_group
from harness.run.group_upscaling import upscale_group
from harness.run.plan import Plan, RunRequest, make_plan
from harness.run.progress import Listener, Progress
from harness.run.scheduler import Scheduler
from harness.submissions.discovery import discover
from harness.timing.strips import STRIPS, strip_width

SCALE = 2
LEVEL = 100
"""Gray of every output that a scripted worker returns."""
ARCH = b"def srmodel():\n    pass\n"
ODD_NAMES = [
    b"a",
    b"arch.py",
    b"x.pth",
    b"\xff\xfe",
    b"a\nb",
    b"\xe2\x80\xae",
    b".git",
    b"results",
    b"utils",
    b"-",
    b"=1",
]
ODD_NAMES += [b" ", b"n" * 200, b"requirements.txt", b"submission.toml", b"\x1b[31m", b"a:100:", b"[bold]", b"CON"]
names = st.sampled_from(ODD_NAMES) | st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
LINKS = ["/proc/kmsg", "/proc/self/pagemap", "/etc/passwd", "/dev/zero", ".", "..", "loop", "arch.py", "none", "/", ""]

REQUIREMENTS = ["torch", "numpy>=1", "foo; os_name ~= 'x'", "a; extra == 'b'", "(" * 400, "a; " + "(" * 300, "a==1.*.x"]
REQUIREMENTS += [
    "a; python_version < 'x'",
    "a[b]>=1",
    "a @ http://x",
    "-r other",
    "#",
    "\x00",
    "é",
    "a" * 600,
    "torch===x",
]
REQUIREMENTS += ["numpy; sys_platform in 'linux'", "b; implementation_version ~= ''", "c>=1,<2,!=1.5"]
requirements = st.sampled_from(REQUIREMENTS) | st.text(max_size=12)

KEYS = [
    "name",
    "team",
    "scales",
    "factory",
    "value_range",
    "size_multiple",
    "requires",
    "backends",
    "weights",
    "x",
    "a.b",
]
KEYS += ['"q.r"', "submission.name", ".".join("a" * 40), "reparameterize", "published", "needs_weights", "'", "name."]
VALUES = ['"LRSRN"', "[2]", "[2, 3]", '"arch:srmodel"', "1.0", "nan", "inf", "-1", "9" * 5000, "true", "[]", "{}", '""']
VALUES += [
    '"\\u202e"',
    '"a\\nb"',
    "[[[[]]]]",
    "[" * 300,
    "{ x2 = 1 }",
    '{ x2 = "../a" }',
    '{ x2 = "arch.py" }',
    "2026-01-01",
]
VALUES += [
    "{ x2 = { params_k = nan } }",
    '"' + "b" * 5000 + '"',
    "'''",
    '["foo; os_name ~= 1"]',
    '["x"]',
    "0x",
    "1e999",
]
LINES = [
    "[submission]",
    "[weights]",
    "[published]",
    "[submission.weights]",
    "[[a]]",
    "[" + " " * 300,
    "[ a . b ]",
    "#",
    "",
]
lines = st.sampled_from(LINES) | st.builds("{} = {}".format, st.sampled_from(KEYS), st.sampled_from(VALUES))
GOOD_MANIFEST = '[submission]\nname = "good"\nscales = [2]\n'
manifests = st.one_of(
    st.builds(lambda more: GOOD_MANIFEST + "\n".join(more), st.lists(lines, max_size=5)),
    st.lists(lines, max_size=8).map("\n".join),
    st.text(max_size=60),
).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=40)


@dataclass(frozen=True)
class Tree:
    """One entry of an inbox: its name, its files and how it is delivered."""

    name: bytes
    manifest: bytes | None
    requirements: tuple[str, ...] | None
    extras: tuple[tuple[bytes, str, str], ...]
    depth: int
    form: str


extras = st.lists(
    st.tuples(names, st.sampled_from(["file", "folder", "link", "pipe", "sparse", "deep"]), st.sampled_from(LINKS)),
    max_size=3,
).map(tuple)
trees = st.builds(
    Tree,
    name=names,
    manifest=st.none() | st.just(GOOD_MANIFEST.encode()) | manifests,
    requirements=st.none() | st.lists(requirements, max_size=3).map(tuple),
    extras=st.just(()) | extras,
    depth=st.sampled_from([0, 0, 0, 1, 3, 40]),
    form=st.sampled_from(["folder", "folder", "zip", "odd zip", "file"]),
)


def write(tree: Tree, inbox: Path) -> None:
    """Create the entry; what this file system does not allow is left out, and so is a second one of the same name."""
    place = inbox / os.fsdecode(tree.name)
    try:
        if os.path.lexists(place):  # what is in it may be a pipe, on which writing waits for a reader
            return
        if tree.form == "folder":
            _fill(place.joinpath(*["w"] * tree.depth), tree)
        elif tree.form == "file":
            place.with_name(place.name + ".pth").write_bytes(tree.manifest or b"PK")
        else:
            _pack(place.with_name(place.name + ".zip"), tree)
    except (OSError, ValueError):
        return


def _fill(folder: Path, tree: Tree) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arch.py").write_bytes(ARCH)
    if tree.manifest is not None:
        (folder / "submission.toml").write_bytes(tree.manifest)
    if tree.requirements is not None:
        (folder / "requirements.txt").write_text("\n".join(tree.requirements), encoding="utf-8", errors="replace")
    for name, kind, target in tree.extras:
        _add(folder / os.fsdecode(name), kind, target)


def _add(path: Path, kind: str, target: str) -> None:
    if os.path.lexists(path) and kind != "folder":
        path.unlink()
    if kind == "file":
        path.write_text(target)
    elif kind == "folder":
        path.mkdir(exist_ok=True)
    elif kind == "link":
        path.symlink_to(target or path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 42)
    else:
        path.joinpath(*["d"] * 60).mkdir(parents=True)


def _pack(path: Path, tree: Tree) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive, warnings.catch_warnings(action="ignore"):  # names may be equal
        archive.writestr("arch.py", ARCH)
        for name in (os.fsdecode(name).encode("utf-8", "replace").decode() for name, _, _ in tree.extras):
            archive.writestr("d/" * tree.depth + name, "x")
        if tree.manifest is not None:
            archive.writestr("submission.toml", tree.manifest)
    raw = content.getvalue()
    path.write_bytes(raw if tree.form == "zip" else raw[: len(raw) // 2] + raw[len(raw) // 2 + 1 :])


oddities = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1,
        2**62,
        2**70,
        1e308,
        1e-4,
        float("nan"),
        float("inf"),
        "",
        "ok",
        "\ud800",
        "\0",
        "\u202e",
        [],
        {},
        "x" * 600,
    ]
)
EXCEPTIONS: list[Callable[[], Exception]] = [
    RecursionError,
    MemoryError,
    lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    lambda: ValueError(""),
    lambda: KeyError("\ud800\n"),
    ZeroDivisionError,
    lambda: IndexError("a\nb"),
    AssertionError,
    lambda: OSError(errno.EIO, "Input/output error"),
    lambda: type("", (Exception,), {})(),
    lambda: WorkerError("", stage="", kind=""),
    lambda: WorkerError("\ud800", stage="load", kind="\n", log="\udcff"),
    lambda: WorkerError("no answer", stage="reparameterize", kind="Timeout"),
]
OPERATIONS = ["load", "reparameterize", "count", "memory", "prepare", "time", "output", "upscale"]
"""Requests, where ``output`` asks for the image of a timed frame and ``upscale`` for that of a scored image."""


@dataclass(frozen=True)
class Fault:
    """What a worker answers to one operation: a reply with one field replaced, an error, odd arrays or an exception."""

    operation: str
    kind: str
    field: int = 0
    value: Any = None
    exception: int = 0


faults = st.none() | st.builds(
    Fault,
    operation=st.sampled_from(OPERATIONS),
    kind=st.sampled_from(["field", "error", "arrays", "exception"]),
    field=st.integers(0, 20),
    value=oddities | st.lists(oddities, max_size=2),
    exception=st.integers(0, len(EXCEPTIONS) - 1),
)


class ScriptedExchange:
    """Answers requests as an honest worker does, except for one fault."""

    isolation = "none: scripted"

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self._white = 1.0
        self._size = 0, 0
        self._timed_size: tuple[int, int] | None = None

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:
        """Return the reply."""
        body, arrays = self._honest(message)
        fault = self._fault
        if fault is None or fault.operation != self._operation(message):
            return Message(message.name, body, arrays)
        if fault.kind == "exception":
            error = EXCEPTIONS[fault.exception]()
            raise error
        if fault.kind == "error":
            text = fault.value if isinstance(fault.value, str) else ""
            return Message("error", {"stage": text, "type": text, "message": text})
        if fault.kind == "arrays":
            return Message(message.name, body, (np.zeros((fault.field, 2), np.uint8),))
        key = sorted(body)[fault.field % len(body)] if body else "surprise"
        return Message(message.name, {**body, key: fault.value}, arrays)

    def _operation(self, message: Message) -> str:
        return "output" if message.name == "upscale" and self._size == self._timed_size else message.name

    def _honest(self, message: Message) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
        if message.name == "load":
            self._white = message.body["value_range"]
        elif message.name == "time":
            return self._one_call(message)
        elif message.name == "upscale":
            return {}, (np.full((*self._size, 3), LEVEL, np.uint8),)
        bodies = {
            "load": {
                "value_range": self._white, "params_before": 100, "size_multiple": 1, "weights": True,
                "backend": "eager", "notes": [],
            },
            "reparameterize": {"method": "none", "params_before": 100, "params_after": 100, "notes": []},
            "count": {"params": 100, "macs": 1000, "activations": 10, "incomplete_ops": [], "layers": []},
            "memory": {"peak_bytes": 1 << 20},
            "grow_heap": {},
            "release": {},
            "prepare": {"seconds": 0.1},
            "ceilings": {"macs_per_s": 1e9, "bytes_per_s": 1e9, "launch_s": 1e-6},
        }  # fmt: skip
        return bodies[message.name], ()

    def _one_call(self, message: Message) -> tuple[dict[str, Any], tuple[np.ndarray, ...]]:
        """Return the time of one call on the first frame, and strips of its output, which is gray."""
        asked, widths = message.body, [frame.shape[1] for frame in message.arrays]
        most = asked["warmup"] + max(asked["repeats"], asked["min_repeats"])
        if asked["inputs"] == "dataset":
            most = min(asked["repeats"], len(widths))
        height, width, _ = message.arrays[0].shape
        self._size = height * SCALE, width * SCALE
        self._timed_size = self._timed_size or self._size
        values = np.full((1, STRIPS, 3, strip_width(widths, most, SCALE)), LEVEL / 255 * self._white, np.float32)
        body = {
            "samples_ms": [0.002], "at_s": [0.0], "clock": "scripted", "note": "one call", "alarms": 0,
            "warmup_ms": [], "warmup_at_s": [], "warmup_calls": 0, "varied": [[]],
        }  # fmt: skip
        return body, (np.zeros((1, STRIPS, 2), np.float32), values)

    def log_tail(self) -> str:
        """Return nothing."""
        return ""

    def alive(self) -> bool:
        """Return true."""
        return True

    def pause(self) -> None:
        """Do nothing."""

    def cpu_s(self) -> None:
        """Return nothing."""
        return

    def let_run(self) -> bool:
        """Return false."""
        return False

    def close(self) -> None:
        """Do nothing."""


class ScriptedEngine(ThisMachine):
    """Opens sessions without processes; the first submission's has a fault."""

    name = "scripted"

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault

    def open(self, job: Job) -> Session:
        """Return a session; the anchor's has no fault."""
        is_anchor = job.submission.root.name == "anchor"
        return Session(ScriptedExchange(None if is_anchor else self.fault), load_request(job), job.timeout_s)


def base_plan(folder: Path, protocol: str = "ntire23-cpu") -> Plan:
    """Return a plan of one small image and a small track, without submissions."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(images / "a.png")
    request = RunRequest(
        submissions=(folder,), scale=2, dataset=str(images), out=folder / "run", device="cpu", threads=1,
        protocol=protocol, time_budget_s=0.01, images="none", sandbox="none", memory_bytes=1 << 40,
    )  # fmt: skip
    plan = make_plan(request, [])
    return replace(plan, track=replace(plan.track, input_shape=(1, 3, 24, 32)))


def check(plan: Plan, made: list[Tree], fault: Fault | None, listener: Listener | None = None) -> Run:
    """Write an inbox and run it; whatever it is, each submission must end as a row."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        for tree in made:
            write(tree, inbox)
        return run_inbox(plan, inbox, fault, listener)


def run_inbox(plan: Plan, inbox: Path, fault: Fault | None = None, listener: Listener | None = None) -> Run:
    """Discover, plan, measure, score and describe an inbox, and check that each submission found is one row."""
    from harness.run import planned as planning

    with tempfile.TemporaryDirectory() as cache:
        try:
            found = discover([inbox], entry_points=False, cache_dir=Path(cache))
        except UsageError:  # nothing that is a submission
            return Run.model_validate(assembled(plan, [], []).model_dump())
        conditions = "c"
        planned = planning.plan_submissions(found, plan.request, 2, conditions)
        filled = replace(plan, submissions=planned, folder=Path(cache) / "run")
        store = RunStore(filled.folder)
        progress = Progress([listener] if listener else [])
        progress.start(filled.names, 1, 0.01, 1)
        with RunContext(filled, store, ScriptedEngine(fault), progress) as context:
            scheduler = Scheduler(context)
            for group in scheduler.prepare_groups():
                scheduler.retry_alone(time_group(group, context))
                upscale_group(group, context)
        measured = context.measurements()
    run = assembled(filled, measured, found)
    assert len(run.entries) == len(found)
    assert {entry.slug for entry in run.entries} == {one.slug for one in found}
    for entry in run.entries:
        assert entry.name.isprintable() or "\ufffd" in entry.name
        assert (entry.error is None) == (entry.status == "ok")
        assert entry.error is None or (entry.error.message.strip() and entry.error.stage and entry.error.type)
    assert Run.model_validate_json(run.model_dump_json()) == run
    leaderboard_table(run)
    reasons(run)
    return run


def assembled(plan: Plan, measured: list[Any], found: list[Any]) -> Run:
    """Score, rank and describe what was measured."""
    reference = BicubicReference(30.0, "measured", [])
    board = score_and_rank(plan, measured, reference)
    return assemble(plan, measured, board, reference, RunOutcome("2026-01-01T00:00:00+00:00", complete=True))
