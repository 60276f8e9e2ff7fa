"""A controller that was stopped for a while does not blame a worker for it."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness.isolation.channel import Channel
from harness.isolation.messages import SECRET_BYTES, DeadlinePassed, Message

SECRET = bytes(SECRET_BYTES)

CONTROLLER = """
import socket, sys, time
from harness.isolation.channel import Channel
from harness.isolation.messages import SECRET_BYTES, Message
channel = Channel(socket.socket(fileno=int(sys.argv[1])), bytes(SECRET_BYTES))
deadline = time.monotonic() + 1.2
channel.send(Message("load", {}, ()), 0, deadline)
print(channel.receive(0, deadline).name)
"""


@pytest.mark.parametrize("replies_while_stopped", [True, False])
def test_the_deadline_is_extended_by_the_stop(replies_while_stopped: bool) -> None:
    ours, theirs = socket.socketpair()
    worker = Channel(theirs, SECRET)
    command = [sys.executable, "-c", CONTROLLER, str(ours.fileno())]
    with subprocess.Popen(command, pass_fds=[ours.fileno()], stdout=subprocess.PIPE, text=True) as controller:
        ours.close()
        worker.receive(0)
        os.kill(controller.pid, signal.SIGSTOP)
        if replies_while_stopped:
            worker.send(Message("load", {}, ()), 0)
        time.sleep(1.8)
        os.kill(controller.pid, signal.SIGCONT)
        if not replies_while_stopped:
            time.sleep(0.2)
            worker.send(Message("load", {}, ()), 0)
        assert controller.communicate(timeout=30)[0] == "load\n"
        assert controller.returncode == 0
    worker.close()


def test_a_silent_worker_still_runs_out_of_time() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = Channel(ours, SECRET)
        begin = time.monotonic()
        with pytest.raises(DeadlinePassed):
            channel.receive(0, begin + 0.3)
        assert 0.25 < time.monotonic() - begin < 20
        channel.close()
