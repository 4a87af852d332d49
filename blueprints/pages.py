"""The page, with and without JavaScript: the same templates for both."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from flask import Blueprint, Flask, Response, current_app, g, redirect, render_template, request, url_for
from flask.sansio.blueprints import BlueprintSetupState

from blueprints.answerers import EMBEDDED, EMBEDDED_NAME, chosen, has_model, line, menu
from blueprints.edge import asking, asking_or_new, caller_address, csrf_token, identity, services
from blueprints.panel import duration, panel
from blueprints.words import ASSISTANTS, ENDINGS, GROUP, MODULES, RISKS, STARTERS, STYLES, TIMEFRAMES
from services import sse
from services.errors import InvalidRequest, RateLimited, TickertapeError
from services.live_page import live_page
from services.market.references import hiding
from services.questions import parse_question, text_of
from services.render import BlockRenderer
from services.store.accounts import Identity
from services.workflows.catalogue import MAX_SYMBOL_NODES, WORKFLOWS

blueprint = Blueprint("pages", __name__)

RAIL_ENTRIES = 200
CUT = "<!--the answer-->"

Json = Mapping[str, object]


# ---- reading

@blueprint.get("/")
def home() -> str:
    return _page(asking())


@blueprint.get("/c/<conversation_id>")
def conversation(conversation_id: str) -> str:
    """A conversation's branch: the newest, or with `?m=` the one through that message."""
    user_id = asking()
    return _page(user_id, services().conversations.get(user_id, conversation_id, leaf=request.args.get("m")))


# ---- asking without JavaScript

