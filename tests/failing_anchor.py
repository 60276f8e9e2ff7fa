"""An engine whose anchor network can be made to fail."""

from harness.engines import Job
from harness.engines.inline import InlineEngine
from harness.errors import WorkerError
from harness.isolation.messages import Message
from harness.isolation.session import Session


class FailingAnchor(InlineEngine):
    """Remembers what was opened, and lets the anchor fail after some of its turns, and then after some more."""

    def __init__(self, anchor_turns: int = 10**9, anchor_turns_later: int = 0) -> None:
        self.opened: list[str] = []
        self.anchor_turns = anchor_turns
        self.anchor_turns_later = anchor_turns_later

    def open(self, job: Job) -> Session:
        session = super().open(job)
        self.opened.append(job.submission.name)
        if self.opened[-1] == "anchor":
            answer = session.exchange.request

            def request(message: Message, timeout_s: float, max_payload: int) -> Message:
                self.anchor_turns -= message.name == "time"
                if self.anchor_turns < 0:
                    self.anchor_turns = self.anchor_turns_later
                    raise WorkerError("the machine has no room for it", stage="time", kind="Crash")
                return answer(message, timeout_s, max_payload)

            session.exchange.request = request
        return session
