"""The API of the bookshop itself, on a loopback port: for the demo and the tests.

Holds :class:`BookshopApi`: users and orders in memory, served by a ``FaultServer``, so that any
path can be made to fail: ``api.server.route("/orders", reply(503), api.answer)``.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from typing import Any, Dict, List

from requests_connection_manager.testing import FaultServer, Received, Reply, reply

NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Tony")


class BookshopApi:
    """A server with seven users and five orders.

    >>> with BookshopApi() as api:
    ...     api.url == api.server.origin
    True
    """

    key = "demo-key"

    def __init__(self) -> None:
        self.server = FaultServer()
        self.invoice = b"%PDF-1.7 " + bytes(range(256)) * 256
        self._lock = threading.Lock()
        self._answered: Dict[str, Reply] = {}
        self.users = [
            {"id": number, "name": name, "email": f"{name.lower()}@shop.example"}
            for number, name in enumerate(NAMES, 1)
        ]
        self.orders: List[Any] = []
        for number in range(1, 6):
            self._add_order({"user_id": number, "book": f"Volume {number}", "total": f"{number}.5"})
        for path in ("/users", "/orders", "/orders/changes"):
            self.server.route(path, self.answer)
        for number in range(1, len(NAMES) + 1):
            self.server.route(f"/users/{number}", self.answer)
            self.server.route(f"/users/{number}/picture", self.answer)

    @property
    def url(self) -> str:
        """What a client needs to be told."""
        return self.server.origin

    def __enter__(self) -> BookshopApi:
        self.server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.close()

    def answer(self, received: Received) -> Reply:
        """Answer as the API does when all is well."""
        if received.headers.get("x-api-key") != self.key:
            return reply(401, json={"detail": "the key is not known"})
        with self._lock:
            kind, *rest = received.path.strip("/").split("/")
            if kind == "users":
                return self._of_users(received, rest)
            if received.method == "POST":
                return self._once(received)
            return self._of_orders(received, rest)

    # -- users

    def _of_users(self, received: Received, rest: List[str]) -> Reply:
        if rest[1:] == ["picture"]:
            digest = hashlib.sha256(received.body).hexdigest()
            return reply(200, json={"size": received.size, "sha256": digest})
        users: List[Any] = self.users
        if received.headers.get("bookshop-version") == "1":
            users = [{"id": user["id"], "name": user["name"]} for user in users]
        if rest:
            return reply(200, json=users[int(rest[0]) - 1])
        return _page(received, users)

    # -- orders

    def _once(self, received: Received) -> Reply:
        """Carry a POST out, unless it was already: then answer as before."""
        key = received.headers["idempotency-key"]
        if key not in self._answered:
            self._answered[key] = self._create(received.json())
        return self._answered[key]

    def _create(self, order: Any) -> Reply:
        if order["book"] == "Necronomicon":
            return reply(409, json={"detail": "the Necronomicon is out of print"})
        return reply(201, json=self._add_order(order))

    def _add_order(self, order: Any) -> Any:
        number = len(self.orders) + 1
        whole = {"id": f"o-{number}", "placed": f"2026-01-0{number}T12:00:00Z", **order}
        self.orders.append(whole)
        self.server.route(f"/orders/o-{number}", self.answer)
        self.server.route(f"/orders/o-{number}/invoice", self.answer)
        return whole

    def _of_orders(self, received: Received, rest: List[str]) -> Reply:
        if not rest:
            return _page(received, self.orders)
        if rest == ["changes"]:
            return self._changes(received)
        if rest[1:] == ["invoice"]:
            return self._invoice(received)
        return reply(200, json=next(one for one in self.orders if one["id"] == rest[0]))

    def _changes(self, received: Received) -> Reply:
        """Tell of the orders after the last that the client knows."""
        known = int(received.headers.get("last-event-id", "0"))
        if known >= len(self.orders):
            return reply(204)
        blocks = [
            f"id: {number}\nevent: placed\ndata: {json.dumps(order)}\n\n"
            for number, order in enumerate(self.orders[known:], known + 1)
        ]
        return reply(200, body="".join(blocks), headers={"Content-Type": "text/event-stream"})

    def _invoice(self, received: Received) -> Reply:
        """Send a file, or the rest of it (RFC 9110, 14.2)."""
        headers = {"Content-Type": "application/pdf", "ETag": '"invoice"', "Accept-Ranges": "bytes"}
        wanted = re.match(r"bytes=(\d+)-$", received.headers.get("range", ""))
        if wanted is None:
            return reply(200, body=self.invoice, headers=headers)
        begin, size = int(wanted[1]), len(self.invoice)
        headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
        return reply(206, body=self.invoice[begin:], headers=headers)


def _page(received: Received, items: List[Any]) -> Reply:
    begin = int(received.params.get("cursor", ["0"])[0])
    end = begin + int(received.params.get("limit", ["100"])[0])
    following = str(end) if end < len(items) else None
    return reply(200, json={"items": items[begin:end], "next_cursor": following})
