"""The tests of ``examples/bookshop``: each operation is described once, and tested in three worlds.

``World.call`` makes a call of the blocking client, or of the awaited one on asyncio and on trio; so
each test is written once too. A real server on a loopback port stands in for the vendor.
"""

from __future__ import annotations

import doctest
import gc
import hashlib
import importlib
import inspect
import subprocess
import sys
from contextlib import ExitStack
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Iterator, List

import anyio.from_thread
import pytest

from requests_connection_manager import (
    AuthenticationError,
    HTTPError,
    MaxRetriesExceeded,
    ValidationError,
)
from requests_connection_manager.rest import AsyncClient, Client
from requests_connection_manager.testing import Received, VirtualClock, reply, truncate

pytest.importorskip("pydantic")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from bookshop import AsyncShop, Order, OutOfPrint, Picture, Shop, User  # noqa: E402  # found through the path above
from bookshop.api import NAMES, BookshopApi  # noqa: E402
from bookshop.client import Orders, Users  # noqa: E402
from bookshop.operations import run  # noqa: E402


class World:
    """Where a shop lives: it blocks, or it is awaited on asyncio or trio."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        self.blocks = name == "sync"
        self._stack = stack
        if not self.blocks:
            self._portal = stack.enter_context(anyio.from_thread.start_blocking_portal(name))

    def shop(self, url: str, **options: Any) -> Any:
        shop = (Shop if self.blocks else AsyncShop)(url, **options)
        self._stack.callback(self.call, shop.close if self.blocks else shop.aclose)
        return shop

    def call(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what an operation returns."""
        if self.blocks:
            return operation(*args, **kwargs)

        async def wait() -> Any:
            return await operation(*args, **kwargs)

        return self._portal.call(wait)

    def collect(self, items: Any, count: int = sys.maxsize) -> List[Any]:
        """Return the items of an iterator, or the first of them."""
        if self.blocks:
            return [item for _, item in zip(range(count), items)]
        return self._portal.call(self._collect, items, count)

    async def _collect(self, items: Any, count: int) -> List[Any]:
        found = []
        while len(found) < count:
            try:
                found.append(await items.__anext__())
            except StopAsyncIteration:
                break
        return found

    def read_events(self, events: Any) -> List[Any]:
        """Return all events of a stream, and close it."""
        if self.blocks:
            with events:
                return list(events)
        return self._portal.call(self._read_events, events)

    async def _read_events(self, events: Any) -> List[Any]:
        async with events:
            return [event async for event in events]


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: Any) -> Iterator[World]:
    if request.param == "trio":
        pytest.importorskip("trio")
    with ExitStack() as stack:
        yield World(request.param, stack)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def api() -> Iterator[BookshopApi]:
    with BookshopApi() as running:
        yield running
        assert running.server.errors == ()


@pytest.fixture
def connect(world: World, api: BookshopApi, clock: VirtualClock) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        settings = {"api_key": api.key, "clock": clock, "backoff_jitter": 0, **options}
        return world.shop(api.url, **settings)

    return make


@pytest.fixture
def shop(connect: Callable[..., Any]) -> Any:
    return connect()


def last(api: BookshopApi) -> Received:
    return api.server.requests[-1]


# -- the operations


def test_a_user(world: World, shop: Any, api: BookshopApi) -> None:
    assert world.call(shop.users.get, 7) == User(7, "Tony", "tony@shop.example")
    assert (last(api).method, last(api).path) == ("GET", "/users/7")
    assert last(api).headers["x-api-key"] == api.key
    assert last(api).headers["user-agent"].startswith("bookshop/1.0 requests-connection-manager/")


def test_all_users_page_by_page(world: World, shop: Any, api: BookshopApi) -> None:
    users = world.collect(shop.users.list(limit=3))
    assert [user.name for user in users] == list(NAMES)
    assert [one.query for one in api.server.requests] == [
        "limit=3",
        "cursor=3&limit=3",
        "cursor=6&limit=3",
    ]


def test_a_page_is_fetched_when_it_is_wanted(world: World, shop: Any, api: BookshopApi) -> None:
    users = shop.users.list(limit=3)
    assert api.server.count() == 0
    assert [user.id for user in world.collect(users, 3)] == [1, 2, 3]
    assert api.server.count() == 1
    assert [user.id for user in world.collect(users)] == [4, 5, 6, 7]
    assert world.collect(users) == []  # and it stays so
    assert api.server.count() == 3


