"""Streamed bodies over requests.

Holds the driver of the seam (``exchange``) for a ``ConnectionManager``: ``async def`` methods that
block and never suspend. Knows requests and urllib3; decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Iterator, Mapping, Optional, TypeVar

import requests
from urllib3.exceptions import ReadTimeoutError

from .. import _requests_errors
from .._requests_phases import phase_of
from ..exceptions import ConnectionManagerError
from ..outcome import Outcome, Phase
from .exchange import Stepped, check_fallback

if TYPE_CHECKING:
    from ..manager import ConnectionManager

T = TypeVar("T")

_MOST = 65536  # bytes that are read at a time where they are there


class RequestsExchange:
    """A response of requests whose body is still to be read."""

    def __init__(self, response: requests.Response) -> None:
        check_fallback(response)
        self.response = response
        self.request: Any = getattr(response, "request", None)
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url: str = response.url or ""
        self.was_read = bool(getattr(response, "_content_consumed", False))

    def chunks(self, size: Optional[int] = None, raw: bool = False) -> AsyncIterator[bytes]:
        """Return the body in pieces."""
        source: Any = self.response.raw
        if hasattr(source, "stream") and (size is None or raw):
            # iter_content() asks it for pieces, and translates its errors; the deadline of the
            # call watches over iter_content().
            source.__dict__["stream"] = _streamer(source, source.stream, size, not raw)
        return Stepped(self.response.iter_content(size))

    async def read(self) -> bytes:
        """Return the whole body."""
        try:
            return self.response.content
        finally:
            self.response.close()

    async def aclose(self) -> None:
        """Release the connection."""
        self.response.close()

    def wait_for_body(self, seconds: Optional[float]) -> None:
        """Change the timeout of the socket; doubles have none."""
        found: Any = self.response.raw
        for name in ("_fp", "fp", "raw", "_sock"):
            found = getattr(found, name, None)
        if found is not None:
            found.settimeout(seconds)

    def broken(self, error: Exception) -> bool:
        """Tell whether the network or the peer failed."""
        return phase_of(error) is Phase.SENT

    def failure(self, message: str, error: Optional[Exception] = None) -> ConnectionManagerError:
        """Return an error of the network, ours and requests' own."""
        if any(isinstance(one, ReadTimeoutError) for one in getattr(error, "args", ())):
            error = requests.ReadTimeout()  # within a body, requests makes no difference
        return _requests_errors.FLAVOURS.pick_broken(error)(
            message,
            request=self.request,
            response=self.response,
            attempts=getattr(self.response, "attempts", ()),
        )


class RequestsExchanger:
    """Opens exchanges through a ``ConnectionManager``."""

    suspends = False

    def __init__(self, manager: ConnectionManager) -> None:
        self.core = manager.core
        self._manager = manager

    async def open(self, method: str, url: Any, **options: Any) -> RequestsExchange:
        """Send a request, and leave the body to be read."""
        options["stream"] = True
        return RequestsExchange(self._manager.request(method, url, **options))

    def target(self, url: Any) -> str:
        """Return the URL as it is: a session has no base."""
        return url.decode("utf-8") if isinstance(url, bytes) else str(url)

    def phase(self, error: Exception) -> Optional[Phase]:
        """Tell how far a request had got."""
        return phase_of(error)

    def error(
        self, kind: Any, message: str, outcome: Optional[Outcome] = None, **details: Any
    ) -> ConnectionManagerError:
        """Return an error that is also requests' own."""
        error: ConnectionManagerError = _requests_errors.FLAVOURS.pick(kind, outcome)(
            message, **details
        )
        return error

    async def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        self.core.clock.sleep(seconds)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function here and now."""
        return function(*args)


def _streamer(
    source: Any, stream: Callable[..., Iterator[bytes]], size: Optional[int], decode: bool
) -> Callable[..., Iterator[bytes]]:
    def ours(amount: Optional[int] = None, decode_content: Optional[bool] = None) -> Any:
        if size is not None:
            return stream(size, decode_content=decode)
        if hasattr(source, "read1"):
            return iter(lambda: source.read1(_MOST, decode_content=decode), b"")
        # urllib3 before 2.1, and doubles: more than a byte would be waited for in full. What is
        # wanted raw is wanted in bulk, and can wait.
        return stream(1 if decode else _MOST, decode_content=decode)

    return ours


__all__ = ["RequestsExchange", "RequestsExchanger"]
