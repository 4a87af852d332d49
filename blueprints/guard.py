"""What stands before every view and after it: deadlines, the origin of a request, form tokens, headers, one log line."""

import logging
import re
import time

import gevent
from flask import Flask, Response, g, request

from blueprints.edge import csrf_token, has_accounts, identity, is_api, is_csrf_token, services
from services.errors import Forbidden, TooSlow, Unauthenticated
from services.store.models import new_id

log = logging.getLogger("tickertape.request")

HOST = re.compile(r":\d+$")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")  # what a form anywhere can send here
TOKEN_FIELD = "csrf"
OPEN_TO_ALL = ("accounts.login", "accounts.sign_in", "accounts.registration", "accounts.register", "accounts.oidc",
               "accounts.oidc_callback", "ops.healthz", "ops.readyz", "ops.metrics", "static")
HEALTH = ("ops.healthz", "ops.readyz")
PROBES = (*HEALTH, "ops.metrics", "static")
POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "font-src": "'self'",
    "connect-src": "'self'", "manifest-src": "'self'", "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Referrer-Policy": "same-origin",       # not no-referrer: that makes browsers send `Origin: null` with our own forms
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = f"max-age={365 * 86_400}"


def register(app: Flask) -> None:
    """Put the guard around every view of the application."""
    for before in (_note, _limit_stall, _refuse_other_names, _refuse_other_sites, _require_account, _read_body, _check_form):
        app.before_request(before)
    app.after_request(_finish)
    app.jinja_env.globals["csrf_token"] = csrf_token


# ---- before

def _note() -> None:
    g.started = time.monotonic()
    # Only a named proxy's X-Request-ID has come this far.
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if given.isascii() and given.isalnum() and len(given) <= 64 else new_id()


def _limit_stall() -> None:
    """A reader that takes nothing would hold its greenlet for ever, whatever it asked for."""
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(services().settings.stream_stall_s)


def _refuse_other_names() -> None:
    """Without accounts, a name that merely resolves to this machine is not answered (`Settings.hosts`)."""
    if request.endpoint in HEALTH:  # asked by address, and says nothing about anybody
        return
    hosts = services().settings.hosts
    name = HOST.sub("", request.host).lower()
    if hosts is not None and name not in hosts:
        raise Forbidden("this server does not answer to this name; TRUSTED_HOSTS lists those it does")


def _refuse_other_sites() -> None:
    """No page of another site may change anything here, whatever cookies its visitor has.

    Browsers say where a request comes from in Sec-Fetch-Site, older ones in Origin; what sends neither is no browser.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        same = site in ("same-origin", "none")
    else:
        same = origin is None or origin.partition("://")[2] == request.host
    if not same:
        raise Forbidden("requests from another site are refused")


def _require_account() -> None:
    """With accounts, nothing is open that is not listed; and a stranger's body is not even read."""
    if has_accounts() and request.endpoint not in OPEN_TO_ALL and identity() is None:
        raise Unauthenticated("sign in first")


def _read_body() -> None:
    """Read the whole body now, in limited time and size; views find it in memory."""
    if request.method not in SAFE_METHODS:
        with gevent.Timeout(services().settings.body_timeout_s, TooSlow("the request's body took too long")):
            request.get_data(cache=True, parse_form_data=True)


def _check_form() -> None:
    """A form is believed only with the token of this session; JSON cannot come from a foreign form."""
    if request.method in SAFE_METHODS or is_api() or request.mimetype not in FORMS:
        return
    if not is_csrf_token(request.form.get(TOKEN_FIELD, "")):
        raise Forbidden("this form is out of date; go back, reload the page and try again")


# ---- after

def _finish(response: Response) -> Response:
    response.headers.extend(HEADERS)  # no view sets one of these
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = HSTS
    # A page holds a form token and somebody's conversation: no store, not even the browser's own.
    response.headers.setdefault("Cache-Control", "no-store" if response.mimetype == "text/html" else "private, no-cache")
    if "request_id" in g:
        response.headers["X-Request-ID"] = g.request_id
        level = logging.DEBUG if request.endpoint in PROBES else logging.INFO
        # The rule, not the path: a path holds ids and, in a query, whatever somebody typed.
        log.log(level, "%s %s %d", request.method, request.url_rule or "(no route)", response.status_code, extra={
            "request": g.request_id, "user": g.get("user"), "turn": g.get("turn"), "ms": round((time.monotonic() - g.started) * 1000)})
    return response
