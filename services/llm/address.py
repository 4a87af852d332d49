"""Which addresses a provider may have. A base URL is a setting, but a wrong one must not reach a cloud's metadata."""

import ipaddress
import socket
from urllib.parse import urlsplit

_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16", "fe80::/10",  # link-local: AWS, Azure, Google, DigitalOcean, …
        "fd00:ec2::/32", "fd20:ce::254/128",  # AWS and Google over IPv6
        "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32",  # Alibaba, Oracle, Azure's wire server
    )
)  # fmt: skip
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddress(ValueError):
    """The address is one that no provider may have, or a private one without the setting that allows it."""


def check_url(url: str, allow_private: bool) -> str:
    """The URL without a trailing slash; RefusedAddress where scheme or host cannot be used. Resolves no names."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https"):
        raise RefusedAddress("a base URL begins with http:// or https://")
    if not parts.hostname:
        raise RefusedAddress("the base URL has no host")
    if parts.username or parts.password:
        raise RefusedAddress("a base URL holds no user name or password; use the key's own setting")
    _ = parts.port  # ValueError where it is no port
    if parts.hostname.rstrip(".").lower() in _METADATA_NAMES:
        raise RefusedAddress("the base URL names a cloud metadata service")
    if (literal := _literal(parts.hostname)) is not None:
        check_address(literal, allow_private)
    return url.strip().rstrip("/")


def check_address(address: Address, allow_private: bool) -> None:
    """Raise RefusedAddress unless a provider may have it. Loopback may always be: that is where a local model listens."""
    for inner in _unwrapped(address):
        if any(inner.version == network.version and inner in network for network in _METADATA):
            raise RefusedAddress("the address belongs to a cloud metadata service")
        if inner.is_unspecified or inner.is_multicast or inner.is_reserved and inner.version == 4:
            raise RefusedAddress("the address is no host's")
        if not inner.is_loopback and not inner.is_global and not allow_private:
            raise RefusedAddress("the address is private; ALLOW_PRIVATE_PROVIDERS=1 allows it")


def is_local(url: str) -> bool:
    """Whether the URL names this host, or an address that is only reachable from within: no key is needed there."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    literal = _literal(host)
    return literal is not None and not literal.is_global


def _literal(host: str) -> Address | None:
    """The address that `host` writes out, in the odd forms the resolver accepts too (2852039166, 0xa9.254.43518)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except (OSError, ValueError):
        return None


def _unwrapped(address: Address) -> list[Address]:
    """The address, or the IPv4 one that it carries: a metadata address must not hide in IPv6."""
    if address.version == 4:
        return [address]
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return [inner] if inner is not None else [address]
