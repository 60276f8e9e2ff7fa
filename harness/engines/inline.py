"""Submissions run in this process: for tests of the code around them, and for trusted code in a debugger.

There is no isolation, no time limit and no log.
"""

from __future__ import annotations

from dataclasses import replace
from threading import RLock
from time import monotonic, process_time  # bound before submitted code is imported

from harness.engines.this_machine import ThisMachine
from harness.isolation.failures import describe
from harness.isolation.job import Job
from harness.isolation.messages import Message
from harness.isolation.opening import load_request
from harness.isolation.session import Session

_ONE_AT_A_TIME = RLock()  # operations change the modules and settings of their process, which is otherwise a worker's


class InlineEngine(ThisMachine):
    """Runs the worker's operations by calling them."""

    name = "inline"

    def open(self, job: Job) -> Session:
        """Return a session without a process."""
        return Session(InlineExchange(), load_request(job), job.timeout_s)


class InlineExchange:
    """Answers requests in the caller's process."""

    isolation = "none: the harness's own process"

    def __init__(self) -> None:
        from harness.worker.operations import Operations  # and torch with it, which only workers need otherwise

        self._operations = Operations()

    def request(self, message: Message, timeout_s: float, max_payload: int) -> Message:  # noqa: ARG002
        """Carry out the request; the deadline and the payload limit have no meaning here.

        All of its time counts as a delay by others: it may have waited for another request to end, and the clock that
        times the calls is the controller's own, so that comparing the two would prove nothing.
        """
        begin = monotonic()
        with _ONE_AT_A_TIME:
            reply = self._answer(message)
        return replace(reply, delay_s=monotonic() - begin)

    def _answer(self, message: Message) -> Message:
        from harness.worker.torch_settings import kept

        try:
            with kept():  # a worker may keep its settings, the caller's process must get its own back
                body, arrays = self._operations.run(message.name, message.body, message.arrays)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return Message("error", describe(error, message.name).model_dump(mode="json"))
        return Message(message.name, body.model_dump(mode="json"), tuple(arrays))

    def log_tail(self) -> str:
        """Return nothing: what is printed goes to the terminal."""
        return ""

    def alive(self) -> bool:
        """Return true: it is the caller's own process."""
        return True

    def pause(self) -> None:
        """Do nothing: it runs only when it is asked."""

    def cpu_s(self) -> float:
        """Return the processor time of the whole process, seconds."""
        return process_time()

    def let_run(self) -> bool:
        """Return false: it shares the process, and its processor time, with its caller."""
        return False

    def close(self) -> None:
        """Release the network."""
        # A new object without a network, so that its memory is freed.
        self._operations = type(self._operations)()
