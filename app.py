"""Tickertape's application: settings, services, blueprints."""

import os
import socket
import time
from dataclasses import dataclass, field
from datetime import timedelta

import click
import gevent
from flask import Flask

from blueprints import accounts, chat, commands, conversations, edge, guard, market, ops, pages, workflows
from blueprints.cookies import HostCookies
from blueprints.proxies import NamedProxies
from services import logs
from services.accounts.audit import Audit
from services.accounts.service import Accounts
from services.accounts.throttle import Throttle
from services.answering import Answering
from services.chat import ChatService
from services.history import Conversations
from services.housekeeping import Housekeeping, forever
from services.limits import Limits
from services.llm.config import load as llm_settings
from services.llm.offline import OfflineProvider
from services.llm.service import LLMService
from services.market.config import MarketSettings
from services.market.desk import MarketDesk
from services.market.report import write_report
from services.rates import Rates
from services.retention import Retention
from services.secret import secret_key
from services.settings import Settings, words
from services.store.database import Database, upgrade
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
    limits: Limits
    audit: Audit
    accounts: Accounts
    retention: Retention
    market: MarketDesk
    workflows: Workflows
    chat: ChatService
    housekeeping: Housekeeping
    loops: list[gevent.Greenlet] = field(default_factory=list)

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
        self.accounts.close()
        self.database.close()


def create_app(settings: Settings | None = None, llm: LLMService | None = None) -> Flask:
    """The WSGI application. `llm` replaces the providers of the settings, for tests."""
    settings = settings or Settings.load()
    logs.configure(settings.log_format)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secret_key(settings),
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        PERMANENT_SESSION_LIFETIME=timedelta(days=400),
        SESSION_COOKIE_NAME="tickertape",
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.session_interface = HostCookies()
    app.wsgi_app = NamedProxies(app.wsgi_app, words(settings.trusted_proxies))
    app.json.sort_keys = False
    app.extensions[edge.EXTENSION] = build_services(settings, app.secret_key, llm, serving=_serves())
    edge.register_errors(app)
    guard.register(app)
    for module in (pages, chat, conversations, workflows, market, accounts, ops):
        app.register_blueprint(module.blueprint)
    accounts.register_provider(app, settings)
    for group in commands.GROUPS:
        app.cli.add_command(group)
    return app


def _serves() -> bool:
    """Whether this process is a server, and not a command such as `flask users`, which must not take over turns."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


def build_services(settings: Settings, secret: str, llm: LLMService | None = None, *, serving: bool = True) -> Services:
    """The services of one process; where it is a server, a worker with its background loops running."""
    if not serving:
        upgrade(settings.database)
    database = Database(settings.database)
    worker = Worker(id=new_id(), host=socket.gethostname(), pid=os.getpid(), seen_at=time.time())
    segments = SegmentStore(database)
    streams = Streams(segments, flush_ms=settings.stream_flush_ms, heartbeat_s=settings.stream_heartbeat_s,
                      retry_ms=settings.stream_retry_ms, follow_ms=settings.follow_interval_ms)
    desk = MarketDesk(MarketSettings.from_environ(settings.environ))
    llm = llm or LLMService(llm_settings(settings.environ), OfflineProvider(desk.answer))
    flows = Workflows(llm, find_symbols=desk.symbols, gather=desk.evidence, write_report=write_report,
                      arbiter=Arbiter(llm) if len(llm.states()) > 1 else None)
    rates = Rates(settings.redis_url)
    limits = Limits(settings, rates)
    audit = Audit(database)
    retention = Retention(settings, database)
    chat_service = ChatService(settings, database, worker, streams, segments,
                               Answering(llm, desk, flows, StoredCheckpoints(database)), limits)
    housekeeping = Housekeeping(settings, database, worker, chat_service, retention)
    services = Services(
        settings=settings, database=database, users=Users(database), conversations=Conversations(database), streams=streams, llm=llm,
        limits=limits, audit=audit, retention=retention, market=desk, workflows=flows, chat=chat_service, housekeeping=housekeeping,
        accounts=Accounts(database, Throttle(rates), audit, secret=secret, sign_in_d=settings.sign_in_d),
    )
    if serving:
        database.write(lambda session: session.add(worker))
        services.loops += [forever(chat_service.writer.run, 1.0), forever(streams.run_follower, 1.0), *housekeeping.start()]
    return services
