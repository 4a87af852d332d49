"""The OpenAI-compatible door: chat completions and the list of models, for any client that speaks to OpenAI.

Who may use it is the edge's matter, as everywhere: with accounts an API token as `Authorization: Bearer`, without them
any or none. Limits are those of turns.
"""

import math
import time
from collections.abc import Iterator

import orjson
from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from blueprints.edge import CODES, asking, has_accounts, json_body, services
from services import openai_wire
from services.cancellation import Cancellation, Cancelled
from services.charges import Charge
from services.completions import CompletionStream
from services.errors import InvalidRequest, NotFound, TickertapeError, Unauthenticated, Unavailable
from services.openai_wire import Asked
from services.presence import Presence

blueprint = Blueprint("completions", __name__, url_prefix="/v1")

FAILOVERS = ("end", "buffer")
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
CLIENT_LEFT = 499  # nginx's number; nobody reads it
STARTED = int(time.time())


@blueprint.post("/chat/completions")
def create() -> Response:
    """An answer, whole or in chunks."""
    asked = openai_wire.parse(_body(), services().llm.states())
    buffered = _failover() == "buffer"
    if services().streams.draining:
        raise Unavailable("This server is restarting. Ask again in a moment.")
    user_id = asking()
    # Without accounts a name is only claimed, so the address is limited too.
    charge = services().completions.open(user_id, None if has_accounts() else request.remote_addr)
    return _streamed(asked, charge, buffered) if asked.stream else _whole(asked, charge)


@blueprint.get("/models")
def models() -> Response:
    return jsonify(object="list", data=openai_wire.models(services().llm.states(), STARTED))


@blueprint.get("/models/<path:name>")
def model(name: str) -> Response:
    found = [entry for entry in openai_wire.models(services().llm.states(), STARTED) if entry["id"] == name]
    if not found:
        raise NotFound(f"The model `{openai_wire.printable(name)}` does not exist here; GET /v1/models lists those that do.", field="model")
    return jsonify(found[0])


@blueprint.route("/", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@blueprint.route("/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(rest: str) -> Response:
    """So that a client of OpenAI's other addresses gets an error it can read."""
    raise NotFound(f"Unknown request URL: {request.method} {openai_wire.printable(request.path)}. "
                   "There are POST /v1/chat/completions and GET /v1/models.")


# ---- the two kinds of answer

def _whole(asked: Asked, charge: Charge) -> Response:
    cancellation = Cancellation()
    with Presence(request.environ.get("gunicorn.socket"), lambda: cancellation.cancel("gone")):
        try:
            return jsonify(services().completions.complete(asked, charge, cancellation))
        except Cancelled:
            return Response(status=CLIENT_LEFT)


def _streamed(asked: Asked, charge: Charge, buffered: bool) -> Response:
    cancellation = Cancellation()
    presence = Presence(request.environ.get("gunicorn.socket"), lambda: cancellation.cancel("gone"))
    try:
        stream = services().completions.stream(asked, charge, cancellation, buffered=buffered)
    except BaseException:
        presence.end()
        raise
    return Response(_Watched(stream, presence), mimetype="text/event-stream", headers=HEADERS, direct_passthrough=True)


class _Watched:
    """The response's body. A client that leaves ends it at once, not only at the next write."""

    def __init__(self, stream: CompletionStream, presence: Presence) -> None:
        self._stream = stream
        self._presence = presence

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        """Called by the WSGI server however the response ends, even if it never began."""
        self._stream.close()
        self._presence.end()


def _body() -> object:
    body = json_body()
    try:
        orjson.dumps(body)  # what is to be passed on must be text, and not nested for ever
    except orjson.JSONEncodeError:
        raise InvalidRequest("the body is nested too deeply, or holds what is not text") from None
    return body


def _failover() -> str:
    wish = request.headers.get("X-Tickertape-Failover", "end").strip().lower()
    if wish not in FAILOVERS:
        raise InvalidRequest(f"must be one of {', '.join(FAILOVERS)}", field="X-Tickertape-Failover")
    return wish


# ---- errors, as OpenAI writes them

@blueprint.errorhandler(TickertapeError)
def _failed(fault: TickertapeError) -> Response:
    response = jsonify(openai_wire.error(fault))
    response.status_code = openai_wire.status(fault)
    response.headers.update(fault.headers)
    if isinstance(fault, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    wait = openai_wire.retry_after(fault)
    if wait is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return response


@blueprint.errorhandler(HTTPException)
def _refused(error: HTTPException) -> Response:
    fault = TickertapeError("Something went wrong on this server." if error.code == 500 else str(error.description))
    fault.status = error.code or 500
    fault.code = CODES.get(fault.status, "internal" if fault.status == 500 else "http_error")
    return _failed(fault)
