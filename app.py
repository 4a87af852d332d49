"""Tickertape's application: settings, services, blueprints."""

import logging
import os
import socket
import time
from dataclasses import dataclass, field
from datetime import timedelta

import gevent
from flask import Flask

from blueprints import chat, conversations, edge, market, ops, pages, workflows
from services.answering import Answering
from services.chat import ChatService
from services.history import Conversations
from services.housekeeping import Housekeeping, forever
from services.llm.config import load as llm_settings
from services.llm.offline import OfflineProvider
from services.llm.service import LLMService
from services.market import embedded
from services.market.config import MarketSettings
from services.market.desk import MarketDesk
from services.market.report import write_report
from services.secret import secret_key
from services.settings import Settings
from services.store.database import Database
from services.store.models import Worker, new_id
from services.store.users import Users
from services.streams.segments import SegmentStore
from services.streams.service import Streams
from services.workflows.arbiter import Arbiter
from services.workflows.checkpoints import StoredCheckpoints
from services.workflows.service import Workflows


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
    housekeeping: Housekeeping
    loops: list[gevent.Greenlet] = field(default_factory=list)

    def warm(self) -> None:
        """Load what the first question would wait for, 0.3 s: names, embedded prices, macro series. No network."""
        MarketDesk().evidence("How would inflation move AAPL?", {"assistant": "economist"})

    def drain(self) -> None:
        """End this worker's streams and let its turns finish; what cannot finish in time is left to another worker."""
        self.streams.drain()
        until = time.monotonic() + self.settings.drain_s
        while self.chat.running and time.monotonic() < until:
            gevent.sleep(0.05)
        self.chat.hand_over()

    def close(self) -> None:
        """Stop the background work and release the database."""
        gevent.killall(self.loops)
        self.database.close()


def create_app(settings: Settings | None = None, llm: LLMService | None = None) -> Flask:
    """The WSGI application. `llm` replaces the providers of the settings, for tests."""
    settings = settings or Settings.load()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
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
    for module in (pages, chat, conversations, workflows, market, ops):
        app.register_blueprint(module.blueprint)
    return app


def build_services(settings: Settings, llm: LLMService | None = None) -> Services:
    """The services of one worker process, with their background loops running."""
    database = Database(settings.database)
    worker = Worker(id=new_id(), host=socket.gethostname(), pid=os.getpid(), seen_at=time.time())
    database.write(lambda session: session.add(worker))
    segments = SegmentStore(database)
    streams = Streams(segments, flush_ms=settings.stream_flush_ms, heartbeat_s=settings.stream_heartbeat_s,
                      retry_ms=settings.stream_retry_ms, follow_ms=settings.follow_interval_ms)
    desk = MarketDesk(MarketSettings.from_environ(settings.environ))
    llm = llm or LLMService(llm_settings(settings.environ), OfflineProvider(desk.answer))
    flows = Workflows(llm, find_symbols=desk.symbols, gather=desk.evidence, write_report=write_report, universe=embedded.symbols,
                      arbiter=Arbiter(llm) if len(llm.states()) > 1 else None)
    chat_service = ChatService(settings, database, worker, streams, segments,
                               Answering(llm, desk, flows, StoredCheckpoints(database)))
    housekeeping = Housekeeping(settings, database, worker, chat_service)
    loops = [forever(chat_service.writer.run, 1.0), forever(streams.run_follower, 1.0), *housekeeping.start()]
    return Services(settings, database, Users(database), Conversations(database), streams, llm, desk, flows, chat_service,
                    housekeeping, loops)
