"""For whoever runs it: alive, ready."""


from flask import Blueprint, Response, jsonify

from blueprints.edge import services
from services.store.database import is_outage

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """It can serve: the database answers, the log writer keeps up, it is not shutting down, and a provider is there."""
    checks = {
        "database": _database(),
        "logWriter": services().chat.writer.is_healthy(),
        "accepting": not services().streams.draining,
    }
    ready = all(checks.values())
    return jsonify(status="ready" if ready else "not ready", checks=checks), 200 if ready else 503


def _database() -> bool:
    try:
        services().database.ping()
    except Exception as error:
        if not is_outage(error):
            raise
        return False
    return True
