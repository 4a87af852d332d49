"""Signing in and out, and what one has: the same addresses for forms and for JSON."""

from flask import Blueprint, Flask, Response, current_app, jsonify, redirect, render_template, request, session, url_for
from werkzeug.datastructures import MultiDict

from blueprints.cookies import host_name
from blueprints.edge import identity, json_body, services, wants_json
from services.errors import InvalidRequest, NotFound, RateLimited, TickertapeError, Unauthenticated, Unavailable
from services.questions import text_of
from services.settings import Settings
from services.store.accounts import Identity

blueprint = Blueprint("accounts", __name__)

DEVICE_COOKIE = "tickertape-device"
DEVICE_S = 400 * 86_400
MAX_FIELD = 600
PROVIDER = "oidc"


@blueprint.before_request
def _only_with_accounts() -> None:
    if services().settings.auth == "open":
        raise NotFound("this server has no accounts")


@blueprint.app_context_processor
def _who() -> dict[str, object]:
    """The name the page shows, where one signs in."""
    return {"account": identity() if request else None}


# ---- signing in

@blueprint.get("/login")
def login() -> str | Response:
    return _entrance()


@blueprint.post("/login")
def sign_in() -> Response | tuple[str, int]:
    """Name and password for a session cookie. A browser that has signed in before is known by its device cookie."""
    _needs("password")
    name, password = _fields("name", "password")
    try:
        token, device = services().accounts.sign_in(name, password, address=request.remote_addr, agent=request.user_agent.string,
                                                    device=request.cookies.get(host_name(DEVICE_COOKIE), ""))
    except (Unauthenticated, RateLimited) as error:
        return _refused("login", error, name)
    return _welcome(token, device)


@blueprint.get("/register")
def registration() -> str:
    _needs_registration()
    return render_template("account/register.html")


@blueprint.post("/register")
def register() -> Response | tuple[str, int]:
    _needs_registration()
    name, password = _fields("name", "password")
    try:
        account = services().accounts.register(name, password, request.remote_addr)
        token, device = services().accounts.sign_in(account.name, password, address=request.remote_addr,
                                                    agent=request.user_agent.string)
    except TickertapeError as error:
        return _refused("register", error, name)
    return _welcome(token, device)


@blueprint.post("/logout")
def logout() -> Response:
    who = identity()
    if who.sign_in_id is not None:
        services().accounts.end_sign_in(who.user_id, who.sign_in_id)
    session.clear()
    return _done("accounts.login")


@blueprint.get("/login/oidc")
def oidc() -> Response:
    """Off to the provider; state, nonce and PKCE are Authlib's."""
    _needs("oidc")
    session["next"] = _next()
    return _asking_provider(lambda provider: provider.authorize_redirect(url_for("accounts.oidc_callback", _external=True)))


@blueprint.get("/login/oidc/callback")
def oidc_callback() -> Response | tuple[str, int]:
    _needs("oidc")
    try:
        token = _asking_provider(lambda provider: provider.authorize_access_token())
        claims = token.get("userinfo") or {}
        if not claims.get("sub"):
            raise Unauthenticated("the provider did not say who you are")
        cookie = services().accounts.sign_in_subject(services().settings.oidc_issuer, claims, address=request.remote_addr,
                                                     agent=request.user_agent.string)
    except Unauthenticated as error:
        return _refused("login", error, "")
    return _welcome(cookie, None, session.get("next"))


