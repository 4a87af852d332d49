"""One agent in its greenlet: a place to work, a deadline, its result stored, and how it ended."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gevent
from gevent.lock import BoundedSemaphore

from services.cancellation import Cancellation, Cancelled
from services.errors import TickertapeError
from services.llm.trail import Trail
from services.workflows.agents import Agents, Noticed, Wrote
from services.workflows.announcing import Announcer
from services.workflows.budget import Ledger
from services.workflows.catalogue import Node
from services.workflows.jobs import Assignment
from services.workflows.results import Missing, NodeResult

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an agent ended: with a stored result, with a missing view (and the code of why), or cancelled from outside."""

    node: Node
    result: NodeResult | None = None
    missing: Missing | None = None
    code: str = ""
    cancelled: str | None = None


class Worker:
    """An agent at work. It tells its run about it while it lasts, and hands over one outcome at its end.

    `cancel` ends it: with `budget` its prose so far is kept, with `deadline` it failed; any other reason is the turn's.
    """

    def __init__(self, task: Assignment, agents: Agents, slots: BoundedSemaphore, announcer: Announcer, ledger: Ledger) -> None:
        self.trail = Trail()
        self.greenlet: gevent.Greenlet | None = None
        self._task = task
        self._node = task.node
        self._agents = agents
        self._slots = slots
        self._announcer = announcer
        self._ledger = ledger
        self._cancellation = Cancellation()
        self._prose = ""

    def start(self, store: Callable[[NodeResult], None], done: Callable[[Outcome | None], None]) -> None:
        """Begin, in a greenlet of its own. `done(None)` tells that the budget is spent while the work goes on."""
        self._done = done
        self.greenlet = gevent.spawn(lambda: done(self._outcome(store)))

    def cancel(self, reason: str) -> None:
        self._cancellation.cancel(reason)

    def cut(self) -> Outcome:
        """What is left of the view when the budget ends it."""
        message = f"Ended at the limit of the run ({self._ledger.share()[1]})"
        return self._without(message, "budget", self._prose.strip())

    def _outcome(self, store: Callable[[NodeResult], None]) -> Outcome:
        try:
            with place(self._slots, self._cancellation, self._wait), self._deadline():
                self._announcer.agent_started(self._node)
                result = self._agents.work(self._task, self._cancellation, self._tell, self.trail)
            self._cancellation.check()
            store(result)
            return Outcome(self._node, result)
        except Cancelled as cancelled:
            return self._cancelled(cancelled.reason)
        except TickertapeError as error:
            return self._without(error.message, error.code)
        except Exception as error:
            _log_unexpected(self._node, error)
            return self._without("An internal error ended this part.", "internal")

    def _cancelled(self, reason: str) -> Outcome:
        if reason == "budget":
            return self.cut()
        if reason == "deadline":
            return self._without(f"Not finished after {self._node.timeout:g} s", "timeout")
        return Outcome(self._node, cancelled=reason)

    def _without(self, reason: str, code: str, text: str = "") -> Outcome:
        return Outcome(self._node, missing=Missing(self._node.id, self._node.agent, reason, text), code=code)

    def _tell(self, said: Wrote | Noticed) -> None:
        if isinstance(said, Noticed):
            if said.discard_from is not None:
                self._prose = self._prose[: said.discard_from]
            self._announcer.noticed(self._node, said)
            return
        if said.text:
            self._prose += said.text
            self._announcer.wrote(self._node, said.text)
        if self._ledger.estimate(self._node.id, said.characters):
            self._done(None)

    def _wait(self) -> None:
        self._announcer.noticed(self._node, Noticed("Waits for a free place on this server"))

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        timer = gevent.get_hub().loop.timer(self._node.timeout)
        timer.start(self.cancel, "deadline")
        try:
            yield
        finally:
            timer.close()


@contextmanager
def place(slots: BoundedSemaphore, cancellation: Cancellation, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One of the server's places to work. `wait` is called when there is none; waiting for it can be interrupted."""
    if slots.locked():
        wait()
    acquired = False
    try:
        with cancellation.interruptible():
            acquired = slots.acquire()
        yield
    finally:
        if acquired:  # also when the cancellation came just after the place
            slots.release()


def _log_unexpected(node: Node, error: Exception) -> None:
    """Say what kind of error and where, not its text: that may hold a prompt or a provider's words."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    log.error("agent %s: %s at %s:%s", node.id, type(error).__name__, at.filename, at.lineno)
