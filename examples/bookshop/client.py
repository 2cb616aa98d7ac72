"""The clients of the bookshop: ``Shop``, and ``AsyncShop`` for asyncio and trio.

Holds its resources, each operation described once for both. Retries, limits, timeouts, errors,
serialization and validation are the REST client's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from requests_connection_manager import ConnectionManagerError, HTTPError
from requests_connection_manager.rest import AsyncClient, Client, HeaderVersion, UploadProgress

from .models import Order, Page, Picture, User
from .operations import Api, K, Resource, event_stream, listing, operation

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from requests_connection_manager.rest import ClientOptions
    from requests_connection_manager.streaming import Download, Progress


class OutOfPrint(ConnectionManagerError):
    """There is no such book any more; ``__cause__`` has the answer of the shop."""


class Users(Resource[K]):
    """The customers."""

    @operation
    async def get(self, user_id: int) -> User:
        """Return one user."""
        return await self.send("GET", f"/users/{user_id}", model=User)

    @listing
    async def list(self, cursor: Optional[str], *, limit: int = 100) -> Page[User]:
        """Iterate over all users; ``limit`` is the size of a page."""
        params = {"cursor": cursor, "limit": limit}
        return await self.send("GET", "/users", params=params, model=Page[User])

    @operation
    async def set_picture(
        self,
        user_id: int,
        picture: Any,
        *,
        progress: Optional[Callable[[UploadProgress], object]] = None,
    ) -> Picture:
        """Send a picture: bytes, a path or an open file, which is read a piece at a time."""
        return await self.send(
            "PUT",
            f"/users/{user_id}/picture",
            content=picture,
            upload_progress=progress,
            model=Picture,
        )


class Orders(Resource[K]):
    """What was bought."""

    changes = event_stream("/orders/changes")

    @operation
    async def get(self, order_id: str) -> Order:
        """Return one order."""
        return await self.send("GET", f"/orders/{order_id}", model=Order)

    @listing
    async def list(self, cursor: Optional[str], *, limit: int = 100) -> Page[Order]:
        """Iterate over all orders; ``limit`` is the size of a page."""
        params = {"cursor": cursor, "limit": limit}
        return await self.send("GET", "/orders", params=params, model=Page[Order])

    @operation
    async def create(self, user_id: int, book: str, total: Decimal) -> Order:
        """Place an order, once, however often it has to be sent.

        :raises OutOfPrint: there is no such book any more.
        """
        order = {"user_id": user_id, "book": book, "total": total}
        try:
            return await self.send("POST", "/orders", json=order, model=Order)
        except HTTPError as error:
            if error.status_code == 409:
                raise OutOfPrint(error.detail) from error
            raise

    @operation
    async def save_invoice(
        self,
        order_id: str,
        path: Union[str, Path],
        *,
        progress: Optional[Callable[[Progress], object]] = None,
    ) -> Download:
        """Download an invoice; there is no file of this name before it is complete."""
        return await self.save(f"/orders/{order_id}/invoice", path, progress=progress)


class Bookshop(Api[K]):
    """What both clients have."""

    @property
    def users(self) -> Users[K]:
        """The customers."""
        return Users(self)

    @property
    def orders(self) -> Orders[K]:
        """What was bought."""
        return Orders(self)


URL = "https://api.bookshop.example"


class Shop(Bookshop[Client], Client):
    """The bookshop, for code that blocks.

    :param options: those of ``Client``: ``api_key=``, ``max_retries=``, ``api_version="1"``, …
    :raises HTTPError: by every operation, for an unsuccessful answer; see ``status_code``.
    :raises ValidationError: by every operation, for an answer that is not as documented.

    Thread-safe, but one iterator is for one thread.
    """

    def __init__(self, base_url: str = URL, **options: Unpack[ClientOptions]) -> None:
        super().__init__(base_url, **_with_defaults(options))


class AsyncShop(Bookshop[AsyncClient], AsyncClient):
    """The bookshop, for asyncio and trio: as :class:`Shop`, with ``await`` and ``async for``."""

    def __init__(self, base_url: str = URL, **options: Unpack[ClientOptions]) -> None:
        super().__init__(base_url, **_with_defaults(options))


def _with_defaults(options: ClientOptions) -> ClientOptions:
    defaults: ClientOptions = {
        "versioning": HeaderVersion("Bookshop-Version"),
        "api_versions": ("1", "2"),
        "api_version": "2",
        # By this key the shop knows an order that it has got already, so that it can be sent again.
        "idempotency_key_header": "Idempotency-Key",
        "user_agent": "bookshop/1.0",
    }
    defaults.update(options)
    return defaults
