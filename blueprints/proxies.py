"""Who the client is when the connection comes from a proxy: only named proxies are believed."""

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network

Environ = dict[str, object]
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT",
             "HTTP_X_FORWARDED_PREFIX", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_REQUEST_ID", "HTTP_VIA")

FORWARDED_FLAG = "tickertape.forwarded"  # whether somebody says that the request was passed on


class NamedProxies:
    """WSGI middleware that sets the client's address and scheme from X-Forwarded-For and -Proto.

    The address is the last one in X-Forwarded-For that is not a named proxy's, which holds however many named proxies
    stand in a row. From everybody else these headers are removed, so that nothing behind can be misled by them; that
    they were there stays known as FORWARDED_FLAG.
    """

    def __init__(self, app: Callable, proxies: Iterable[str]) -> None:
        self._app = app
        self._networks = [ip_network(each, strict=False) for each in proxies]

    def __call__(self, environ: Environ, start_response: Callable) -> Iterable[bytes]:
        environ[FORWARDED_FLAG] = any(name in environ for name in FORWARDED)
        if self._is_named(str(environ.get("REMOTE_ADDR", ""))):
            self._believe(environ)
        else:
            for name in FORWARDED:
                environ.pop(name, None)
        return self._app(environ, start_response)

    def _believe(self, environ: Environ) -> None:
        for hop in reversed(str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")):
            address = hop.strip()
            if not _is_address(address):
                break
            environ["REMOTE_ADDR"] = address
            if not self._is_named(address):
                break
        scheme = str(environ.get("HTTP_X_FORWARDED_PROTO", "")).rsplit(",", 1)[-1].strip().lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme

    def _is_named(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in network for network in self._networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
