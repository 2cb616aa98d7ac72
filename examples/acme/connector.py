"""The connector: what a program knows of Acme.

Holds :class:`AcmeConnector`; knows the paths, parameters and pages of the API. Retries, waits,
limits, timeouts and errors are ``APIConnector``'s.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, BinaryIO, Callable, Iterator, Optional, Set
from urllib.parse import quote, urlencode, urljoin

import requests

from requests_connection_manager import ValidationError
from requests_connection_manager.connector import APIConnector

from .auth import TokenAuth, same_origin
from .models import Numbers, Order, Status, Upload, User, json_of, pick, read, read_all

# What does no harm when it is carried out twice; APIConnector's default has POST and PATCH too.
REPEATABLE = ["HEAD", "GET", "PUT", "DELETE", "OPTIONS"]

# Given with a call that must not be carried out twice: it then has a key, by which Acme knows it
# again, and can be retried.
ONCE = {"idempotency_key_header": "Idempotency-Key"}

Following = Callable[[requests.Response, Any], Optional[str]]


class AcmeConnector(APIConnector):
    """Acme's users, orders and uploads.

    :param client_id: who the program is; Acme issues it together with ``client_secret``.
    :param kwargs: anything that ``APIConnector`` takes.
    :raises AuthenticationError: by every method, when Acme refuses the credentials.
    :raises HTTPError: by every method, for any other unsuccessful answer; see ``status_code``.
    :raises ValidationError: by every method, for an answer that is not as documented.

    Thread-safe, but one iterator is for one thread.
    """

    base_url = "https://api.acme.example/v1"
    max_retries = 4
    allowed_methods = REPEATABLE
    raise_on_status = True
    max_pages = 1000
    """How many pages one iterator fetches before it takes the server for broken."""

    def __init__(self, client_id: str, client_secret: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        token_url = urljoin(self.url(""), "/oauth/token")
        self.session.auth = TokenAuth(self.session, token_url, client_id, client_secret)

    def status(self) -> Status:
        """Return how the service feels; it often needs a second attempt."""
        return read(Status, json_of(self.get("status")))

    # -- users: pages have numbers

    def user(self, user_id: int) -> User:
        """Return one user."""
        return read(User, json_of(self.get(f"users/{user_id}")))

    def users(self, *, per_page: int = 100) -> Iterator[User]:
        """Yield all users; a page is fetched when its first user is wanted."""

        def path(number: int) -> str:
            return f"users?{urlencode({'page': number, 'per_page': per_page})}"

        def following(response: requests.Response, page: Any) -> Optional[str]:
            at = read(Numbers, page)
            return path(at.page + 1) if at.page < at.pages else None

        for page in self._pages(path(1), following):
            yield from read_all(User, page, "users")

    # -- orders: a page says which cursor leads to the next

    def order(self, order_id: str) -> Order:
        """Return one order."""
        return read(Order, json_of(self.get(f"orders/{quote(order_id, safe='')}")))

    def orders(self, *, limit: int = 100) -> Iterator[Order]:
        """Yield all orders; ``limit`` is the size of a page."""

        def path(**cursor: str) -> str:
            return f"orders?{urlencode({'limit': limit, **cursor})}"

        def following(response: requests.Response, page: Any) -> Optional[str]:
            cursor = pick(page, "next_cursor")
            return None if cursor is None else path(cursor=cursor)

        for page in self._pages(path(), following):
            yield from read_all(Order, page, "orders")

    def create_order(self, user_id: int, total: Decimal) -> Order:
        """Place an order, once, however often it has to be sent."""
        order = {"user_id": user_id, "total": str(total)}
        return read(Order, json_of(self.post("orders", json=order, **ONCE)))

    # -- uploads: a Link header leads to the next page (RFC 8288)

    def uploads(self, *, per_page: int = 100) -> Iterator[Upload]:
        """Yield all uploads."""
        for page in self._pages(f"uploads?{urlencode({'per_page': per_page})}", self._linked):
            yield from read_all(Upload, page, "uploads")

    def upload(self, file: BinaryIO, name: str) -> Upload:
        """Send a file from where it stands, a piece at a time; a retry starts there again."""
        headers = {"Content-Type": "application/octet-stream"}
        response = self.post("uploads", data=file, params={"name": name}, headers=headers, **ONCE)
        return read(Upload, json_of(response))

    def _linked(self, response: requests.Response, page: Any) -> Optional[str]:
        link = response.links.get("next", {}).get("url")
        if link is None:
            return None
        try:
            url = urljoin(response.url, link)
            if same_origin(url, self.url("")):
                return url
        except ValueError:
            pass  # no URL at all
        raise ValidationError("the next link leads to another origin, and is not followed")

    def _pages(self, first: str, following: Following) -> Iterator[Any]:
        """Yield pages, as JSON, until ``following`` knows no next one."""
        step: Optional[str] = first
        seen: Set[str] = set()
        while step is not None:
            if step in seen or len(seen) == self.max_pages:
                raise ValidationError(
                    f"the pages of {first.partition('?')[0]} don't end: "
                    f"{'one comes again' if step in seen else 'too many'} after {len(seen)} pages"
                )
            seen.add(step)
            response = self.get(step)
            page = json_of(response)
            yield page
            step = following(response, page)
