"""Tickertape's application: settings, services, blueprints."""

import logging
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import timedelta

import gevent
from flask import Flask

from blueprints import (
    chat,
    completions,
    conversations,
    edge,
    market,
    ops,
    pages,
    providers,
    workflows,
)
from services.answering import Answering
from services.bus import Bus
from services.chat import ChatService
from services.completions import Completions
from services.history import Conversations
from services.housekeeping import Housekeeping, forever
from services.llm.config import load as llm_settings
from services.llm.observer import Observers
from services.llm.offline import OfflineProvider
from services.llm.routes import Board
from services.llm.service import LLMService
from services.llm.sharing import SharedCircuits
from services.market import embedded
from services.market.config import MarketSettings
from services.market.desk import MarketDesk
from services.market.report import write_report
from services.metrics import Metrics, Sampler
from services.secret import secret_key
from services.settings import Settings
from services.store.clock import database_time
from services.store.database import Database, upgrade
from services.store.models import Worker, new_id
from services.store.users import Users
from services.streams.redis import RedisFeed
from services.streams.segments import SegmentStore
from services.streams.service import Feed, PolledFeed, Streams
from services.workflows.arbiter import Arbiter
from services.workflows.checkpoints import StoredCheckpoints
from services.workflows.service import Workflows

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
        self.database.close()


def create_app(settings: Settings | None = None, llm: LLMService | None = None) -> Flask:
    """The WSGI application. `llm` replaces the providers of the settings, for tests."""
    settings = settings or Settings.load()
    logging.basicConfig(level=logging.INFO if is_serving() else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secret_key(settings),
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        PERMANENT_SESSION_LIFETIME=timedelta(days=400),
        SESSION_COOKIE_NAME="tickertape",
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.json.sort_keys = False
    app.extensions[edge.EXTENSION] = build_services(settings, llm)
    edge.register_errors(app)
    for module in (pages, chat, conversations, workflows, market, completions, providers, ops):
        app.register_blueprint(module.blueprint)
    return app


def is_serving() -> bool:
    """Whether this process answers requests, and is no command of `flask`."""
    return os.environ.get("FLASK_RUN_FROM_CLI") != "true"


def build_services(settings: Settings, llm: LLMService | None = None) -> Services:
    """The services of one worker process, with their background loops running; a command of `flask` has none."""
    if not is_serving():
        upgrade(settings.database)  # a command may come before the first start of the server
    database = Database(settings.database)
    database.wait()  # gunicorn ends the whole server when one worker cannot start, such as while PostgreSQL restarts
    worker = Worker(id=new_id(), host=socket.gethostname(), pid=os.getpid(), seen_at=database_time())
    segments = SegmentStore(database)
    bus = Bus(settings.redis_url) if settings.redis_url else None
    feed = _feed(settings, segments, worker, bus)
    streams = Streams(segments, feed, flush_ms=settings.stream_flush_ms, heartbeat_s=settings.stream_heartbeat_s,
                      retry_ms=settings.stream_retry_ms, keep=settings.tail_frames)
    desk = MarketDesk(MarketSettings.from_environ(settings.environ))
    models = llm_settings(settings.environ)
    metrics = Metrics({provider.name: provider.models for provider in models.providers} | {OfflineProvider.name: (OfflineProvider.model,)})
    board = Board()
    observer = Observers(metrics, SharedCircuits(bus, board)) if bus else metrics
    llm = llm or LLMService(models, OfflineProvider(desk.answer), observer, board=board)
    flows = Workflows(llm, find_symbols=desk.symbols, gather=desk.evidence, write_report=write_report, universe=embedded.symbols,
                      arbiter=Arbiter(llm) if len(llm.states()) > 1 else None)
    chat_service = ChatService(settings, database, worker, streams, segments,
                               Answering(llm, desk, flows, StoredCheckpoints(database)))
    feed.on_look = chat_service.writer.look
    completions_service = Completions(llm, settings.stream_heartbeat_s)
    housekeeping = Housekeeping(settings, database, worker, chat_service)
    sampler = Sampler(metrics, chat_service, streams, completions_service, llm)
    built = Services(settings, database, Users(database), Conversations(database), streams, llm, desk, flows, chat_service,
                     completions_service, housekeeping, metrics, sampler)
    if is_serving():
        database.write(lambda session: session.add(worker))
        works = (chat_service.writer.run, streams.run_follower, *feed.loops())
        built.loops += [*(forever(work, 1.0) for work in works), forever(sampler.sample, SAMPLE_S), *housekeeping.start()]
    return built


def _feed(settings: Settings, segments: SegmentStore, worker: Worker, bus: Bus | None) -> Feed:
    """How this worker hears of what others write."""
    interval = settings.follow_interval_ms / 1000
    return RedisFeed(bus, segments, worker.id, interval) if bus else PolledFeed(segments, interval)
