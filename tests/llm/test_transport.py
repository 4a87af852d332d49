"""TLS: who a server is, is checked, though the authorities are loaded only once."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.cancellation import Cancellation
from services.llm import transport
from services.llm.deltas import Content, LLMRequest
from tests.llm.house import HELLO
from tests.support.fake_provider import DONE, END, answer, events, ok, stop, tokens

REQUEST = LLMRequest(messages=[{"role": "user", "content": "x"}])


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake provider")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@pytest.fixture
def script():
    """What is written over TLS, a record for each piece."""
    return list(answer(HELLO))


@pytest.fixture
def secure(certificate, script):
    """A port where the script is played over TLS, to every connection once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    while not connection.recv(65536).endswith(b"}"):
                        pass  # the request's body comes in a record of its own
                    for step in script:
                        connection.sendall(step) if isinstance(step, bytes) else time.sleep(step)
            except OSError:
                plain.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture(autouse=True)
def own_authorities(monkeypatch):
    """The authorities of these tests are nobody else's."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    yield
    transport._tls_context.cache_clear()


def over_tls(house, port: int, host: str = "127.0.0.1") -> list[tuple[str, str]]:
    transport._tls_context.cache_clear()
    house.build(provider_first={"url": f"https://{host}:{port}/v1/chat/completions"})
    return house.ask().outcomes


def test_a_server_that_nobody_vouches_for_is_refused(house, secure):
    assert over_tls(house, secure) == [("first", "connect"), ("first", "connect"), ("second", "answered")]


def test_a_trusted_server_answers(house, secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert over_tls(house, secure) == [("first", "answered")]


def test_a_trusted_server_by_another_name_is_refused(house, secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert over_tls(house, secure, "localhost")[-1] == ("second", "answered")


def test_a_record_a_token_does_not_hold_up_the_answer(house, secure, certificate, script, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    script[:] = [ok(), *(events(one) for one in tokens(600)), events(stop()), DONE + END]
    began = time.monotonic()
    assert over_tls(house, secure) == [("first", "answered")]
    assert time.monotonic() - began < 4, "600 beats of 10 ms are six seconds"


def test_what_came_in_one_record_with_the_headers_is_not_waited_for(house, secure, certificate, script, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    script[:] = [ok() + b"".join(events(one) for one in tokens(60)), 0.4, events(stop()) + DONE + END]
    transport._tls_context.cache_clear()
    house.build(provider_first={"url": f"https://127.0.0.1:{secure}/v1/chat/completions"})
    came = [time.monotonic() for delta in house.service.stream(REQUEST, Cancellation()) if isinstance(delta, Content)]
    assert len(came) == 60 and came[-1] - came[0] < 0.3
