"""The Acme API itself, on a loopback port: for the demo and the tests.

Holds :class:`AcmeApi`: users, orders, uploads and tokens in memory, served by a ``FaultServer``, so
that any path can be made to fail: ``api.server.route("/v1/users", reply(503), api.answer)``.
"""

from __future__ import annotations

import hashlib
import threading
import time
from base64 import b64encode
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import parse_qs, urlencode

from requests_connection_manager.testing import FaultServer, Received, Reply, reply

NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald")
Page = Tuple[List[Any], Optional[int]]


class AcmeApi:
    """A server with five users, five orders and three uploads.

    :param token_lifetime: seconds.
    :param now: what tells the time, in seconds; give a virtual clock's ``monotonic``.

    >>> with AcmeApi() as api:
    ...     api.base_url == f"{api.server.origin}/v1"
    True
    """

    client_id = "demo-client"
    client_secret = "demo-secret"

    def __init__(
        self, *, token_lifetime: int = 3600, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.server = FaultServer(body_limit=8 * 1024 * 1024)
        self._lock = threading.Lock()
        self._now = now
        self._lifetime = token_lifetime
        self._tokens: Dict[str, float] = {}
        self._issued = 0
        self._answered: Dict[str, Reply] = {}
        self.users = [
            {"id": number, "name": name, "email": f"{name.lower()}@acme.example"}
            for number, name in enumerate(NAMES, 1)
        ]
        self.orders: List[Any] = []
        self.uploads: List[Any] = []
        for number in range(1, 6):
            self._add_order(number, f"{number}9.90")
        for number in range(1, 4):
            self._add_upload(f"report-{number}.csv", b"a;b\n" * number)
        self._route()

    def _route(self) -> None:
        busy = reply(503, headers={"Retry-After": "2"})
        self.server.route("/v1/status", busy, busy, self.answer)
        paths = ["/oauth/token", "/v1/users", "/v1/orders", "/v1/uploads"]
        for path in (*paths, *(f"/v1/users/{user['id']}" for user in self.users)):
            self.server.route(path, self.answer)

    @property
    def base_url(self) -> str:
        """What a connector needs to be told."""
        return self.server.url("/v1")

    def revoke_tokens(self) -> None:
        """Accept no token that was issued so far."""
        with self._lock:
            self._tokens.clear()

    def __enter__(self) -> AcmeApi:
        self.server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.close()

    # -- answers

    def answer(self, received: Received) -> Reply:
        """Answer as the API does when all is well."""
        with self._lock:
            if received.path == "/oauth/token":
                return self._token(received)
            if not self._authorized(received):
                return reply(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
            if received.method == "POST":
                return self._once(received)
            return self._resource(received)

    def _token(self, received: Received) -> Reply:
        client = b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if received.headers.get("authorization") != f"Basic {client}":
            return reply(401, json={"error": "invalid_client"})
        if parse_qs(received.text).get("grant_type") != ["client_credentials"]:
            return reply(400, json={"error": "unsupported_grant_type"})
        self._issued += 1
        token = f"demo-token-{self._issued}"
        self._tokens[token] = self._now() + self._lifetime
        fields = {"access_token": token, "token_type": "Bearer", "expires_in": self._lifetime}
        return reply(200, json=fields, headers={"Cache-Control": "no-store"})

    def _authorized(self, received: Received) -> bool:
        kind, _, token = received.headers.get("authorization", "").partition(" ")
        return kind == "Bearer" and self._now() < self._tokens.get(token, 0)

    def _once(self, received: Received) -> Reply:
        """Carry a POST out, unless it was already: then answer as before."""
        key = received.headers.get("idempotency-key")
        if key is None:
            return self._create(received)
        if key not in self._answered:
            self._answered[key] = self._create(received)
        return self._answered[key]

    def _create(self, received: Received) -> Reply:
        if received.path == "/v1/uploads":
            name = received.params.get("name", ["untitled"])[0]
            return reply(201, json=self._add_upload(name, received.body))
        order = received.json()
        if order["user_id"] not in [user["id"] for user in self.users]:
            return reply(422, json={"error": {"message": "there is no such user"}})
        return reply(201, json=self._add_order(order["user_id"], order["total"]))

    def _resource(self, received: Received) -> Reply:
        kind, _, key = received.path[len("/v1/") :].partition("/")
        if kind == "status":
            return reply(200, json={"healthy": True, "version": "1.4"})
        if key:
            known = {"users": self.users, "orders": self.orders}[kind]
            return reply(200, json=next(one for one in known if str(one["id"]) == key))
        pages = {"users": self._page_of_users, "orders": self._page_of_orders}
        return pages.get(kind, self._page_of_uploads)(received)

    # -- pages

    def _page_of_users(self, received: Received) -> Reply:
        number, size = _number(received, "page", 1), _number(received, "per_page", 100)
        users, _ = _cut(self.users, (number - 1) * size, size)
        pages = -(-len(self.users) // size)
        return reply(200, json={"users": users, "page": number, "pages": pages})

    def _page_of_orders(self, received: Received) -> Reply:
        cursor = received.params.get("cursor", ["after 0"])[0]
        size = _number(received, "limit", 100)
        orders, after = _cut(self.orders, int(cursor[len("after ") :]), size)
        following = None if after is None else f"after {after}"
        return reply(200, json={"orders": orders, "next_cursor": following})

    def _page_of_uploads(self, received: Received) -> Reply:
        begin, size = _number(received, "begin", 0), _number(received, "per_page", 100)
        uploads, after = _cut(self.uploads, begin, size)
        links = [f'<{self.base_url}/uploads?per_page={size}>; rel="first"']
        if after is not None:
            query = urlencode({"begin": after, "per_page": size})
            links.insert(0, f'<{self.base_url}/uploads?{query}>; rel="next"')
        return reply(200, json={"uploads": uploads}, headers={"Link": ", ".join(links)})

    # -- data

    def _add_order(self, user_id: int, total: str) -> Any:
        order = {"id": f"o-{len(self.orders) + 1}", "user_id": user_id, "total": total}
        self.orders.append(order)
        self.server.route(f"/v1/orders/{order['id']}", self.answer)
        return order

    def _add_upload(self, name: str, content: bytes) -> Any:
        upload = {
            "id": f"f-{len(self.uploads) + 1}",
            "name": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self.uploads.append(upload)
        return upload


def _number(received: Received, name: str, default: int) -> int:
    return int(received.params.get(name, [str(default)])[0])


def _cut(items: List[Any], begin: int, size: int) -> Page:
    """Return a page, and where the next one begins, if there is one."""
    end = begin + size
    return items[begin:end], end if end < len(items) else None
