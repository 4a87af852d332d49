"""What every blueprint needs of the edge: the services, who is asking, and errors as JSON or as a page."""

import hmac
import json
import math
import secrets
import sys

from flask import Flask, Response, current_app, g, jsonify, redirect, render_template, request, session, url_for
from itsdangerous import BadSignature, Signer
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException, InternalServerError

from services.errors import InvalidRequest, TickertapeError, TooLarge, Unauthenticated, Unavailable, UnsupportedMediaType
from services.questions import text_of
from services.store.accounts import Identity
from services.store.database import is_outage
from services.store.models import new_id

EXTENSION = "tickertape"
CODES = {400: "invalid_request", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large",
         415: "unsupported_media_type"}


def services():
    """The services `create_app` made."""
    return current_app.extensions[EXTENSION]


def has_accounts() -> bool:
    """Whether one has to sign in; otherwise everybody is trusted to be who they say."""
    return services().settings.auth != "open"


def identity() -> Identity | None:
    """Who is signed in on this request, by token or by cookie; always None where there are no accounts.

    Raises Unauthenticated for a token that is not valid: a program shall not go on as somebody else.
    """
    if not has_accounts():
        return None
    if "identity" not in g:
        g.identity = _identified()
    return g.identity


def _identified() -> Identity | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        found = services().accounts.by_token(token.strip(), request.remote_addr)
        if found is None:
            raise Unauthenticated("this token is not valid")
        return found
    return services().accounts.by_sign_in(session["sign_in"]) if "sign_in" in session else None


def handle_of(claimed: str | None = None) -> str | None:
    """Who is asking where nobody signs in: the signed cookie's user, else the one `claimed` in the body or the
    X-User-Id header, else None. A token that may act for others claims in the same way."""
    if not has_accounts() and "user" in session:
        return f"anon:{session['user']}"
    name = claimed or request.headers.get("X-User-Id")
    return f"claimed:{_user_name(name)}" if name else None


def _user_name(name: str) -> str:
    text = text_of(name, "X-User-Id", 128).strip()
    if not text or not text.isprintable():
        raise InvalidRequest("must be 1 to 128 printable characters", field="X-User-Id")
    return text


def asking() -> str | None:
    """The id of the user who is asking, None for somebody never seen. Raises Unauthenticated where accounts are needed."""
    who = _accountable()
    if who is not None and not (who.act_for and handle_of()):
        return _known(who.user_id)
    handle = handle_of()
    return _known(services().users.find(handle)) if handle else None


def asking_or_new(claimed: str | None = None, key: str | None = None) -> str:
    """The id of the user who is asking; a stranger becomes an anonymous user, named by a cookie from now on.

    A stranger who comes again with the same `key` (Idempotency-Key) is the same user: the response with the cookie may
    be the one that got lost, and the retry must still find its run. With accounts nobody is a stranger, and `claimed`
    counts only from a token that may act for others.
    """
    who = _accountable()
    if who is not None and not (who.act_for and handle_of(claimed)):
        return _known(who.user_id)
    handle = handle_of(claimed)
    if handle is None:
        session["user"] = g.newcomer = _name_by(key) if key else new_id()
        session.permanent = True
        handle = handle_of()
    return _known(services().users.ensure(handle))


def _accountable() -> Identity | None:
    who = identity()
    if who is None and has_accounts():
        raise Unauthenticated("sign in first")
    return who


def caller_address() -> str | None:
    """The address that is limited because nobody is signed in, after `asking_or_new`; None for a user with a name."""
    return request.remote_addr if not has_accounts() and "user" in session else None


def _known(user_id: str | None) -> str | None:
    """Note who it is, for the log line of the request."""
    g.user = user_id
    return user_id


def csrf_token() -> str:
    """The token a form has to send back as `csrf`.

    Random and different each time, so that compressed pages give nothing away; good for one session only. Call it
    before a response begins, because it may have to set the session's cookie. What is rendered outside of the
    request takes it from `g.csrf_token`.
    """
    if "csrf_token" not in g:
        if "form" not in session:
            session["form"] = secrets.token_urlsafe(16)
        g.csrf_token = _signer(session["form"]).sign(secrets.token_urlsafe(8)).decode()
    return g.csrf_token


def is_csrf_token(token: str) -> bool:
    """Whether a form came from a page of this session."""
    try:
        _signer(session["form"]).unsign(token)
    except (BadSignature, KeyError):
        return False
    return True


def _signer(nonce: str) -> Signer:
    return Signer(current_app.secret_key, salt="form:" + nonce)


def _name_by(key: str) -> str:
    return hmac.digest(current_app.secret_key.encode(), b"idempotency-key:" + key.encode(), "sha256").hex()[:32]


def json_body() -> object:
    """The decoded JSON of the request. Raises the error that fits what is wrong with it."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("the content type must be application/json")
    body = request.get_data(cache=False)
    limit = services().settings.max_body_bytes
    if len(body) >= limit:
        # A body in chunks announces no length; werkzeug ends it at the limit without a word.
        raise TooLarge(f"the body must be smaller than {limit} bytes")
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deeply") from None
    except ValueError:
        raise InvalidRequest("the body is not valid JSON") from None


def is_api() -> bool:
    """Whether the request is for a program: it sends and gets JSON, and no form can reach it."""
    return request.path.startswith(("/api/", "/v1/"))


def wants_json() -> bool:
    return is_api() or request.is_json or request.accept_mimetypes.best == "application/json"


def register_errors(app: Flask) -> None:
    """Expected errors with their own status; unexpected ones with 500 and no detail."""
    app.register_error_handler(TickertapeError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DBAPIError, _database)


def _expected(error: TickertapeError) -> Response:
    if "newcomer" in g:
        session.pop("user", None)  # who is refused stays a stranger: a guessed key makes nobody somebody else
    if isinstance(error, Unauthenticated) and request.method == "GET" and not wants_json():
        return redirect(url_for("accounts.login", next=request.full_path.rstrip("?")))
    response = _shown(error.payload(), error.message, error.status)
    response.headers.update(error.headers)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return response


def _database(error: DBAPIError) -> Response:
    """A database that is away for a moment is 503; any other error of it is ours."""
    if not is_outage(error):
        current_app.log_exception(sys.exc_info())
        return _http(InternalServerError())
    return _expected(Unavailable("the database cannot be reached; try again in a moment"))


def _http(error: HTTPException) -> Response:
    code = CODES.get(error.code, "internal" if error.code == 500 else "http_error")
    message = "Something went wrong on this server." if error.code == 500 else str(error.description)
    response = _shown({"error": {"code": code, "message": message}}, message, error.code or 500)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _shown(payload: dict[str, object], message: str, status: int) -> Response:
    if wants_json():
        response = jsonify(payload)
    else:
        response = current_app.make_response(render_template("error.html", message=message, status=status))
    response.status_code = status
    return response
