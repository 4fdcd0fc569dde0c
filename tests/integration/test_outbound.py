"""What may be sent where, against real sockets on loopback."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.errors import EnvironmentProblem, InputError, RefusedError
from muster.outbound import post, refusal
from tests.integration.web_site import Site

METADATA = ["169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"]


@contextmanager
def talking(answer: bytes) -> Iterator[int]:
    """A server that says ``answer`` to whoever connects and then keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as kept:
        held = [kept]

        def serve() -> None:
            stream, _ = server.accept()
            held.append(stream)
            stream.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
        for stream in held:
            stream.close()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("64:ff9b::8.8.8.8", "NAT64"),
        ("64:ff9b:1::10.0.0.1", "NAT64"),
        ("2002:0808:0808::1", "6to4"),
        ("192.88.99.1", "6to4"),
        ("2001:0:53aa:64c::1", "Teredo"),
        ("::8.8.8.8", "IPv4-compatible"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("192.0.0.1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("100::1", "reserved"),
        ("4000::1", "reserved"),
        ("198.18.0.1", "benchmarking"),
        ("192.0.2.1", "documentation"),
        ("2001:db8::1", "documentation"),
    ],
)
def test_an_address_that_is_not_public_needs_permission(address: str, kind: str) -> None:
    assert refusal(address) == kind
    assert refusal(address, allow_private=True) == ""


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])
def test_a_public_address_needs_no_permission(address: str) -> None:
    assert refusal(address) == ""


@pytest.mark.parametrize(
    "address",
    [
        *METADATA,
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "169.254.170.2",
    ],
)
def test_a_clouds_metadata_is_refused_whatever_is_allowed(address: str) -> None:
    assert refusal(address, allow_private=True) == "cloud metadata"


@given(st.ip_addresses(v=4))
def test_no_way_of_writing_a_refused_address_as_ipv6_makes_it_allowed(address: object) -> None:
    for spelling in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"):
        if refusal(str(address)):
            assert refusal(spelling)
        if refusal(str(address), allow_private=True):
            assert refusal(spelling, allow_private=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"])
def test_this_machine_is_refused_however_it_is_named(host: str) -> None:
    with Site() as site:
        with pytest.raises(RefusedError, match="loopback"):
            post(f"http://{host}:{site.port}/", b"x", {}, timeout_s=5)

        assert site.got == []


def test_a_name_of_which_one_address_is_refused_is_refused() -> None:
    with pytest.raises(RefusedError, match="private"):
        post("http://two.example/", b"x", {}, timeout_s=5, resolve=lambda *_: ["1.1.1.1", "10.0.0.1"])


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[str] = []

    def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    with Site() as site:
        answer = post(
            f"http://sink.example:{site.port}/v1?a=b#c",
            b"body",
            {"X-Kind": "test"},
            timeout_s=5,
            allow_private=True,
            resolve=rebinding,
        )

    assert (answer.status, answer.body, asked) == (200, b"thanks", ["sink.example"])
    [(path, headers, body)] = site.got
    assert (path, body, headers["X-Kind"], headers["Host"]) == ("/v1?a=b", b"body", "test", f"sink.example:{site.port}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_nobody_goes_there(status: int) -> None:
    with Site() as elsewhere, Site(status, f"http://127.0.0.1:{elsewhere.port}/") as site:
        with pytest.raises(EnvironmentProblem, match=f"answered {status}, a redirect"):
            post(f"http://127.0.0.1:{site.port}/", b"x", {}, timeout_s=5, allow_private=True)

        assert elsewhere.got == []


@pytest.mark.parametrize("status", [400, 401, 429, 503])
def test_an_answer_that_is_no_success_is_a_failure(status: int) -> None:
    with Site(status) as site, pytest.raises(EnvironmentProblem, match=f"answered {status}"):
        post(f"http://127.0.0.1:{site.port}/", b"x", {}, timeout_s=5, allow_private=True)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "http or https"),
        ("file:///etc/passwd", "http or https"),
        ("http://user:hunter22@example.com/", "user or password"),
        ("http://@example.com/", "user or password"),
        ("http:///path", "no host"),
        ("http://example.com:0/", "no usable port"),
        ("http://example.com:99999/", "cannot be read"),
        ("http://exa\nmple.com/", "control character"),
        ("http://example.com\\@10.0.0.1/", "backslash"),
        ("http://[::1/", "cannot be read"),
        ("", "http or https"),
    ],
)
def test_a_url_that_could_mean_two_things_is_refused(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        post(url, b"", {}, timeout_s=1, resolve=lambda *_: pytest.fail("it was resolved"))

    assert "hunter22" not in caught.value.message


def test_a_header_cannot_bring_another_header() -> None:
    with Site() as site:
        with pytest.raises(InputError):
            post(f"http://127.0.0.1:{site.port}/", b"", {"X": "a\r\nY: b"}, timeout_s=5, allow_private=True)

        assert site.got == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Site() as proxy, Site() as site:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        post(f"http://127.0.0.1:{site.port}/", b"x", {}, timeout_s=5, allow_private=True)

        assert (len(site.got), proxy.got) == (1, [])


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"])
def test_a_server_that_falls_silent_is_left_after_the_timeout(said: bytes) -> None:
    with talking(said) as port, pytest.raises(EnvironmentProblem, match="time"):
        post(f"http://127.0.0.1:{port}/", b"x", {}, timeout_s=0.2, allow_private=True)

    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Site]:
    """A site that speaks TLS with a certificate for sink.example that it made itself."""
    key, cert = tmp_path / "key", tmp_path / "cert"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout {key} -out {cert}"
    made = subprocess.run([*command.split(), "-addext", "subjectAltName=DNS:sink.example"], capture_output=True)
    if made.returncode:
        pytest.skip("openssl is not installed")
    with Site() as site:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
        yield site


def send_securely(host: str, site: Site) -> None:
    url = f"https://{host}:{site.port}/"
    post(url, b"x", {}, timeout_s=5, allow_private=True, resolve=lambda *_: ["127.0.0.1"])


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Site) -> None:
    with pytest.raises(EnvironmentProblem, match="certificate"):
        send_securely("sink.example", secure)

    assert secure.got == []


def test_a_certificate_is_held_against_the_name_and_not_the_address(
    secure: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))

    send_securely("sink.example", secure)
    with pytest.raises(EnvironmentProblem, match="certificate"):
        send_securely("other.example", secure)

    assert len(secure.got) == 1