def test_an_iterator_that_is_dropped_is_no_trouble(world: World, shop: Any) -> None:
    users = shop.users.list(limit=3)
    world.collect(users, 1)
    del users
    gc.collect()  # an unfinished asynchronous generator would be warned of here


def test_empty_pages_are_passed_over(world: World, shop: Any, api: BookshopApi) -> None:
    empty = reply(200, json={"items": [], "next_cursor": "2"})
    api.server.route("/users", empty, api.answer)
    assert [user.id for user in world.collect(shop.users.list())] == [3, 4, 5, 6, 7]
    api.server.route("/users", reply(200, json={"items": []}))
    assert world.collect(shop.users.list()) == []


def test_pages_that_go_round_in_circles_end(world: World, shop: Any, api: BookshopApi) -> None:
    page = {"items": [{"id": 1, "name": "Ada"}], "next_cursor": "again"}
    api.server.route("/users", reply(200, json=page))
    users = shop.users.list()
    assert len(world.collect(users, 2)) == 2
    with pytest.raises(ValidationError, match="second time"):
        world.collect(users)
    assert api.server.count() == 2


def test_a_page_that_fails_is_asked_for_again(
    world: World, connect: Callable[..., Any], api: BookshopApi
) -> None:
    api.server.route("/users", api.answer, reply(500), api.answer)
    users = connect(max_retries=0).users.list(limit=4)
    assert len(world.collect(users, 4)) == 4
    with pytest.raises(HTTPError):
        world.collect(users)
    assert [user.id for user in world.collect(users)] == [5, 6, 7]


def test_an_order(world: World, shop: Any) -> None:
    placed = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
    order = Order("o-2", 2, "Volume 2", Decimal("2.5"), placed)
    assert world.call(shop.orders.get, "o-2") == order


def test_orders(world: World, shop: Any) -> None:
    assert sum(order.total for order in world.collect(shop.orders.list(limit=2))) == Decimal("17.5")


def test_an_order_is_placed_once(
    world: World, shop: Any, api: BookshopApi, clock: VirtualClock
) -> None:
    def lost(received: Received) -> Any:
        api.answer(received)
        return truncate(status=201)

    api.server.route("/orders", lost, reply(503), api.answer)
    order = world.call(shop.orders.create, 3, "Notes", Decimal("9.90"))
    assert (order.id, order.total) == ("o-6", Decimal("9.90"))
    assert len(api.orders) == 6
    assert api.server.count("/orders") == 3
    assert len({one.headers["idempotency-key"] for one in api.server.requests}) == 1
    assert len(clock.sleeps) == 2
    assert last(api).json() == {"user_id": 3, "book": "Notes", "total": "9.90"}


CONTENT = bytes(range(256)) * 1024


