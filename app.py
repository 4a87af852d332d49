"""Tickertape's application: settings, services, blueprints."""

from datetime import timedelta

import click
from flask import Flask

from blueprints import (accounts, chat, commands, completions, conversations, edge, guard, market, ops, pages, providers,
                        workflows)
from blueprints.cookies import HostCookies
from blueprints.proxies import NamedProxies
from services import logs
from services.bootstrap import build_services
from services.llm.service import LLMService
from services.secret import secret_key
from services.settings import Settings, words

BLUEPRINTS = (pages, chat, conversations, workflows, market, completions, providers, accounts, ops)


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
    for module in BLUEPRINTS:
        app.register_blueprint(module.blueprint)
    accounts.register_provider(app, settings)
    for group in commands.GROUPS:
        app.cli.add_command(group)
    return app


def _serves() -> bool:
    """Whether this process is a server, and not a command such as `flask users`, which must not take over turns."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"
