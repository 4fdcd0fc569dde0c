"""Requests to other machines: the only module that opens outgoing connections.

An address that an operator or a file names must not become a way into this
machine, its network or a cloud's metadata (CWE-918). So a name is resolved
once, every address it has is checked, and the connection goes to one of the
very addresses that were checked.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from muster.model.errors import EnvironmentProblem, InputError, RefusedError
from muster.model.record import Record

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_MOST_ANSWER_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}

# What IANA's special-purpose registries do not give to the public internet; all of IPv6 that is not 2000::/3.
_SPECIAL = tuple(
    (ip_network(network), name)
    for name, networks in {
        "loopback": ("127.0.0.0/8", "::1/128"),
        "unspecified": ("0.0.0.0/8", "::/128"),
        "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "carrier-grade NAT": ("100.64.0.0/10",),
        "NAT64": ("64:ff9b::/96", "64:ff9b:1::/48"),
        "6to4": ("2002::/16", "192.88.99.0/24"),
        "Teredo": ("2001::/32",),
        "IPv4-compatible": ("::/96",),
        "multicast": ("224.0.0.0/4", "ff00::/8"),
        "benchmarking": ("198.18.0.0/15", "2001:2::/48"),
        "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
        "reserved": ("192.0.0.0/24", "240.0.0.0/4", "100::/64", "2001::/23", "::/3", "4000::/2", "8000::/1"),
    }.items()
    for network in networks
)
# Where clouds hand out credentials: AWS, Azure, Google, Alibaba, Oracle, Scaleway and Tencent.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "169.254.42.42"),
        *("168.63.129.16", "100.100.100.200", "192.0.0.192"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fd00:c1::a9fe:a9fe"),
    )
)
# Networks whose addresses end in an IPv4 address.
_EMBEDDING = tuple(ip_network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48"))


class Answer(Record, frozen=True):
    """What the other side said to a request that it took; at most 64 KiB of its body."""

    status: int
    body: bytes


def refusal(address: str, *, allow_private: bool = False) -> str:
    """What kind of address it is that nothing may be sent to; empty when something may.

    >>> refusal("10.0.0.1"), refusal("10.0.0.1", allow_private=True), refusal("1.1.1.1")
    ('private', '', '')
    >>> refusal("::ffff:169.254.169.254", allow_private=True)
    'cloud metadata'
    """
    meant = tuple(_meant(address))
    if any(one in _METADATA for one in meant):
        return "cloud metadata"
    if allow_private:
        return ""
    return next((name for one in meant for network, name in _SPECIAL if one in network), "")


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    allow_private: bool = False,
    resolve: Resolve | None = None,
) -> Answer:
    """Send ``body`` and return the answer; no message of an error shows more of the URL than its host.

    Redirects are not followed and proxies of the environment not used. ``timeout_s``
    is for everything together but the resolving of the name.

    Raises:
        InputError: the URL or a header is not usable.
        RefusedError: the host may not be talked to.
        EnvironmentProblem: no connection, no answer in time, or an answer other than 2xx.
    """
    parts = split_url(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        addresses = (resolve or _resolve)(host, port)
    except (OSError, UnicodeError) as error:
        raise EnvironmentProblem(f"{host}: cannot be resolved: {error}.") from None
    for address in addresses:
        if why := refusal(address, allow_private=allow_private):
            raise RefusedError(f"{host}: nothing is sent to {address}, as it is an address of kind {why}.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with _connection(addresses, host, port, timeout_s, secure=parts.scheme == "https") as connection:
            connection.request("POST", path, body, {"Connection": "close", **headers})
            with closing(connection.getresponse()) as response:
                answer = Answer(status=response.status, body=response.read(_MOST_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        # A wrong certificate is an OSError and a ValueError.
        if isinstance(error, http.client.InvalidURL) or not isinstance(error, (OSError, http.client.HTTPException)):
            raise InputError(f"{host}: the path or a header cannot be sent.") from None
        raise EnvironmentProblem(f"{host}: {error or 'no answer'} ({type(error).__name__}).") from None
    if not 200 <= answer.status < 300:
        what = "a redirect, which is not followed" if 300 <= answer.status < 400 else "no success"
        raise EnvironmentProblem(f"{host}: answered {answer.status}, {what}.")
    return answer


def split_url(url: str) -> SplitResult:
    """The parts of a URL that something may be sent to, if its host may.

    Raises:
        InputError: it is no such URL; the message does not show it.
    """
    # urlsplit drops some control characters and keeps others; both have been used to fool filters.
    if any(character <= " " or character in '\x7f\\"<>' for character in url):
        raise InputError("The URL holds a space, a control character or a backslash.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"The URL cannot be read: {error}.") from None
    if parts.scheme not in _PORTS:
        raise InputError(f"The URL's scheme is {parts.scheme!r}, but must be http or https.")
    if "@" in parts.netloc:
        raise InputError("The URL holds a user or password; put them into a header.")
    if not parts.hostname or port == 0:
        raise InputError("The URL names no host or no usable port.")
    return parts


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))


def _meant(text: str) -> Iterator[Address]:
    """The address without its zone, and the IPv4 addresses that it stands for."""
    address: Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    else:
        yield address
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield from address.teredo
        if any(address in network for network in _EMBEDDING):
            yield IPv4Address(int(address) & 0xFFFFFFFF)


@contextmanager
def _connection(
    addresses: Sequence[str], host: str, port: int, timeout_s: float, *, secure: bool
) -> Iterator[http.client.HTTPConnection]:
    with closing(_connected(addresses, port, timeout_s)) as stream:
        if secure:
            # The handshake waits, so that the deadline is there before it.
            context = ssl.create_default_context()
            stream = context.wrap_socket(stream, server_hostname=host, do_handshake_on_connect=False)
        # A socket's own timeout starts again with every byte; this one ends whatever still goes on.
        deadline = threading.Timer(timeout_s, _cut, [stream])
        deadline.daemon = True
        deadline.start()
        try:
            if isinstance(stream, ssl.SSLSocket):
                stream.do_handshake()
            with closing(http.client.HTTPConnection(host, port)) as connection:
                connection.sock = stream
                yield connection
        finally:
            expired = deadline.finished.is_set()
            deadline.cancel()
            deadline.join()
            stream.close()
            if expired:
                raise TimeoutError("no answer in time")


def _connected(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    problem: OSError = OSError("it has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=timeout_s / len(addresses))
        except OSError as error:
            problem = error
    raise problem


def _cut(stream: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(stream, socket.SHUT_RDWR)
