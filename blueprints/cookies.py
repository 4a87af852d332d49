"""The session cookie: signed, out of reach of scripts, and tied to this host where the connection allows it."""

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface

PREFIX = "__Host-"


def host_name(name: str) -> str:
    """A cookie's name on this request. Browsers accept `__Host-` only with Secure, without a domain and for all paths,
    so no other host of the domain and no plain connection can set it."""
    return PREFIX + name if request.is_secure else name


class HostCookies(SecureCookieSessionInterface):
    """Flask's sessions, with the cookie's name and its Secure flag by the connection."""

    def get_cookie_name(self, app: Flask) -> str:
        return host_name(super().get_cookie_name(app))

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure
