"""Streamed bodies over httpx, sync and async.

Holds the drivers of the seam (``exchange``) for an ``httpx.Client`` and an ``httpx.AsyncClient``
with a ``core``. They use the public ``stream()`` of the client. Know httpx through ``transport``
only, and anyio; decide nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, AsyncIterator, Callable, Mapping, Optional, TypeVar

from .. import _httpx_errors
from .._httpx_hop import phase_of
from ..core import Core
from ..exceptions import ConnectionManagerError
from ..outcome import Outcome, Phase
from ..transport import hx
from .exchange import Stepped, check_fallback

T = TypeVar("T")

_BUFFERED = 64  # pieces that may be there without waiting


class _Exchange:
    """What a response of httpx is in both worlds.

    :param context: the client's context manager, already entered.
    """

    def __init__(self, context: Any, response: hx.Response) -> None:
        check_fallback(response)
        self.response = response
        self.request: Any = _request_of(response)
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = "" if self.request is None else str(self.request.url)
        self.was_read = response.is_stream_consumed
        self._context = context
        self._open = True

    def wait_for_body(self, seconds: Optional[float]) -> None:
        """Change the timeout that httpcore reads when the body is begun."""
        timeout = getattr(self.request, "extensions", {}).get("timeout")
        if isinstance(timeout, dict):
            timeout["read"] = seconds

    def broken(self, error: Exception) -> bool:
        """Tell whether the network or the peer failed."""
        return not isinstance(error, ConnectionManagerError) and phase_of(error) is Phase.SENT

    def failure(self, message: str, error: Optional[Exception] = None) -> ConnectionManagerError:
        """Return an error of the network, ours and httpx' own."""
        return _httpx_errors.build(
            _httpx_errors.FLAVOURS.pick_broken(error),
            message,
            self.request,
            response=self.response,
            attempts=getattr(self.response, "attempts", ()),
        )


def _request_of(response: hx.Response) -> Any:
    try:
        return response.request
    except RuntimeError:  # of a fallback, which nobody sent a request for
        return None


class HttpxExchange(_Exchange):
    """A response of a sync client."""

    def chunks(self, size: Optional[int] = None, raw: bool = False) -> AsyncIterator[bytes]:
        """Return the body in pieces."""
        as_it_is = raw and not self.was_read
        read = self.response.iter_raw if as_it_is else self.response.iter_bytes
        return Stepped(read(size))

    async def read(self) -> bytes:
        """Return the whole body."""
        try:
            return self.response.read()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Release the connection."""
        if self._open:
            self._open = False
            self._context.__exit__(None, None, None)


class AsyncHttpxExchange(_Exchange):
    """A response of an async client."""

    _chunks: Any = None

    def chunks(self, size: Optional[int] = None, raw: bool = False) -> AsyncIterator[bytes]:
        """Return the body in pieces."""
        as_it_is = raw and not self.was_read
        self._chunks = (self.response.aiter_raw if as_it_is else self.response.aiter_bytes)(size)
        chunks: AsyncIterator[bytes] = self._chunks
        return chunks

    async def read(self) -> bytes:
        """Return the whole body."""
        try:
            return await self.response.aread()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Release the connection, also in a task that is being cancelled."""
        if self._open:
            import anyio

            self._open = False
            with anyio.CancelScope(shield=True):
                if self._chunks is not None:
                    await _break_off(self._chunks)
                await self._context.__aexit__(None, None, None)


async def _break_off(chunks: Any) -> None:
    """End a generator of httpx that was not read to its end, with all that it has inside.

    They are nested, and closing the outermost leaves those within to the garbage collector: trio
    warns of them, and asyncio finishes them some time later. A cancelled read ends them all.
    """
    import anyio

    with anyio.CancelScope() as scope:
        scope.cancel()
        with suppress(Exception):
            for _ in range(_BUFFERED):
                await chunks.__anext__()
    await chunks.aclose()


class _Exchanger:
    """What a client of httpx is in both worlds."""

    def __init__(self, client: Any) -> None:
        self.core: Core = client.core
        self._client = client

    def target(self, url: Any) -> str:
        """Return the URL, joined with the base URL of the client."""
        return str(self._client.build_request("GET", url).url)

    def phase(self, error: Exception) -> Optional[Phase]:
        """Tell how far a request had got."""
        return phase_of(error)

    def error(
        self, kind: Any, message: str, outcome: Optional[Outcome] = None, **details: Any
    ) -> ConnectionManagerError:
        """Return an error that is also httpx' own."""
        cls = _httpx_errors.FLAVOURS.pick(kind, outcome)
        return _httpx_errors.build(cls, message, details.pop("request", None), **details)


class HttpxExchanger(_Exchanger):
    """Opens exchanges through a sync client: an ``httpx.Client`` with a ``core``."""

    suspends = False

    async def open(self, method: str, url: Any, **options: Any) -> HttpxExchange:
        """Send a request, and leave the body to be read."""
        options.setdefault("follow_redirects", True)
        context = self._client.stream(method, url, **options)
        return HttpxExchange(context, context.__enter__())

    async def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        self.core.clock.sleep(seconds)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function here and now."""
        return function(*args)


class AsyncHttpxExchanger(_Exchanger):
    """Opens exchanges through an async client: an ``httpx.AsyncClient`` with a ``core``."""

    suspends = True

    async def open(self, method: str, url: Any, **options: Any) -> AsyncHttpxExchange:
        """Send a request, and leave the body to be read."""
        options.setdefault("follow_redirects", True)
        context = self._client.stream(method, url, **options)
        return AsyncHttpxExchange(context, await context.__aenter__())

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        await self.core.clock.asleep(seconds)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function on a worker thread, to its end also in a task that is being cancelled."""
        import anyio.to_thread

        with anyio.CancelScope(shield=True):
            result: T = await anyio.to_thread.run_sync(function, *args)
        return result


__all__ = ["AsyncHttpxExchange", "AsyncHttpxExchanger", "HttpxExchange", "HttpxExchanger"]