def register_provider(app: Flask, settings: Settings) -> None:
    """Make the OpenID provider known to Authlib, which reads its addresses and keys when the first one signs in."""
    if settings.auth != "oidc":
        return
    from authlib.integrations.flask_client import OAuth  # 11 MB in every worker, and few need it

    oauth = OAuth(app)
    oauth.register(PROVIDER, client_id=settings.oidc_client_id, client_secret=settings.oidc_client_secret or None,
                   server_metadata_url=settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration",
                   client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256", "timeout": 10})


def _asking_provider(work):
    """Its errors as ours: a refusal, or that it cannot be reached. Its texts are not shown."""
    from authlib.integrations.base_client import OAuthError
    from joserfc.errors import JoseError

    try:
        return work(current_app.extensions["authlib.integrations.flask_client"].create_client(PROVIDER))
    except (OAuthError, JoseError):  # it said no, or what it said does not hold
        raise Unauthenticated("the provider did not sign you in; try again") from None
    except (OSError, ValueError, KeyError):
        current_app.logger.exception("the OpenID provider cannot be used")
        raise Unavailable("the sign-in provider cannot be reached now") from None


# ---- what one has

@blueprint.get("/account")
def account() -> str | Response:
    """Browsers that are signed in, tokens, and the name."""
    who = identity()
    own = {"name": who.name, "signIns": services().accounts.sign_ins(who), "tokens": services().accounts.tokens(who.user_id)}
    return jsonify(own) if wants_json() else _page(**own)


@blueprint.post("/account/password")
def change_password() -> Response | tuple[str, int]:
    old, new = _fields("password", "newPassword")
    services().accounts.change_password(_person(), old, new, request.remote_addr)
    return _done("accounts.account")


@blueprint.post("/account/sign-ins/<sign_in_id>/end")
def end_sign_in(sign_in_id: str) -> Response:
    services().accounts.end_sign_in(_person().user_id, sign_in_id)
    return _done("accounts.account")


@blueprint.post("/account/sign-ins/end-others")
def end_others() -> Response:
    services().accounts.end_other_sign_ins(_person())
    return _done("accounts.account")


@blueprint.post("/account/tokens")
def make_token() -> Response | tuple[str, int]:
    """A new token, in this answer and never again."""
    who = _person()
    name, = _fields("name")
    token = services().accounts.make_token(who.user_id, name)
    if wants_json():
        return jsonify(token=token), 201
    return _page(name=who.name, signIns=services().accounts.sign_ins(who), tokens=services().accounts.tokens(who.user_id), made=token), 201


@blueprint.post("/account/tokens/<token_id>/revoke")
def revoke_token(token_id: str) -> Response:
    services().accounts.revoke_token(_person().user_id, token_id)
    return _done("accounts.account")


@blueprint.get("/account/export")
def export() -> Response:
    """Everything one has, as a JSON file."""
    conversations = services().conversations
    parts = services().accounts.export(identity(), conversations.tree)
    return Response(parts, mimetype="application/json", headers={"Content-Disposition": 'attachment; filename="tickertape-export.json"'})


@blueprint.post("/account/delete")
def delete() -> Response:
    password, = _fields("password")
    services().chat.abandon(services().accounts.delete(_person(), password, request.remote_addr))
    session.clear()
    return _done("accounts.login")


# ---- forms and JSON

def _fields(*names: str) -> list[str]:
    """Text fields of a form, or of a JSON object."""
    body = json_body() if request.is_json else request.form
    if not isinstance(body, (dict, MultiDict)):
        raise InvalidRequest("the body must be a JSON object")
    return [text_of(body.get(name, ""), name, MAX_FIELD) for name in names]


def _done(endpoint: str) -> Response:
    return jsonify(status="done") if wants_json() else redirect(url_for(endpoint), 303)


def _refused(page: str, error: TickertapeError, name: str) -> Response | tuple[str, int]:
    """The form again, with what is wrong; the error itself for a program."""
    if wants_json():
        raise error
    message = f"{error.field} {error.message}" if error.field else error.message
    headers = {"Retry-After": str(round(error.retry_after))} if isinstance(error, RateLimited) else {}
    return _entrance(page, notice=message, name=name), error.status, headers


def _entrance(page: str = "login", **values: object) -> str:
    settings = services().settings
    return render_template(f"account/{page}.html", way=settings.auth, registration=settings.registration and settings.auth == "password",
                           next=_next(), **values)


def _page(**values: object) -> str:
    return render_template("account/account.html", way=services().settings.auth, **values)


def _welcome(token: str, device: str | None, to: str | None = None) -> Response:
    """Sign this browser in: whatever its session held before is gone, so that nobody can have prepared it."""
    to = to or _next()
    session.clear()
    session["sign_in"] = token
    session.permanent = True
    response = jsonify(status="done") if wants_json() else redirect(to, 303)
    if device:
        response.set_cookie(host_name(DEVICE_COOKIE), device, max_age=DEVICE_S, secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def _next() -> str:
    """Where to go afterwards: a path of this server, never another site."""
    to = request.values.get("next", "")
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable() and "\\" not in to else url_for("pages.home")


def _person() -> Identity:
    """Whoever changes an account has to be signed in; a token is for asking."""
    who = identity()
    if who.sign_in_id is None:
        raise Unauthenticated("sign in with a browser for this; a token is for asking")
    return who


def _needs(way: str) -> None:
    if services().settings.auth != way:
        raise NotFound("one does not sign in like this here")


def _needs_registration() -> None:
    if not (services().settings.registration and services().settings.auth == "password"):
        raise NotFound("accounts are made by whoever runs this server")
