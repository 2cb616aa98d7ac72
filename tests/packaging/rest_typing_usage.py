"""The REST clients as a user writes them; checked by mypy and pyright, both strict, never run.

A line with ``# type: ignore[...]  # pyright: ignore[...]`` is a mistake of a user's: the checkers
complain of a comment that nothing needs, so each of these lines shows that they find the mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, AsyncIterator, Dict, Iterator, List, Optional, TypedDict

import httpx
import pydantic
from bookshop import AsyncShop, Order, Shop, User
from typing_extensions import Unpack, assert_type

from requests_connection_manager import (
    AttemptFinished,
    Event,
    HTTPError,
    RequestContext,
    ServerSentEvent,
    ValidationError,
)
from requests_connection_manager.rest import (
    AsyncClient,
    Client,
    ClientOptions,
    HeaderVersion,
    JsonSerializer,
    MediaTypeVersion,
    OrjsonSerializer,
    PathVersion,
    QueryVersion,
    RequestOptions,
    Serializer,
    UploadProgress,
    VersionChange,
    Versioning,
)
from requests_connection_manager.streaming import (
    AsyncEventSource,
    AsyncJsonLines,
    Download,
    EventSource,
    JsonLines,
    Progress,
)
from requests_connection_manager.testing import VirtualClock


class Item(pydantic.BaseModel):
    id: int
    name: str


@dataclass
class Point:
    x: int
    y: int


class Row(TypedDict):
    id: int


def takes_a_client(client: httpx.Client) -> None: ...


def takes_an_async_client(client: httpx.AsyncClient) -> None: ...


# -- making clients


def clients() -> None:
    client = Client(
        base_url="https://api.example.com/v1",
        api_key="k",
        headers={"Accept-Language": "en"},
        params={"tenant": 7},
        timeout=(3.05, 30),
        max_retries=5,
        status_forcelist={429, 503},
        total_timeout=30,
        ok_statuses={404},
        verify="ca.pem",
        cert=("client.pem", "client.key"),
        user_agent="shop/1.0",
        versioning=PathVersion(),
        api_version="2",
        api_versions=("1", "2"),
        serializer=OrjsonSerializer(),
        idempotency_key_header="Idempotency-Key",
        clock=VirtualClock(),
        transport=httpx.MockTransport(lambda request: httpx.Response(204)),
    )
    takes_a_client(client)
    takes_an_async_client(AsyncClient(httpx.URL("https://api.example.com"), http2=True))
    assert_type(client.with_options(max_retries=0, timeout=5, bearer_token="t"), Client)
    assert_type(client.serializer, Serializer)
    assert_type(Client.from_env("ACME"), Client)
    assert_type(AsyncClient.from_env("ACME", max_retries=0), AsyncClient)
    with client as same:
        assert_type(same, Client)


def mistakes(client: Client, shop: Shop) -> None:
    Client()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client("https://api.example.com", max_retires=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client("https://api.example.com", api_key=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get("/x", max_retires=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    client.get("/x", total_timeout="5")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    client.post("/x", upload_progress=7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    client.head("/x", max_retires=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.with_options(pool_maxsize=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    shop.users.get("7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shop.users.list(size=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# -- calls


def calls(client: Client, options: RequestOptions) -> None:
    assert_type(client.get("/x"), httpx.Response)
    assert_type(client.get("/x", params={"page": 1}, max_retries=0), httpx.Response)
    assert_type(client.get(httpx.URL("/x"), **options), httpx.Response)
    assert_type(client.post("/x", json=Point(1, 2), headers={"A": "b"}), httpx.Response)
    assert_type(client.put("/x", data={"a": "b"}), httpx.Response)
    assert_type(client.patch("/x", content=b"x", auth=None), httpx.Response)
    assert_type(client.delete("/x", ok_statuses={404}), httpx.Response)
    assert_type(client.head("/x"), httpx.Response)
    assert_type(client.options("/x"), httpx.Response)
    assert_type(client.request("PURGE", "/x", bearer_token="t"), httpx.Response)
    assert_type(client.get("/x", api_key="k", basic_auth=("u", "p")), httpx.Response)


def models(client: Client) -> None:
    assert_type(client.get("/x", model=Item), Item)
    assert_type(client.get("/x", model=Point, max_retries=0), Point)
    assert_type(client.get("/x", model=Row), Row)
    assert_type(client.get("/x", model=int), int)
    assert_type(client.get("/x", model=List[Item]), List[Item])
    assert_type(client.get("/x", model=Dict[str, Item]), Dict[str, Item])
    assert_type(client.get("/x", model=List[Item], response_key="items"), List[Item])
    assert_type(client.get("/x", response_key="items"), Any)
    assert_type(client.post("/x", json={}, model=Item), Item)
    assert_type(client.put("/x", json={}, model=Item), Item)
    assert_type(client.patch("/x", json={}, model=Item), Item)
    assert_type(client.delete("/x", model=Item), Item)
    assert_type(client.request("GET", "/x", model=Item), Item)


def special_forms(client: Client) -> None:
    # Type checkers can't say yet what Optional[Item] is when it is an argument (PEP 747).
    found: Optional[Item] = client.get("/x", model=Optional[Item])
    print(found)


async def async_calls(client: AsyncClient) -> None:
    assert_type(await client.get("/x"), httpx.Response)
    assert_type(await client.post("/x", json={"a": 1}, total_timeout=5), httpx.Response)
    assert_type(await client.put("/x", files={"file": Path("a.csv")}), httpx.Response)
    assert_type(await client.patch("/x"), httpx.Response)
    assert_type(await client.delete("/x"), httpx.Response)
    assert_type(await client.head("/x"), httpx.Response)
    assert_type(await client.options("/x"), httpx.Response)
    assert_type(await client.get("/x", model=Item), Item)
    assert_type(await client.get("/x", model=List[Item], response_key="items"), List[Item])
    assert_type(await client.get("/x", response_key="items"), Any)
    assert_type(await client.request("GET", "/x", model=Dict[str, int]), Dict[str, int])
    found: Optional[Item] = await client.get("/x", model=Optional[Item])
    print(found)
    await client.get("/x", max_retires=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.head("/x", max_retires=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(client.with_options(max_retries=0), AsyncClient)
    async with client as same:
        assert_type(same, AsyncClient)


# -- streams


def streams(client: Client) -> None:
    with client.stream("GET", "/x", timeout=5) as response:
        assert_type(response, httpx.Response)
        assert_type(response.iter_bytes(8192), Iterator[bytes])
    with client.events("/events", reconnect=True) as events:
        assert_type(events, EventSource)
        for event in events:
            assert_type(event, ServerSentEvent)
            assert_type(event.json(), Any)
    assert_type(client.json_lines("/rows"), JsonLines[Any])
    assert_type(client.json_lines("/rows", model=Item), JsonLines[Item])
    for item in client.json_lines("/rows", model=Item):
        assert_type(item, Item)
    client.post("/x", content=Path("big.iso"), upload_progress=show)
    assert_type(client.download("/x", Path("x"), progress=tell, resume="keep"), Download)


async def async_streams(client: AsyncClient) -> None:
    async with client.stream("GET", "/x") as response:
        assert_type(response, httpx.Response)
        assert_type(response.aiter_lines(), AsyncIterator[str])
    async with client.events("/events") as events:
        assert_type(events, AsyncEventSource)
        async for event in events:
            assert_type(event, ServerSentEvent)
    async for item in client.json_lines("/rows", model=Item):
        assert_type(item, Item)
    assert_type(client.json_lines("/rows"), AsyncJsonLines[Any])
    assert_type(await client.download("/x", "x", checksum="sha256:00"), Download)


def tell(progress: Progress) -> None:
    assert_type(progress.received, int)


def show(progress: UploadProgress) -> None:
    assert_type(progress.fraction, Optional[float])


# -- hooks, listeners, errors


def middleware(client: Client) -> None:
    def before(context: RequestContext) -> None:
        context.kwargs["headers"] = {"X-Request-ID": "7"}

    def listener(event: Event) -> None:
        if isinstance(event, AttemptFinished):
            print(event.status, event.elapsed)

    client.register_pre_request_hook(before)
    client.add_listener(listener, AttemptFinished)
    assert_type(client.get_stats(), Dict[str, Any])
    try:
        client.get("/x")
    except HTTPError as error:
        assert_type(error.status_code, Optional[int])
        assert_type(error.detail, Optional[str])
        assert_type(error.request_id, Optional[str])
        assert_type(error.retry_after, Optional[float])
    except ValidationError as error:
        print(error.path)


# -- serializers and versions of one's own


class Compact:
    content_type = "application/json"

    def dumps(self, obj: Any) -> bytes:
        return b"{}"

    def loads(self, content: bytes) -> Any:
        return {}


class ByDate:
    def change(self, date: str) -> VersionChange:
        return VersionChange(headers={"X-Date": date})


def plugged_in() -> None:
    serializers: List[Serializer] = [Compact(), JsonSerializer(), OrjsonSerializer()]
    versionings: List[Versioning] = [
        ByDate(),
        HeaderVersion("X-Version"),
        QueryVersion("v"),
        PathVersion("v{version}"),
        MediaTypeVersion("application/vnd.acme.v{version}+json"),
    ]
    client = Client("https://api.example.com", serializer=serializers[0], versioning=versionings[0])
    client.get("/x", api_version="2024-01")


# -- subclasses


class Acme(Client):
    def __init__(self, account: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__("https://api.acme.example", **options)
        self.account = account

    def item(self, number: int) -> Item:
        return self.get(f"/items/{number}", model=Item)


def subclass() -> None:
    with Acme("main", bearer_token="t", max_retries=1) as acme:
        assert_type(acme, Acme)
        assert_type(acme.item(7), Item)
        assert_type(acme.with_options(max_retries=0), Acme)
        assert_type(acme.with_options(max_retries=0).account, str)


def resources(shop: Shop) -> None:
    assert_type(shop.users.get(7), User)
    for order in shop.orders.list(limit=10):
        assert_type(order, Order)
        assert_type(order.placed, datetime)
    assert_type(shop.orders.changes(), EventSource)
    assert_type(shop.orders.save_invoice("o-1", "invoice.pdf", progress=tell), Download)
    assert_type(shop.with_options(api_version="1"), Shop)
    assert_type(Shop.from_env("BOOKSHOP"), Shop)


async def async_resources(shop: AsyncShop) -> None:
    assert_type(await shop.users.get(7), User)
    async for order in shop.orders.list(limit=10):
        assert_type(order, Order)
    assert_type(shop.orders.changes(), AsyncEventSource)
    assert_type(shop.with_options(api_version="1"), AsyncShop)
