"""The services of one process, each given what it works with."""

import os
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import gevent

from services.accounts.audit import Audit
from services.accounts.service import Accounts
from services.accounts.throttle import Throttle
from services.answering import Answering
from services.charges import Charges
from services.chat import ChatService
from services.completions import Completions
from services.history import Conversations
from services.housekeeping import Housekeeping, forever
from services.limits import Limits
from services.llm.config import LLMSettings
from services.llm.config import load as llm_settings
from services.llm.observer import Observer, Observers
from services.llm.offline import OfflineProvider
from services.llm.routes import Board
from services.llm.service import LLMService
from services.market import embedded
from services.market.config import MarketSettings
from services.market.desk import MarketDesk
from services.market.report import write_report
from services.metrics import Metrics, Sampler
from services.rates import Rates
from services.retention import Retention
from services.settings import Settings
from services.store.clock import database_time
from services.store.database import Database, upgrade
from services.store.models import Worker, new_id
from services.store.users import Users
from services.streams.segments import SegmentStore
from services.streams.service import Feed, PolledFeed, Streams
from services.workflows.arbiter import Arbiter
from services.workflows.checkpoints import StoredCheckpoints
from services.workflows.service import Workflows

if TYPE_CHECKING:
    from services.bus import Bus  # with Redis come 20 MB and 0.1 s, so only where it is used

SAMPLE_S = 1.0  # how old a gauge of another worker may be


@dataclass
class Services:
    """Everything a view may call."""

    settings: Settings
    database: Database
    users: Users
    conversations: Conversations
    streams: Streams
    llm: LLMService
    limits: Limits
    audit: Audit
    accounts: Accounts
    retention: Retention
    market: MarketDesk
    workflows: Workflows
    chat: ChatService
    completions: Completions
    housekeeping: Housekeeping
    metrics: Metrics
    sampler: Sampler
    loops: list[gevent.Greenlet] = field(default_factory=list)

    def warm(self) -> None:
        """Load what the first question would wait for, 0.3 s: names, embedded prices, macro series. No network."""
        MarketDesk().evidence("How would inflation move AAPL?", {"assistant": "economist"})

    def drain(self) -> None:
        """End this worker's streams and let its turns finish; what cannot finish in time is left to another worker."""
        self.streams.drain()
        until = time.monotonic() + self.settings.drain_s
        while (self.chat.running or self.completions.running) and time.monotonic() < until:
            gevent.sleep(0.05)
        self.completions.drain()
        self.chat.hand_over()

    def close(self) -> None:
        """Stop the background work and release the database."""
        gevent.killall(self.loops)
        self.accounts.close()
        self.database.close()


def build_services(settings: Settings, secret: str, llm: LLMService | None = None, *, serving: bool = True) -> Services:
    """The services of one process; where it is a server, a worker with its background loops running."""
    if not serving:
        upgrade(settings.database)  # a command may come before the first start of the server
    database = Database(settings.database)
    database.wait()  # gunicorn ends the whole server when one worker cannot start, such as while PostgreSQL restarts
    worker = Worker(id=new_id(), host=socket.gethostname(), pid=os.getpid(), seen_at=database_time())
    bus = _bus(settings.redis_url)
    segments = SegmentStore(database)
    feed = _feed(settings, segments, worker, bus)
    streams = Streams(segments, feed, flush_ms=settings.stream_flush_ms, heartbeat_s=settings.stream_heartbeat_s,
                      retry_ms=settings.stream_retry_ms, keep=settings.tail_frames)
    desk = MarketDesk(MarketSettings.from_environ(settings.environ))
    models = llm_settings(settings.environ)
    metrics = Metrics(_offered(models))
    board = Board()
    llm = llm or LLMService(models, OfflineProvider(desk.answer), _observer(metrics, bus, board), board=board)
    flows = Workflows(llm, find_symbols=desk.symbols, gather=desk.evidence, write_report=write_report, universe=embedded.symbols,
                      arbiter=Arbiter(llm) if len(llm.states()) > 1 else None)
    rates = Rates(settings.redis_url)
    limits, audit, retention = Limits(settings, rates), Audit(database), Retention(settings, database)
    chat = ChatService(settings, database, worker, streams, segments, Answering(llm, desk, flows, StoredCheckpoints(database)), limits)
    feed.on_look = chat.writer.look
    completions = Completions(llm, Charges(settings, database, limits), settings.stream_heartbeat_s)
    built = Services(
        settings=settings, database=database, users=Users(database), conversations=Conversations(database), streams=streams,
        llm=llm, limits=limits, audit=audit, retention=retention, market=desk, workflows=flows, chat=chat, completions=completions,
        housekeeping=Housekeeping(settings, database, worker, chat, retention), metrics=metrics,
        sampler=Sampler(metrics, chat, streams, completions, llm),
        accounts=Accounts(database, Throttle(rates), audit, secret=secret, sign_in_d=settings.sign_in_d),
    )
    if serving:
        database.write(lambda session: session.add(worker))
        built.loops += [forever(work, 1.0) for work in (chat.writer.run, streams.run_follower, *feed.loops())]
        built.loops += [forever(built.sampler.sample, SAMPLE_S), *built.housekeeping.start()]
    return built


def _bus(redis_url: str) -> "Bus | None":
    if not redis_url:
        return None
    from services.bus import Bus
    return Bus(redis_url)


def _feed(settings: Settings, segments: SegmentStore, worker: Worker, bus: "Bus | None") -> Feed:
    """How this worker hears of what others write."""
    interval = settings.follow_interval_ms / 1000
    if bus is None:
        return PolledFeed(segments, interval)
    from services.streams.redis import RedisFeed
    return RedisFeed(bus, segments, worker.id, interval)


def _offered(models: LLMSettings) -> dict[str, tuple[str, ...]]:
    return {provider.name: provider.models for provider in models.providers} | {OfflineProvider.name: (OfflineProvider.model,)}


def _observer(metrics: Metrics, bus: "Bus | None", board: Board) -> Observer:
    if bus is None:
        return metrics
    from services.llm.sharing import SharedCircuits
    return Observers(metrics, SharedCircuits(bus, board))