def test_a_picture_is_sent_from_its_file(
    world: World, shop: Any, api: BookshopApi, tmp_path: Path
) -> None:
    (tmp_path / "picture.png").write_bytes(CONTENT)
    seen: List[Any] = []
    sent = world.call(shop.users.set_picture, 7, tmp_path / "picture.png", progress=seen.append)
    assert sent == Picture(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (seen[0].sent, seen[-1].sent, seen[-1].total) == (0, len(CONTENT), len(CONTENT))
    assert len(seen) > 2
    assert world.call(shop.users.set_picture, 7, b"abc").size == 3


def test_an_invoice_is_saved(world: World, shop: Any, api: BookshopApi, tmp_path: Path) -> None:
    seen: List[Any] = []
    path = tmp_path / "invoice.pdf"
    saved = world.call(shop.orders.save_invoice, "o-1", path, progress=seen.append)
    assert path.read_bytes() == api.invoice
    assert (saved.size, saved.etag) == (len(api.invoice), '"invoice"')
    assert seen[-1].received == len(api.invoice)


def test_an_invoice_that_is_refused_leaves_no_file(
    world: World, shop: Any, api: BookshopApi, tmp_path: Path
) -> None:
    api.server.route("/orders/o-1/invoice", reply(404))
    with pytest.raises(HTTPError):
        world.call(shop.orders.save_invoice, "o-1", tmp_path / "invoice.pdf")
    assert list(tmp_path.iterdir()) == []


def test_changes(world: World, shop: Any) -> None:
    events = world.read_events(shop.orders.changes(last_event_id="3"))
    assert [(event.event, event.id, event.json()["id"]) for event in events] == [
        ("placed", "4", "o-4"),
        ("placed", "5", "o-5"),
    ]
    assert world.read_events(shop.orders.changes(last_event_id="5")) == []


# -- errors


def test_the_errors_of_a_vendor(world: World, shop: Any) -> None:
    with pytest.raises(OutOfPrint, match="the Necronomicon is out of print") as caught:
        world.call(shop.orders.create, 1, "Necronomicon", Decimal(1))
    assert isinstance(caught.value.__cause__, HTTPError)
    assert caught.value.__cause__.status_code == 409


def test_other_errors_stay_what_they_are(
    world: World, connect: Callable[..., Any], api: BookshopApi, clock: VirtualClock
) -> None:
    with pytest.raises(AuthenticationError) as refused:
        world.call(connect(api_key="stale").users.get, 7)
    assert refused.value.detail == "the key is not known"
    assert "stale" not in str(refused.value)
    api.server.route("/orders", reply(422))
    with pytest.raises(HTTPError) as caught:
        world.call(connect().orders.create, 1, "Notes", Decimal(1))
    assert caught.value.status_code == 422
    assert clock.sleeps == ()


def test_retries_end(world: World, connect: Callable[..., Any], api: BookshopApi) -> None:
    api.server.route("/users/7", reply(503))
    with pytest.raises(MaxRetriesExceeded):
        world.call(connect(max_retries=2).users.get, 7)
    assert api.server.count() == 3


def test_an_answer_of_another_form(world: World, shop: Any, api: BookshopApi) -> None:
    api.server.route("/users/7", reply(200, json={"id": "seven", "name": "Tony"}))
    with pytest.raises(ValidationError) as caught:
        world.call(shop.users.get, 7)
    assert caught.value.path == ("id",)


# -- versions, siblings, configuration


def test_versions_side_by_side(world: World, shop: Any, api: BookshopApi) -> None:
    old = shop.with_options(api_version="1")
    assert type(old) is type(shop)
    assert world.call(old.users.get, 7) == User(7, "Tony", None)
    assert last(api).headers["bookshop-version"] == "1"
    assert world.call(shop.users.get, 7).email == "tony@shop.example"
    assert last(api).headers["bookshop-version"] == "2"
    assert api.server.connections == 1
    with pytest.raises(ValueError, match="unknown api_version '3'"):
        shop.with_options(api_version="3")


def test_from_env(world: World, api: BookshopApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKSHOP_BASE_URL", api.url)
    monkeypatch.setenv("BOOKSHOP_API_KEY", api.key)
    kind: Any = Shop if world.blocks else AsyncShop
    shop = kind.from_env("BOOKSHOP")
    assert type(shop) is kind
    assert world.call(shop.users.get, 1).name == "Ada"
    world.call(shop.close if world.blocks else shop.aclose)


def test_it_is_a_client_as_well(world: World, shop: Any) -> None:
    assert isinstance(shop, Client if world.blocks else AsyncClient)
    assert world.call(shop.get, "/users/1", response_key="name") == "Ada"


# -- what the operations are made of


class Suspends:
    def __await__(self) -> Iterator[None]:
        yield


def test_an_operation_may_await_its_client_only() -> None:
    async def describe() -> None:
        await Suspends()

    with pytest.raises(RuntimeError, match="requests of its own client"):
        run(describe())


@pytest.mark.parametrize("described", [Users.get, Users.list, Orders.create, Orders.save_invoice])
def test_a_description_is_documented(described: Any) -> None:
    assert inspect.getdoc(described)


@pytest.mark.parametrize("name", ["api", "operations"])
def test_docstrings_tell_the_truth(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"bookshop.{name}"))
    assert results.attempted
    assert not results.failed


def test_the_demo_runs() -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "bookshop_demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "sent again, placed once: o-6" in done.stdout
    assert BookshopApi.key not in done.stdout
