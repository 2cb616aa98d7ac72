"""A response whose body is still to be read, the same for every HTTP library and both worlds.

Holds the seam between what is done with a body (events, JSON lines, downloads) and the library that
brings it: :class:`Exchange` and :class:`Exchanger`. On the sync side their ``async def`` methods
block and never suspend, and :class:`Stepped` makes an asynchronous iterator of a plain one. Knows
no HTTP library.
"""

from __future__ import annotations

from typing import (
    Any,
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Optional,
    Protocol,
    Type,
    TypeVar,
)

from ..core import Core
from ..exceptions import ConnectionManagerError
from ..outcome import Outcome, Phase

T = TypeVar("T")


class Exchange(Protocol):
    """A response whose body is still to be read.

    :ivar status: its status.
    :ivar headers: its headers, looked up without regard to case.
    :ivar url: the URL of the final hop.
    :ivar request: the library's request of that hop.
    :ivar response: the library's response.
    :ivar was_read: its body is in memory already, decoded: that of a double, or of one that a hook
        has read.
    """

    was_read: bool
    status: int
    headers: Mapping[str, str]
    url: str
    request: Any
    response: Any

    def chunks(self, size: Optional[int] = None, raw: bool = False) -> AsyncIterator[bytes]:
        """Return the body in pieces; it can be read once.

        :param size: of a piece, in bytes; the last one may be shorter. ``None``: pieces as they
            come, each as soon as it is there.
        :param raw: as on the wire, without content decoding such as gzip, unless it ``was_read``.
        """

    async def read(self) -> bytes:
        """Return the whole body, or what of it is left, decoded; the exchange is closed then."""

    async def aclose(self) -> None:
        """Release the connection; what was not read is lost. May be called more than once."""

    def wait_for_body(self, seconds: Optional[float]) -> None:
        """From now on, wait at most this long for the next bytes; ``None``: for ever.

        To be called before the first piece is read. The timeouts of the request are meant for the
        head of the response; the deadline of the call stands in any case.
        """

    def broken(self, error: Exception) -> bool:
        """Tell whether the network or the peer failed while the body was read.

        ``False`` for errors of our own, such as ``DeadlineExceeded``, and for mistakes.
        """

    def failure(self, message: str, error: Optional[Exception] = None) -> ConnectionManagerError:
        """Return an error of the network, ours and the library's own, for a body that broke off.

        :param error: what :meth:`broken` told to be one: the new error is of its class too.
            ``None``: the body ended too early without one.
        """


class Exchanger(Protocol):
    """What opens exchanges, waits and works with files, for one client.

    :ivar core: its settings, clock and events.
    :ivar suspends: others run while it waits; what blocks is better done on a thread.
    """

    core: Core
    suspends: bool

    async def open(self, method: str, url: Any, **options: Any) -> Exchange:
        """Send a request through everything that the client adds, and leave the body to be read.

        :param options: those of the client's own ``request()`` or ``stream()``. Redirects are
            followed unless they say otherwise.
        """

    def target(self, url: Any) -> str:
        """Return the whole URL to which the client would send a request for ``url``."""

    def phase(self, error: Exception) -> Optional[Phase]:
        """Tell from the library's error how far a request had got; ``None``: not about sending."""

    def error(
        self,
        kind: Type[ConnectionManagerError],
        message: str,
        outcome: Optional[Outcome] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        """Return an error that is also the library's own, for this outcome."""

    async def sleep(self, seconds: float) -> None:
        """Wait, on the clock of the client."""

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function that blocks; on the sync side here and now."""


class Stepped:
    """An asynchronous iterator that never suspends, over a plain one.

    It is no asynchronous generator: of those, one that is dropped half-read is finished by the
    event loop that happens to run, if there is one, and later.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Stepped:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None


def check_fallback(response: Any) -> None:
    """Refuse what an error hook gave in the place of a response, if it has no body to read.

    :raises TypeError: naming its type.

    >>> check_fallback({"cached": True})
    Traceback (most recent call last):
    TypeError: an error hook gave a dict in the place of a response, whose body is to be read; \
give a response as its fallback_response
    """
    if not hasattr(response, "status_code") or not hasattr(response, "headers"):
        raise TypeError(
            f"an error hook gave a {type(response).__name__} in the place of a response, whose"
            " body is to be read; give a response as its fallback_response"
        )


__all__ = ["Exchange", "Exchanger", "Stepped", "check_fallback"]
