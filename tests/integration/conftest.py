"""A certificate authority of the tests' own."""

from __future__ import annotations

import ssl

import pytest


class Authority:
    """Issues certificates that nobody else trusts."""

    def __init__(self, trustme):
        self._trustme = trustme
        self._ca = trustme.CA()

    def server_context(self, *names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
        return context

    def client_context(self):
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        return context


@pytest.fixture(scope="session")
def tls():
    return Authority(pytest.importorskip("trustme"))
