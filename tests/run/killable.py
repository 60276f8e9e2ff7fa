"""A program that starts the same small run as often as it is told, and kills it where it is told to.

Started by ``test_killed.py`` with the folder of submissions and the folder of images. Each line of its input names a
protocol, a run's folder, and after how many seconds to kill it, or ``never`` (a run that hangs is killed all the same);
it answers with the run's exit status.
Runs are forked from a process that has everything imported: a start takes milliseconds.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from harness.engines import Job, this_machine
from harness.engines.inline import InlineEngine
from harness.isolation.messages import Message
from harness.isolation.session import Session
from harness.machine import load
from harness.pipeline import run
from harness.run import plan
from harness.run.plan import RunRequest
from harness.timing import PROTOCOLS
from harness.tracks import get_track

HUNG_S = 120.0  # a run of three small networks takes one or two


class Telling(InlineEngine):
    """Runs in this process, and writes down each request as it is made."""

    def __init__(self, events: Path) -> None:
        self.events = events

    def open(self, job: Job) -> Session:
        session = super().open(job)
        name = job.submission.root.name
        ask = session.exchange.request

        def request(message: Message, timeout_s: float, max_payload: int) -> Message:
            with self.events.open("a") as stream:
                stream.write(f"{message.name} {name}\n")
            return ask(message, timeout_s, max_payload)

        session.exchange.request = request  # type: ignore[method-assign]
        return session


def one_run(submissions: Path, images: Path, protocol: str, out: Path) -> None:
    request = RunRequest(
        submissions=(submissions,),
        dataset=str(images),
        out=out,
        threads=1,
        device="cpu",
        protocol=protocol,
        time_budget_s=0.05,
        with_baselines=False,
    )
    run(request, engine=Telling(out.with_suffix(".events")))


def ends(pid: int, within_s: float) -> bool:
    """Wait until a run ends by itself, and tell whether it did."""
    deadline = time.monotonic() + within_s
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def main() -> None:
    submissions, images = map(Path, sys.argv[1:])
    small = replace(get_track("ntire23-x2"), input_shape=(1, 3, 24, 32))
    plan.track_for_scale = lambda scale: small
    PROTOCOLS["robust"] = replace(PROTOCOLS["robust"], turn_s=0.002)
    this_machine.busy_share = lambda: load.busy_share(0.01)
    torch.set_num_threads(1)  # no pool of threads, which a fork would lose
    # torch.fx opens a progress bar for each pass; by default its lock is shared by all forks: whoever is killed
    # while holding it leaves it locked for all that follow.
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval = 0
    for protocol in ("ntire23-cpu", "robust"):  # imports what is imported late
        one_run(submissions, images, protocol, submissions.parent / f"first-{protocol}")
    for line in sys.stdin:
        protocol, folder, patience = line.split()
        pid = os.fork()
        if pid == 0:
            one_run(submissions, images, protocol, Path(folder))
            os._exit(0)
        time.sleep(0.0 if patience == "never" else float(patience))
        if patience != "never" or not ends(pid, HUNG_S):
            os.kill(pid, signal.SIGKILL)  # where it has ended meanwhile, nothing happens: nobody waited for it yet
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
