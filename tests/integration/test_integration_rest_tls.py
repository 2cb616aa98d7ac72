"""TLS of the REST clients: whom they trust, and what they show of themselves."""

from __future__ import annotations

import ssl

import httpx
import pytest

from requests_connection_manager.testing import FaultServer, reply

trustme = pytest.importorskip("trustme")


class Certificates:
    """A certificate authority, and files with what it issued."""

    def __init__(self, folder):
        authority = trustme.CA()
        client = authority.issue_cert("client@api.test")
        self.bundle = str(folder / "bundle.pem")
        self.both = str(folder / "both.pem")
        self.certificate = str(folder / "client.pem")
        self.key = str(folder / "client.key")
        authority.cert_pem.write_to_path(self.bundle)
        client.private_key_and_cert_chain_pem.write_to_path(self.both)
        client.cert_chain_pems[0].write_to_path(self.certificate)
        client.private_key_pem.write_to_path(self.key)
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.server_context)
        authority.configure_trust(self.server_context)

    def demand(self):
        """Let in only those who show a certificate of ours."""
        self.server_context.verify_mode = ssl.CERT_REQUIRED
        # Of a later one, the client only learns when it reads that it was refused.
        self.server_context.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def certificates(folder):
    return Certificates(folder)


@pytest.fixture
def secure(certificates):
    with FaultServer(ssl_context=certificates.server_context) as server:
        server.route("/", reply(200, body="in"))
        yield server


def test_an_authority_that_is_not_known_is_not_trusted(rest, secure):
    client = rest.client(secure.origin, max_retries=0)
    with pytest.raises(httpx.ConnectError):
        client.get("/")
    assert secure.count() == 0


def test_a_certificate_that_is_not_trusted_is_not_tried_again(rest, secure):
    client = rest.client(secure.origin, max_retries=3)
    with pytest.raises(httpx.ConnectError) as caught:
        client.get("/")
    assert len(caught.value.attempts) == 1


def test_a_bundle_of_ones_own(rest, secure, certificates):
    client = rest.client(secure.origin, verify=certificates.bundle)
    assert client.get("/").text == "in"


def test_verification_can_be_switched_off_with_a_warning(rest, secure, caplog):
    client = rest.client(secure.origin, verify=False)
    assert "certificates are not verified" in caplog.text
    assert client.get("/").text == "in"


def test_a_client_certificate(rest, secure, certificates):
    certificates.demand()
    for shown in (certificates.both, (certificates.certificate, certificates.key)):
        client = rest.client(secure.origin, verify=certificates.bundle, cert=shown)
        assert client.get("/").text == "in"


def test_no_client_certificate_where_one_is_demanded(rest, secure, certificates):
    certificates.demand()
    client = rest.client(secure.origin, verify=certificates.bundle, max_retries=0)
    with pytest.raises(httpx.ConnectError):
        client.get("/")
    assert secure.count() == 0


def test_a_context_of_ones_own(rest, secure, certificates):
    context = ssl.create_default_context(cafile=certificates.bundle)
    client = rest.client(secure.origin, ssl_context=context)
    assert client.get("/").text == "in"


@pytest.mark.parametrize(
    "options",
    [{"verify": "/nowhere.pem"}, {"cert": "/nowhere.pem"}, {"cert": ("", "/nowhere.pem")}],
)
def test_a_file_that_is_not_there_is_named_at_once(rest, certificates, options):
    cert = options.get("cert")
    if isinstance(cert, tuple):
        options = {"cert": (certificates.certificate, cert[1])}
    with pytest.raises(FileNotFoundError, match=r"/nowhere\.pem"):
        rest.client("https://api.test", **options)
