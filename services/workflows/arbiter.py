"""Asks a model which workflow a message wants, where the detector is not sure. A second at most; in doubt, the detector stands."""

from contextlib import closing
from dataclasses import replace

from gevent.hub import get_hub

from services.cancellation import Cancellation, Cancelled
from services.errors import TickertapeError
from services.llm.deltas import Began, Content, LLMRequest
from services.workflows.agents import LLM
from services.workflows.catalogue import WORKFLOWS
from services.workflows.desk import OFFLINE
from services.workflows.detector import Detection
from services.workflows.features import window
from services.workflows.prompting import prompt

MAX_ANSWER = 200  # characters; the answer is one word


class Arbiter:
    """Decides uncertain detections. `seconds` is a hard limit on the wait."""

    def __init__(self, llm: LLM, seconds: float = 1.0) -> None:
        self._llm = llm
        self._seconds = seconds

    def decide(self, message: str, detection: Detection) -> Detection:
        """The detection, changed where a model names another workflow or none in time."""
        if not detection.uncertain:
            return detection
        named = self._ask(message)
        if named is None or named == (detection.workflow or "none"):
            return detection
        reason = "A model read it as a question for one answer." if named == "none" else f"A model read it as {WORKFLOWS[named].name.lower()}."
        return replace(detection, workflow=None if named == "none" else named, reason=reason, uncertain=False)

    def _ask(self, message: str) -> str | None:
        cancellation, answer = Cancellation(), ""
        timer = get_hub().loop.timer(self._seconds)
        timer.start(cancellation.cancel, "deadline")
        try:
            with closing(self._llm.stream(_request(message), cancellation)) as deltas:
                for delta in deltas:
                    if isinstance(delta, Began) and delta.provider == OFFLINE:
                        return None
                    if isinstance(delta, Content):
                        answer += delta.text
                    if len(answer) > MAX_ANSWER:
                        return None
        except (Cancelled, TickertapeError):
            return None
        finally:
            timer.close()
        return _named(answer)


def _request(message: str) -> LLMRequest:
    catalogue = "\n".join(f"- {flow.id}: {flow.description}" for flow in WORKFLOWS.values())
    system = f"{prompt('_arbiter')}\n\n{catalogue}\n- none: anything else"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": window(message)}]
    return LLMRequest(messages=messages, question=message, max_tokens=12, temperature=0, purpose="detector")


def _named(answer: str) -> str | None:
    words = answer.replace("`", " ").replace(".", " ").replace('"', " ").split()
    return next((word for word in words if word == "none" or word in WORKFLOWS), None)
