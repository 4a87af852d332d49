"""History over HTTP."""

import math
import re

from flask import Blueprint, Response, jsonify, request

from blueprints.edge import asking, json_body, services
from services import export
from services.errors import InvalidRequest
from services.questions import one_of, printable, text_of
from services.store.models import is_id

blueprint = Blueprint("conversations", __name__, url_prefix="/api/conversations")

MAX_TITLE = 200
MAX_PAGE = 200


@blueprint.get("")
def index() -> Response:
    limit = _number("limit", 50)
    before = _number("before", None)
    before_id = request.args.get("beforeId", "")
    if before_id and not is_id(before_id):
        raise InvalidRequest(f"{printable(before_id)!r} is not an id", field="beforeId")
    found = services().conversations.recent(asking(), limit=max(1, min(int(limit), MAX_PAGE)), before=before, before_id=before_id)
    return jsonify(conversations=found)


@blueprint.get("/<conversation_id>")
def show(conversation_id: str) -> Response:
    """One branch of it (`?m=` a message on the branch), or with `?branches=all` every message."""
    if request.args.get("branches") == "all":
        return jsonify(services().conversations.tree(asking(), conversation_id))
    return jsonify(services().conversations.get(asking(), conversation_id, leaf=request.args.get("m")))


@blueprint.patch("/<conversation_id>")
def rename(conversation_id: str) -> Response:
    body = json_body()
    if not isinstance(body, dict) or set(body) != {"title"}:
        raise InvalidRequest("the body must be an object with a title and nothing else", field="title")
    title = " ".join(text_of(body["title"], "title", MAX_TITLE).split())
    if not title:
        raise InvalidRequest("must not be empty", field="title")
    return jsonify(services().conversations.rename(asking(), conversation_id, title))


@blueprint.delete("/<conversation_id>")
def delete(conversation_id: str) -> tuple[str, int]:
    user_id = asking()
    services().chat.abandon(services().conversations.delete(user_id, conversation_id))
    services().audit.record("conversation_deleted", user_id=user_id, address=request.remote_addr, about=conversation_id)
    return "", 204


@blueprint.get("/<conversation_id>/export")
def download(conversation_id: str) -> Response:
    kind = one_of(request.args.get("format", "md"), "format", ("md", "json"))
    if kind == "json":
        response = jsonify(services().conversations.tree(asking(), conversation_id))
    else:
        conversation = services().conversations.get(asking(), conversation_id, leaf=request.args.get("m"))
        response = Response(export.markdown(conversation), mimetype="text/markdown")
    response.headers["Content-Disposition"] = f'attachment; filename="tickertape-{re.sub("[^a-z0-9]", "", conversation_id)}.{kind}"'
    return response


def _number(name: str, default: float | None) -> float | None:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequest("must be a number", field=name)
    return number
