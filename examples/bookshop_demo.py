"""A client with resources at work, twice: ``python examples/bookshop_demo.py``.

It talks to a local stand-in of the API in ``bookshop/api.py``; needs the extra ``pydantic``. The
waits are virtual, so they cost no time. Ends with exit code 1 if something was not as it should be.
"""

from __future__ import annotations

import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import anyio
from bookshop import AsyncShop, OutOfPrint, Shop
from bookshop.api import BookshopApi

from requests_connection_manager import AuthenticationError
from requests_connection_manager.rest import UploadProgress
from requests_connection_manager.testing import VirtualClock, reply


def show(progress: UploadProgress) -> None:
    print(f"  picture: {progress.sent} of {progress.total} bytes")


def blocking(api: BookshopApi, folder: Path) -> None:
    clock = VirtualClock()
    with Shop(api.url, api_key=api.key, clock=clock) as shop:
        print("user:", shop.users.get(7))
        print("users, page by page:", ", ".join(user.name for user in shop.users.list(limit=3)))
        print("in all:", sum(order.total for order in shop.orders.list(limit=2)))

        busy = reply(503, headers={"Retry-After": "2"})
        api.server.route("/orders", busy, api.answer)
        order = shop.orders.create(7, "Communicating Processes", Decimal("42.00"))
        print("sent again, placed once:", order.id, order.book, order.total)
        print("  after", *clock.sleeps, "s of waits")

        picture = folder / "tony.png"
        picture.write_bytes(b"\x89PNG" * 1000)
        shop.users.set_picture(7, picture, progress=show)
        invoice = shop.orders.save_invoice("o-1", folder / "invoice.pdf")
        print("invoice:", invoice.size, "bytes")

        with shop.orders.changes(last_event_id="4") as changes:
            for change in changes:
                print(f"{change.event}:", change.json()["book"])

        print("as version 1 has it:", shop.with_options(api_version="1").users.get(7))
        try:
            shop.orders.create(7, "Necronomicon", Decimal(1))
        except OutOfPrint as error:
            print("not to be had:", error)
        try:
            shop.with_options(api_key="stale").users.get(7)
        except AuthenticationError as error:
            print("refused:", error.status_code, error.detail)


async def awaited(api: BookshopApi) -> None:
    async with AsyncShop(api.url, api_key=api.key) as shop:
        print("user:", await shop.users.get(7))
        print("in all:", sum([order.total async for order in shop.orders.list(limit=2)]))
        print("placed:", (await shop.orders.create(1, "Notes", Decimal("9.90"))).id)


def main() -> None:
    with BookshopApi() as api, tempfile.TemporaryDirectory() as folder:
        blocking(api, Path(folder))
        anyio.run(awaited, api)
        if len(api.orders) != 7:
            sys.exit(f"bookshop_demo failed: {api.orders}")


if __name__ == "__main__":
    main()
