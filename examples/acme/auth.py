"""A bearer token for all threads, fetched with client id and secret (RFC 6749, 4.4).

Holds :class:`TokenAuth`, an auth object as requests has them; knows the token endpoint only.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Tuple

import requests
from requests.auth import AuthBase
from requests.utils import rewind_body
from urllib3.util import parse_url

from requests_connection_manager import ConnectionManager

from .models import Token, json_of, read


class TokenAuth(AuthBase):
    """Puts a token on requests to its own origin, and renews it: before it expires, or on a 401.

    :param session: what the token is fetched with, so with its retries and limits.
    :param token_url: the token endpoint; its origin is the only one that is sent the token.

    Thread-safe: threads that need a token at the same time wait for one and the same. A pickle
    holds the secret, but no token.
    """

    def __init__(
        self, session: ConnectionManager, token_url: str, client_id: str, client_secret: str
    ) -> None:
        self._session = session
        self._token_url = token_url
        self._client = (client_id, client_secret)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._header: Optional[str] = None
        self._expires = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # requests runs session.auth for every URL, wherever that leads.
        if same_origin(request.url or "", self._token_url):
            header = self._valid_header()
            request.headers["Authorization"] = header

            def renew(response: requests.Response, **kwargs: Any) -> requests.Response:
                return self._renewed(response, header, kwargs)

            request.register_hook("response", renew)
        return request

    def _valid_header(self, refused: Optional[str] = None) -> str:
        """Return the header with a token that is good: not expired, not the ``refused`` one."""
        with self._lock:
            now = self._session.core.clock.monotonic()
            if self._header is None or self._header == refused or now >= self._expires:
                token = self._fetch()
                self._header = f"Bearer {token.access_token}"
                # Early, so that it can't expire on its way.
                self._expires = now + 0.9 * token.expires_in
            return self._header

    def _fetch(self) -> Token:
        response = self._session.post(
            self._token_url,
            data={"grant_type": "client_credentials"},
            auth=self._client,
            allowed_methods=["POST"],  # a second token does no harm
            raise_for_status=True,
        )
        return read(Token, json_of(response))

    def _renewed(
        self, response: requests.Response, header: str, kwargs: Dict[str, Any]
    ) -> requests.Response:
        """Answer a 401 by sending the request once more, with another token."""
        refused = response.request
        # A redirect to another origin has lost the header, and must not get a new one.
        if response.status_code != 401 or refused.headers.get("Authorization") != header:
            return response
        _ = response.content  # read, it gives its connection back
        request = refused.copy()
        if hasattr(request.body, "seek"):
            rewind_body(request)
        request.headers["Authorization"] = self._valid_header(header)
        # As requests' own digest auth does: the adapter sends, and runs no hooks.
        again: requests.Response = response.connection.send(request, **kwargs)
        again.history.append(response)
        return again

    def __getstate__(self) -> Dict[str, Any]:
        return {name: self.__dict__[name] for name in ("_session", "_token_url", "_client")}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()


def same_origin(one: str, other: str) -> bool:
    """Tell whether two URLs have the same scheme, host and port (RFC 6454, 5).

    >>> same_origin("https://api.acme.example/v1", "https://API.acme.example:443/oauth/token")
    True
    """
    return _origin(one) == _origin(other)


def _origin(url: str) -> Tuple[Optional[str], Optional[str], Optional[int]]:
    # The parser that requests uses: with another one, the two could disagree about the host.
    parts = parse_url(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")
    return parts.scheme, parts.host, port
