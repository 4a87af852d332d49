"""Start, follow and stop a stream."""

from collections.abc import Iterator

from flask import Blueprint, Response, g, jsonify, request, url_for

from blueprints.edge import asking, asking_or_new, caller_address, json_body, services
from services import sse
from services.errors import InvalidRequest, Unavailable
from services.questions import parse_question, printable
from services.replay import replay
from services.sse import BEGINNING, EventId
from services.store.models import Turn
from services.streams.compression import gzipped

blueprint = Blueprint("chat", __name__, url_prefix="/api/chat")

STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
MAX_KEY = 255


@blueprint.post("/stream")
def start() -> Response:
    """A question in, its events out; JSON for a client that accepts nothing else."""
    question = parse_question(json_body(), services().settings)
    key = _idempotency_key()
    user_id = asking_or_new(question.user_id, key)
    if not _json_only():
        services().limits.check_readers(user_id)  # before the turn begins: a refused question must not run
    turn = services().chat.start(user_id, question, key, address=caller_address())
    g.turn = turn.id
    frames = services().chat.follow(turn)
    if frames is None:
        frames = iter(())
    response = _finished(turn, frames) if _json_only() else event_stream(frames, user_id)
    response.headers.update(services().limits.headers(user_id))
    response.headers["Location"] = url_for("chat.follow", stream_id=turn.id)
    return response


@blueprint.get("/streams/<stream_id>")
def follow(stream_id: str) -> Response:
    """The same events again, from after the last one the client has."""
    turn = services().chat.find(asking(), stream_id)
    frames = services().chat.follow(turn, _last_event_id())
    if frames is not None:
        services().limits.check_readers(turn.user_id)
    return event_stream(frames, turn.user_id) if frames is not None else Response(status=204)


@blueprint.post("/streams/<stream_id>/stop")
def stop(stream_id: str) -> tuple[Response, int]:
    turn = services().chat.find(asking(), stream_id)
    services().chat.stop(turn)
    return jsonify(streamId=turn.id, status="stopping" if turn.status == "running" else turn.status), 202


def event_stream(frames: Iterator[bytes], user_id: str) -> Response:
    """A streaming response. The generator gets plain values only: it outlives the request's context."""
    frames = services().limits.reading(user_id, frames)
    headers = dict(STREAM_HEADERS)
    if services().settings.stream_gzip:
        headers["Vary"] = "Accept-Encoding"
        if request.accept_encodings["gzip"]:
            headers["Content-Encoding"] = "gzip"
            frames = gzipped(frames)
    return Response(frames, mimetype="text/event-stream", headers=headers, direct_passthrough=True)


def _json_only() -> bool:
    accepted = request.accept_mimetypes
    return bool(accepted["application/json"]) and not accepted["text/event-stream"]


def _finished(turn: Turn, frames: Iterator[bytes]) -> Response:
    events = list(sse.events_of(one for chunk in frames for one in sse.split_wire(chunk)))
    answer, last = replay(events), events[-1] if events else {}
    if last.get("type") not in ("chat_completed", "error"):
        # This server is going, or the conversation was deleted. Half an answer must not look like one.
        raise Unavailable("the answer was not finished here; follow its stream", stream=url_for("chat.follow", stream_id=turn.id))
    body = {"streamId": turn.id, "conversationId": turn.conversation_id, "userMessageId": turn.user_message_id,
            "messageId": turn.message_id, "content": answer.text, "reasoning": answer.reasoning}
    if last.get("type") == "error":
        response = jsonify(body | {"error": {key: last[key] for key in ("code", "message", "retryable", "partial")}})
        response.status_code = 503 if last["retryable"] else 422
        return response
    return jsonify(body | last)


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidRequest(f"must be 1 to {MAX_KEY} printable ASCII characters", field="Idempotency-Key")
    return key


def _last_event_id() -> EventId:
    for name, text in (("Last-Event-ID", request.headers.get("Last-Event-ID")), ("after", request.args.get("after"))):
        if text:
            found = sse.parse_event_id(text)
            if found is None:
                raise InvalidRequest(f"{printable(text)!r} is not an event id such as 1-17", field=name)
            return found
    return BEGINNING
