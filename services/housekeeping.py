"""What a worker does beside answering: it takes over turns of workers that are gone, and deletes what is past its time."""

import logging
import math
import random
import time
from collections.abc import Callable

import gevent
from sqlalchemy.orm import Session

from services.chat import ChatService
from services.retention import Retention
from services.settings import Settings
from services.store import turns
from services.store.database import Database, is_outage
from services.store.models import Turn, Worker

log = logging.getLogger(__name__)

SWEEP_S = 1.0
RETIRE_S = 300.0


def forever(work: Callable[[], None], pause: float) -> gevent.Greenlet:
    """Run `work` again and again in a greenlet, `pause` seconds apart, whatever goes wrong in it."""
    def loop() -> None:
        while True:
            try:
                work()
            except Exception as error:
                # A database that is away is said once a try, without a page of traceback each second.
                log.error("background work failed: %s", type(error).__name__, exc_info=None if is_outage(error) else error)
            gevent.sleep(pause)
    return gevent.spawn(loop)


class Housekeeping:
    """The sweeps of one worker."""

    def __init__(self, settings: Settings, database: Database, worker: Worker, chat: ChatService,
                 retention: Retention) -> None:
        self._settings = settings
        self._database = database
        self._worker = worker
        self._chat = chat
        self._retention = retention

        self._judging_since = time.monotonic()  # since when we sweep without a gap and reach the database
        self._swept_at = time.time()
        self._suspects: set[tuple[str, int]] = set()

    def start(self) -> list[gevent.Greenlet]:
        """All sweeps, in greenlets of their own."""
        return [forever(self.adopt, SWEEP_S), forever(self.mend, self._settings.worker_gone_s), forever(self.retire, RETIRE_S)]

    def adopt(self) -> None:
        """Take over the turns of workers that are gone. A worker that is going itself takes nothing.

        After an outage of the database, or a suspended host, no worker's heartbeat is fresh, and nobody can tell yet who
        is gone: until everybody has had the time to write one, only workers that said they leave count.
        """
        if self._chat.draining:
            return
        gone_s = self._settings.worker_gone_s
        if time.time() - self._swept_at > SWEEP_S + gone_s / 2:  # the clock of heartbeats; a monotonic one may stand still in a sleep
            self._judging_since = time.monotonic()
        judging = time.monotonic() - self._judging_since >= gone_s
        try:
            found = self._database.read(lambda session: turns.orphans(session, self._worker.id, gone_s if judging else math.inf))
            random.shuffle(found)  # several workers sweep at once: each finds some that no other has claimed yet
            for turn in found:
                self._take_over(turn)
        except Exception as error:
            if is_outage(error):
                self._judging_since = time.monotonic()
            raise
        finally:
            self._swept_at = time.time()

    def mend(self) -> None:
        """Take up turns that are this worker's and that nobody here answers: an outage came between claim and answer.

        Seen in two sweeps, because a turn that begins just now is in the database before it runs.
        """
        own = self._database.read(lambda session: turns.running_of(session, self._worker.id))
        idle = {(turn.id, turn.attempt): turn for turn in own if not self._chat.answers(turn.id)}
        for key in self._suspects & idle.keys():
            if not self._chat.answers(key[0]):
                self._take_over(idle[key])
        self._suspects = set(idle)

    def _take_over(self, turn: Turn) -> None:
        if self._chat.draining:  # since the sweep began
            return
        until = time.monotonic() + SWEEP_S
        claimed = self._database.write(lambda session: turns.claim(session, turn, self._worker.id, until))
        if claimed is not None:
            log.warning("taking over a turn", extra={"turn": turn.id, "attempt": claimed.turn.attempt})
            self._chat.take_over(claimed)

    def retire(self) -> int:
        """Delete what is past its time. Returns how many logs."""
        self._database.write(self._be_seen)
        deleted = {name: count for name, count in self._retention.run().items() if count}
        if deleted:
            log.info("deleted what is past its time: %s", ", ".join(f"{count} {name}" for name, count in deleted.items()))
        return deleted.get("logs", 0)

    def _be_seen(self, session: Session) -> None:
        """An idle worker writes no heartbeat; here it says that it is not long gone."""
        turns.beat(session, self._worker.id)
