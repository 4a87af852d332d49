"""For whoever runs it: alive, ready, measured."""

import hmac

from flask import Blueprint, Response, jsonify, request

from blueprints.edge import services
from blueprints.proxies import FORWARDED_FLAG
from services import providers
from services.errors import Forbidden
from services.settings import LOOPBACK
from services.store.database import is_outage

blueprint = Blueprint("ops", __name__)

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """It can serve: the database answers, the log writer keeps up, it is not shutting down, and a provider is there."""
    states = services().llm.states()
    checks = {
        "database": _database(),
        "logWriter": services().chat.writer.is_healthy(),
        "accepting": not services().streams.draining,
        "provider": any(map(providers.can_be_tried, states)),
    }
    ready = all(checks.values())
    body = jsonify(status="ready" if ready else "not ready", checks=checks, providers=[providers.shown(state) for state in states])
    return body, 200 if ready else 503


@blueprint.get("/metrics")
def metrics() -> Response:
    """Everything that is counted, of all workers. For whoever has METRICS_TOKEN, else for this machine only."""
    _check_reader()
    services().sampler.sample()
    return Response(services().metrics.exposition(), content_type=EXPOSITION)


@blueprint.after_app_request
def count(response: Response) -> Response:
    services().metrics.served(request.endpoint, response.status_code)
    return response


def _check_reader() -> None:
    token = services().settings.metrics_token
    if token:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise Forbidden("METRICS_TOKEN is needed, as Authorization: Bearer")
    elif not _is_this_machine():
        raise Forbidden("only for this machine; set METRICS_TOKEN to read it from elsewhere")


def _is_this_machine() -> bool:
    """Asked from here and by name of here: a proxy on this machine asks for others, and says so or passes their Host on."""
    host = request.host.rsplit(":", 1)[0].strip("[]") if not request.host.endswith("]") else request.host.strip("[]")
    return request.remote_addr in LOOPBACK and host in LOOPBACK and not request.environ[FORWARDED_FLAG]


def _database() -> bool:
    try:
        services().database.ping()
    except Exception as error:
        if not is_outage(error):
            raise
        return False
    return True
