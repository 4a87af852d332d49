"""The door to providers' servers: requests for connection, TLS and headers, and below it a body read as it arrives.

One `Transport` a provider. It follows no redirect, keeps no cookie, and connects only to addresses that
`address.check_address` allows, checked after the name is resolved and on the very address that is used.
"""

import copy
import ipaddress
import logging
import os
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cache

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from services.llm.address import RefusedAddress, check_address, is_local
from services.llm.body import Body
from services.llm.pacing import is_readable

POOL = 1000  # connections kept; more are opened when needed and closed after


class Transport:
    """Sends one provider's requests. Safe to share between greenlets."""

    def __init__(self, base_url: str, allow_private: bool = False) -> None:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote what the server sent
        self._adapter = _Adapter(allow_private)
        # Once: reading the environment costs 0.2 ms a request.
        self._proxies = {} if is_local(base_url) else get_environ_proxies(base_url)

    def prepare(self, url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """A request to copy for every POST: parsing the URL and the headers again each time is most of its cost."""
        prepared = requests.PreparedRequest()
        prepared.prepare(method="POST", url=url, headers=dict(headers))
        return prepared

    def post(self, prepared: requests.PreparedRequest, body: bytes, connect: float, headers: float) -> requests.Response:
        """The answer's status and headers; its body is still to be read. Raises requests' exceptions.

        The adapter is used without a Session, which would read the body of a redirect, however long, just to look at it.
        """
        request = copy.copy(prepared)  # not `prepared.copy()`: building its case-insensitive headers anew costs 70 µs
        request.headers = {**prepared.headers, "Content-Length": str(len(body))}
        request.body = body
        return self._adapter.send(request, stream=True, timeout=(connect, headers), proxies=self._proxies)

    def body(self, response: requests.Response) -> Body:
        return Body(response.raw)

    def close(self) -> None:
        self._adapter.close()


class _Adapter(HTTPAdapter):
    """requests' own, without what is the same for every request of one provider: a third of the cost of sending one."""

    def __init__(self, allow_private: bool) -> None:
        self._ways: dict[str, tuple[HTTPConnectionPool, str]] = {}  # of a URL that no proxy is asked for
        self._pools = _pool_classes(allow_private)
        self._tls = _tls_context()
        super().__init__(pool_connections=4, pool_maxsize=POOL)

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: object) -> object:
        return super().proxy_manager_for(proxy, ssl_context=self._tls, **kwargs)

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None) -> HTTPConnectionPool:
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        if request.url not in self._ways:
            self._ways[request.url] = super().get_connection_with_tls_context(request, verify, proxies, cert), request.path_url
        return self._ways[request.url][0]

    def request_url(self, request, proxies) -> str:
        return super().request_url(request, proxies) if proxies else self._ways[request.url][1]

    def build_response(self, request, raw) -> requests.Response:
        """Only what is read: `Provider` asks for the status and the headers, `Body` for what is below."""
        response = requests.Response()
        response.status_code, response.headers, response.raw = raw.status, CaseInsensitiveDict(raw.headers), raw
        return response

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        """The shared context holds the authorities already; naming the file here would load it for every connection (15 ms)."""


@cache
def _tls_context() -> ssl.SSLContext:
    """One for all providers: loading the authorities takes 15 ms and some megabytes."""
    context = create_urllib3_context()
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or DEFAULT_CA_BUNDLE_PATH
    if os.path.isdir(bundle):
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(bundle)
    return context


def _pool_classes(allow_private: bool) -> dict[str, type]:
    """urllib3's pools with connections that look at the address first. Through a proxy it is the proxy that connects."""
    http = type("GuardedHTTPConnection", (_Guarded, HTTPConnection), {"allow_private": allow_private})
    https = type("GuardedHTTPSConnection", (_Guarded, HTTPSConnection), {"allow_private": allow_private})
    return {
        "http": type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
    }


class _Guarded:
    allow_private = False

    @property
    def is_connected(self) -> bool:
        """Asked for a connection out of the pool: it is no good if its server has closed it, which can be read."""
        return self.sock is not None and not is_readable(self.sock)

    def _new_conn(self) -> socket.socket:
        """Resolve, check, connect: to the address that was checked, so that a second lookup cannot change it."""
        try:
            found = _addresses(self._dns_host, self.port)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from None
        for *_, address in found:
            try:
                check_address(ipaddress.ip_address(address[0].partition("%")[0]), self.allow_private)
            except RefusedAddress as error:
                raise AddressRefused(self, str(error)) from None
        return self._connect_first(found)

    def _connect_first(self, found: list[tuple]) -> socket.socket:
        """An address that does not answer leaves the others their share of the time."""
        deadline = time.monotonic() + self.timeout
        for others, (family, kind, protocol, _, address) in zip(range(len(found) - 1, -1, -1), found):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(max((deadline - time.monotonic()) / (others + 1), 0.001))
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                if not others:
                    kind = ConnectTimeoutError if isinstance(error, TimeoutError) else NewConnectionError
                    raise kind(self, type(error).__name__) from None
            except BaseException:
                sock.close()  # cancelled: nothing may stay open
                raise
        raise NewConnectionError(self, "the name has no address")


def _addresses(host: str, port: int) -> list[tuple]:
    """As getaddrinfo; an IPv4 address is its own, and needs no way through the resolver's thread (0.1 ms)."""
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, UnicodeError):
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


class AddressRefused(NewConnectionError):
    """The name resolves to an address that no provider may have."""
