"""Operations of an API, described once for a client that blocks and for one that is awaited.

Holds what a vendor's resources are made of: :class:`Resource` and the decorators
:class:`operation` and :class:`listing`, and :class:`event_stream`. Knows nothing of the bookshop.

A description is ordinary asynchronous code. The asynchronous client awaits it; for the blocking
one, whose requests never suspend, it runs from start to end without an event loop.
"""

from __future__ import annotations

import sys
from collections import deque
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Callable,
    Coroutine,
    Deque,
    Generic,
    Iterator,
    Optional,
    Protocol,
    Sequence,
    Set,
    Type,
    TypeVar,
    Union,
    overload,
)

from requests_connection_manager import ValidationError
from requests_connection_manager.rest import AsyncClient, Client

if sys.version_info >= (3, 10):
    from typing import Concatenate, ParamSpec
else:
    from typing_extensions import Concatenate, ParamSpec

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from typing_extensions import Unpack

    from requests_connection_manager.rest import RequestOptions
    from requests_connection_manager.streaming import AsyncEventSource, Download, EventSource

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
P = ParamSpec("P")
K = TypeVar("K", Client, AsyncClient)
"""The kind of client: it decides what an operation returns."""


class Api(Generic[K]):
    """What the two clients of an API have in common; the clients themselves inherit from it."""


class Resource(Generic[K]):
    """A part of an API.

    :param api: the client that sends, of one kind or the other.
    """

    def __init__(self, api: Api[K]) -> None:
        self._client: Any = api

    @overload
    async def send(
        self, method: str, url: str, *, model: Type[M], **options: Unpack[RequestOptions]
    ) -> M: ...
    @overload
    async def send(
        self, method: str, url: str, **options: Unpack[RequestOptions]
    ) -> httpx.Response: ...
    async def send(self, method: str, url: str, **options: Any) -> Any:
        """Send a request; see ``Client.request``."""
        return await self._answer(self._client.request(method, url, **options))

    async def save(self, url: str, path: Union[str, Path], **options: Any) -> Download:
        """Download to a file; see ``Client.download``."""
        saved: Download = await self._answer(self._client.download(url, path, **options))
        return saved

    async def _answer(self, answer: Any) -> Any:
        return await answer if isinstance(self._client, AsyncClient) else answer


class operation(Generic[P, M]):  # used as a decorator
    """Makes a method that blocks, or one to be awaited, of a coroutine function."""

    def __init__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, M]]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, resource: None, owner: Any) -> operation[P, M]: ...
    @overload
    def __get__(self, resource: Resource[Client], owner: Any) -> Callable[P, M]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncClient], owner: Any
    ) -> Callable[P, Coroutine[Any, Any, M]]: ...
    def __get__(self, resource: Optional[Resource[Any]], owner: Any) -> Any:
        if resource is None:
            return self
        bound: Any = self._function.__get__(resource)
        if isinstance(resource._client, AsyncClient):
            return bound
        return lambda *args, **kwargs: run(bound(*args, **kwargs))


def run(coroutine: Coroutine[Any, Any, M]) -> M:
    """Run a coroutine that never suspends, without an event loop.

    >>> async def answer() -> int: return 42
    >>> run(answer())
    42
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: M = stop.value
        return result
    coroutine.close()
    raise RuntimeError("only requests of its own client may be awaited in an operation")


# -- listings


class Page(Protocol[M_co]):
    """What a listing needs to know of a page."""

    @property
    def items(self) -> Sequence[M_co]: ...
    @property
    def next_cursor(self) -> Optional[str]: ...  # None: this is the last one


class _Items(Generic[M]):
    """What is on all pages; each is fetched when its first item is wanted."""

    def __init__(self, fetch: Callable[[Optional[str]], Coroutine[Any, Any, Page[M]]]) -> None:
        self._fetch = fetch
        self._here: Deque[M] = deque()
        self._cursor: Optional[str] = None
        self._seen: Set[Optional[str]] = set()

    async def _next(self) -> M:
        while not self._here:
            if self._seen and self._cursor is None:
                raise StopAsyncIteration
            if self._cursor in self._seen:
                raise ValidationError("the pages don't end: a cursor has come a second time")
            page = await self._fetch(self._cursor)
            self._seen.add(self._cursor)
            self._here.extend(page.items)
            self._cursor = page.next_cursor
        return self._here.popleft()


class Items(_Items[M], Iterator[M]):
    """An iterator; for one thread."""

    def __next__(self) -> M:
        try:
            return run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None


class AsyncItems(_Items[M], AsyncIterator[M]):
    """An asynchronous iterator; for one task."""

    async def __anext__(self) -> M:
        return await self._next()


class listing(Generic[P, M]):  # used as a decorator
    """Makes a method that returns an iterator of a function that returns one page.

    The function gets a cursor, which the method does not have: ``None`` for the first page, then
    what the page before said.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Any, Optional[str], P], Coroutine[Any, Any, Page[M]]],
    ) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, resource: None, owner: Any) -> listing[P, M]: ...
    @overload
    def __get__(self, resource: Resource[Client], owner: Any) -> Callable[P, Items[M]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncClient], owner: Any
    ) -> Callable[P, AsyncItems[M]]: ...
    def __get__(self, resource: Optional[Resource[Any]], owner: Any) -> Any:
        if resource is None:
            return self
        bound: Any = self._function.__get__(resource)
        kind: Any = AsyncItems if isinstance(resource._client, AsyncClient) else Items
        return lambda *args, **kwargs: kind(lambda cursor: bound(cursor, *args, **kwargs))


# -- events


class event_stream:  # used like the decorators
    """Makes a method that returns the server-sent events of a URL; see ``Client.events``.

    :param options: of ``events``; those of the call go before them.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._url = url
        self._options = options

    @overload
    def __get__(self, resource: None, owner: Any) -> event_stream: ...
    @overload
    def __get__(self, resource: Resource[Client], owner: Any) -> Callable[..., EventSource]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncClient], owner: Any
    ) -> Callable[..., AsyncEventSource]: ...
    def __get__(self, resource: Optional[Resource[Any]], owner: Any) -> Any:
        if resource is None:
            return self
        return partial(resource._client.events, self._url, **self._options)