@blueprint.post("/ask")
def ask() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """A question from a form; the page streams its answer as HTML, block by block."""
    user_id = asking_or_new()
    try:
        question = parse_question(_asked(user_id), services().settings)
        turn = services().chat.start(user_id, question, address=caller_address())
    except TickertapeError as error:
        return _not_asked(user_id, error)
    frames = services().chat.follow(turn) or iter(())
    view = services().conversations.get(user_id, turn.conversation_id, leaf=turn.message_id)
    return Response(_streamed(current_app._get_current_object(), user_id, view, frames, (csrf_token(), identity())), mimetype="text/html",
                    headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"})


def _asked(user_id: str) -> dict[str, object]:
    """The form as the JSON body of the contract: a new question, an edited one, or an old one again."""
    form = request.form
    body: dict[str, object] = {"message": form.get("message", "").replace("\r\n", "\n"), "render": "html"}
    if form.get("conversationId"):
        body["conversationId"] = form["conversationId"]
    about = form.get("edit") or form.get("again")
    if about:
        return body | _asked_before(user_id, form.get("conversationId", ""), about, again="again" in form)
    symbols = [symbol.strip() for symbol in form.get("symbols", "").replace(";", ",").split(",")]
    context = {"symbols": [symbol for symbol in symbols if symbol], "timeframe": form.get("timeframe"),
               "riskTolerance": form.get("riskTolerance")}
    body["context"] = {name: value for name, value in context.items() if value}
    for name in ("assistantType", "parentMessageId", "workflow"):
        if form.get(name):
            body[name] = form[name]
    return body | chosen(form.get("answerer", ""))


def _asked_before(user_id: str, conversation_id: str, message_id: str, *, again: bool) -> dict[str, object]:
    """What an edited question keeps of the old one, and all of a question that is asked again."""
    view = services().conversations.get(user_id, conversation_id, leaf=message_id)
    messages = {message["id"]: message for message in view["messages"]}
    message = messages[message_id]
    question = message if message["role"] == "user" else messages[message["parentId"]]
    kept = {"parentMessageId": question["id"], "assistantType": question["assistantType"], "context": question["context"]}
    return kept | {"message": question["content"]} if again else kept


def _not_asked(user_id: str, error: TickertapeError) -> tuple[str, int] | tuple[str, int, dict[str, str]]:
    """The page again, with what is wrong and everything that was typed."""
    notice = f"{error.field}: {error.message}" if error.field not in (None, "message") else f"Your question {error.message}" \
        if isinstance(error, InvalidRequest) else error.message
    view = _conversation_of_form(user_id)
    page = _page(user_id, view, notice=notice, draft=request.form.get("message", ""))
    if isinstance(error, RateLimited):
        return page, error.status, {"Retry-After": str(max(1, round(error.retry_after)))}
    return page, error.status


def _conversation_of_form(user_id: str) -> Json | None:
    try:
        return services().conversations.get(user_id, request.form["conversationId"]) if request.form.get("conversationId") else None
    except TickertapeError:
        return None


def _streamed(app: Flask, user_id: str, view: Json, frames: Iterator[bytes],
              asked_by: tuple[str, Identity | None]) -> Iterator[bytes]:
    """The page around an answer that is being written. Outlives the request: it gets plain values and the app."""
    conversation_id, answer_id = view["id"], view["messages"][-1]["id"]

    def around(view: Json) -> list[str]:
        with app.test_request_context():
            g.csrf_token, g.identity = asked_by
            return _page(user_id, view, cut=CUT).split(CUT)

    def ended() -> str:
        return around(services_of.conversations.get(user_id, conversation_id, leaf=answer_id))[1]

    with app.app_context():
        services_of = services()
    yield around(view)[0].encode()
    yield from live_page(sse.parse(frame)[1] if frame else None for chunk in frames for frame in sse.split_wire(chunk) or [None])
    yield ended().encode()


# ---- changing without JavaScript

@blueprint.post("/streams/<stream_id>/stop")
def stop(stream_id: str) -> Response:
    turn = services().chat.find(asking(), stream_id)
    services().chat.stop(turn)
    return redirect(url_for("pages.conversation", conversation_id=turn.conversation_id), 303)


@blueprint.post("/c/<conversation_id>/rename")
def rename(conversation_id: str) -> Response:
    title = " ".join(text_of(request.form.get("title", ""), "title", 200).split())
    if title:
        services().conversations.rename(asking(), conversation_id, title)
    return redirect(url_for("pages.conversation", conversation_id=conversation_id), 303)


@blueprint.post("/c/<conversation_id>/delete")
def delete(conversation_id: str) -> Response:
    user_id = asking()
    services().chat.abandon(services().conversations.delete(user_id, conversation_id))
    services().audit.record("conversation_deleted", user_id=user_id, address=request.remote_addr, about=conversation_id)
    return redirect(url_for("pages.home"), 303)


# ---- the template's values

def _page(user_id: str | None, view: Json | None = None, *, cut: str = "", notice: str = "", draft: str = "") -> str:
    messages = [_shown(message) for message in view["messages"]] if view else []
    if cut:
        messages[-1] |= {"blocks": [], "html": "", "tail": ""}
    return render_template(
        "page.html", conversation=view, current_id=view["id"] if view else None, messages=messages, notice=notice,
        draft=draft, leaf_id=messages[-1]["id"] if messages else None, chosen=_chosen(messages), cut=cut,
        most_characters=services().settings.max_message_chars, heartbeat_ms=round(services().settings.stream_heartbeat_s * 1000),
        days=_by_day(services().conversations.recent(user_id, limit=RAIL_ENTRIES)), workflows=_workflows(), **_providers(),
    )


def _shown(message: Json) -> dict[str, object]:
    """A message for the template; one that is being written as its finished blocks and the open text after them."""
    shown = {"made": {}} | dict(message)
    if message["role"] == "assistant" and message["status"] == "streaming":
        renderer = BlockRenderer(text_rule=hiding)
        shown["blocks"] = renderer.feed(message["content"])
        shown["tail"] = message["content"][renderer.end:]
    return shown


def _chosen(messages: list[dict[str, object]]) -> dict[str, object]:
    """What the composer offers: what the last question was asked with."""
    last = next((message for message in reversed(messages) if message["role"] == "user"), {})
    context = last.get("context") or {}
    return {"assistant": last.get("assistantType", "general"), "symbols": context.get("symbols", []),
            "timeframe": context.get("timeframe", ""), "risk": context.get("riskTolerance", "")}


def _by_day(found: list[Json]) -> list[tuple[str, list[Json]]]:
    """Conversations under headings a person thinks in, newest first."""
    today = datetime.now().astimezone().date()
    groups: dict[str, list[Json]] = {}
    for entry in found:
        day = datetime.fromtimestamp(float(entry["updated"]), UTC).astimezone().date()
        age = (today - day).days
        name = ("Today" if age <= 0 else "Yesterday" if age == 1 else "This week" if age < 7 else
                "Last week" if age < 14 else day.strftime("%B %Y"))
        groups.setdefault(name, []).append(entry)
    return list(groups.items())


def _workflows() -> list[Json]:
    """The workflows a question can ask for, each with how many of its agents there are for every symbol."""
    return [entry | {"perSymbol": sum(node.per_symbol for node in WORKFLOWS[entry["id"]].nodes), "mostSymbols": MAX_SYMBOL_NODES}
            for entry in services().workflows.catalogue()]


def _providers() -> dict[str, object]:
    """Who can answer, for the composer's menu and the foot of the rail."""
    states = services().llm.states()
    return {"answerers": menu(states), "provider_line": line(states), "has_model": has_model(states)}


def asked_with(message: Json) -> list[str]:
    """Assistant, symbols, timeframe and risk of a question, as the chips under it say them."""
    if not message.get("id"):
        return []
    context = message.get("context") or {}
    timeframe, risk = context.get("timeframe"), context.get("riskTolerance")
    labels = [ASSISTANTS.get(message.get("assistantType", ""), ""), *context.get("symbols", []),
              TIMEFRAMES.get(timeframe, timeframe), RISKS.get(risk, risk) and f"{RISKS.get(risk, risk)} risk"]
    return [label for label in labels if label]


def cited(evidence: Json | None) -> list[Json]:
    """The items of evidence the answer uses, as its notes are numbered."""
    items = {item["id"]: item for item in (evidence or {}).get("items", [])}
    return [items[id] for id in (evidence or {}).get("cited", []) if id in items]


def source_words(item: Json) -> str:
    """Whose figure it is, where it is from, of when, and how it was computed."""
    parts = [item.get("symbol"), item.get("source"), item.get("asOf") and f"as of {item['asOf']}", item.get("formula")]
    return "; ".join(str(part) for part in parts if part)


def version_url(conversation_id: str, message_id: str) -> str:
    return url_for("pages.conversation", conversation_id=conversation_id, m=message_id)


@blueprint.record
def _words(state: BlueprintSetupState) -> None:
    """What every template and macro may use; macros do not see a context."""
    state.app.jinja_env.globals.update(
        ASSISTANTS=ASSISTANTS, TIMEFRAMES=TIMEFRAMES, RISKS=RISKS, STARTERS=STARTERS, ENDINGS=ENDINGS, GROUP=GROUP,
        STYLES=STYLES, MODULES=MODULES, EMBEDDED=EMBEDDED, EMBEDDED_NAME=EMBEDDED_NAME, asked_with=asked_with, cited=cited, source_words=source_words, panel=panel, seconds=duration, version_url=version_url,
    )


@blueprint.app_context_processor
def _theme() -> dict[str, object]:
    """Dark or light where the reader chose one, from the first byte."""
    theme = request.cookies.get("theme")
    return {"theme": theme if theme in ("dark", "light") else None}
