"""Values out of a body, one at a time, in either world.

Holds :class:`StreamReader`, the coroutines that open, read and close, and the two ways to step
through them: :class:`Stream` and :class:`AsyncStream`. Knows neither an HTTP library nor what the
values are.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Deque,
    Dict,
    Generic,
    List,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

from .._sync import run_sync
from ..policies._checks import check_number
from ..settings import TOKEN, UNSET
from .exchange import Exchange, Exchanger

T = TypeVar("T")
S = TypeVar("S", bound="StreamReader[Any]")


class StreamReader(Generic[T]):
    """Opens an exchange at first use, and reads its body into values.

    :param exchanger: of the client whose call it is.
    :param options: for :meth:`Exchanger.open`; not changed.
    :param idle_timeout: seconds to wait for the next bytes of the body, ``None``: for ever,
        ``UNSET``: as the client waits.
    """

    def __init__(
        self,
        exchanger: Exchanger,
        method: str,
        url: Any,
        options: Dict[str, Any],
        idle_timeout: Optional[float],
    ) -> None:
        self._exchanger = exchanger
        self._method = checked_method(method)
        self._url = url
        self._options = dict(options)
        if idle_timeout is not UNSET and idle_timeout is not None:
            check_number(idle_timeout, "idle_timeout")
        self._idle_timeout = idle_timeout
        self._exchange: Optional[Exchange] = None
        self._chunks: Optional[AsyncIterator[bytes]] = None
        self._found: Deque[Any] = deque()
        self._response: Any = None
        self._over = False

    @property
    def response(self) -> Any:
        """The response whose body is read, the library's; ``None`` before it is there.

        Its status and headers are of use, its body is taken.
        """
        return self._response

    # -- what the kinds of streams fill in

    async def _fill(self) -> None:
        """Read until there is a value in ``_found``, or until ``_over``."""
        raise NotImplementedError

    def _value(self, found: Any) -> T:
        """Return what the caller gets of something found."""
        value: T = found
        return value

    # -- what they are made of

    async def _start(self) -> None:
        """Open the first exchange, once."""
        if self._exchange is None and not self._over:
            try:
                await self._open()
            except BaseException:
                await self._finish()
                raise

    async def _next(self) -> T:
        await self._start()
        try:
            while not self._found and not self._over:
                await self._fill()
            if self._found:
                return self._value(self._found.popleft())
        except BaseException:
            # Also when the task is cancelled: a half-read connection serves nobody.
            await self._finish()
            raise
        await self._finish()
        raise StopAsyncIteration

    async def _finish(self) -> None:
        """End it for good."""
        self._over = True
        self._found.clear()
        await self._leave()

    async def _open(self, **changes: Any) -> None:
        options = {**self._options, **changes}
        # What is no success is no stream; and it says best what it is.
        options["raise_for_status"] = True
        exchange = await self._exchanger.open(self._method, self._url, **options)
        self._exchange, self._response = exchange, exchange.response
        try:
            await self._check(exchange)
        except BaseException:
            await self._leave()
            raise
        if self._idle_timeout is not UNSET:
            exchange.wait_for_body(self._idle_timeout)
        self._chunks = exchange.chunks()

    async def _check(self, exchange: Exchange) -> None:
        """Refuse an exchange whose body is of another kind."""

    async def _leave(self) -> None:
        """Close the exchange under way."""
        exchange, self._exchange, self._chunks = self._exchange, None, None
        if exchange is not None:
            await exchange.aclose()

    async def _chunk(self) -> Optional[bytes]:
        """Return the next piece of the body; ``None``: it has ended."""
        assert self._chunks is not None
        try:
            return await self._chunks.__anext__()
        except StopAsyncIteration:
            return None

    def _shown(self) -> str:
        """Return the request for messages."""
        return f"{self._method} {self._exchanger.core.shown(self._exchanger.target(self._url))}"


class Stream(StreamReader[T]):
    """An iterator over a body, and a context manager that closes it."""

    def __iter__(self: S) -> S:
        return self

    def __next__(self) -> T:
        try:
            return run_sync(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self: S) -> S:
        run_sync(self._start())
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream and release its connection; nothing more comes. May be called again."""
        run_sync(self._finish())

    def __del__(self) -> None:
        # Whoever breaks off a loop and drops it keeps no connection.
        if getattr(self, "_exchange", None) is not None:
            with suppress(Exception):
                self.close()


class AsyncStream(StreamReader[T]):
    """An asynchronous iterator over a body, and a context manager that closes it."""

    def __aiter__(self: S) -> S:
        return self

    async def __anext__(self) -> T:
        return await self._next()

    async def __aenter__(self: S) -> S:
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream and release its connection; nothing more comes. May be called again."""
        await self._finish()


def with_headers(
    options: Dict[str, Any], defaults: Dict[str, str], fixed: Dict[str, Any]
) -> Dict[str, Any]:
    """Return options with headers added.

    :param defaults: those that the caller may give otherwise.
    :param fixed: those that replace the caller's.
    """
    given = options.get("headers")
    pairs: List[Tuple[Any, Any]] = list(
        given.items() if isinstance(given, Mapping) else given or ()
    )
    pairs = [pair for pair in pairs if _lower(pair[0]) not in {name.lower() for name in fixed}]
    present = {_lower(name) for name, _ in pairs}
    added = {name: value for name, value in defaults.items() if name.lower() not in present}
    pairs.extend({**added, **fixed}.items())
    # Pairs stay pairs: a name may be there twice.
    headers: Any = pairs if isinstance(given, (list, tuple)) else dict(pairs)
    return {**options, "headers": headers}


def _lower(name: Any) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()


def checked_method(method: Any) -> str:
    """Return the name of an HTTP method.

    :raises TypeError: if it is no ``str``.
    :raises ValueError: if no method can be called so.
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be a str, not {type(method).__name__}")
    if not TOKEN.match(method):
        raise ValueError(f"method must be the name of an HTTP method, not {method!r}")
    return method


__all__ = ["AsyncStream", "Stream", "StreamReader", "checked_method", "with_headers"]
