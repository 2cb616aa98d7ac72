"""A response body that ends in an error, not in a truncation, when its deadline strikes.

Holds :func:`guard_body`. Shutting the socket looks like the end of the body to whoever reads it,
so the file that requests and urllib3 read from is wrapped: what returns after the deadline is an
error. Knows http.client's response, and requests' by its ``iter_content``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterator

from .admission import deadline_exceeded
from .exceptions import DeadlineExceeded

if TYPE_CHECKING:
    import requests

    from ._sync import RequestsHop


class _GuardedFile:
    """The buffered socket file of a response, which refuses to answer after the deadline."""

    def __init__(self, file: Any, hop: RequestsHop) -> None:
        self._file = file
        # Functions, not methods that call one: a fast body has 80,000 reads a second.
        self.read, self.read1 = _checked(file.read, hop), _checked(file.read1, hop)
        self.readinto, self.readline = _checked(file.readinto, hop), _checked(file.readline, hop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _checked(read: Callable[..., Any], hop: RequestsHop) -> Callable[..., Any]:
    late = hop.late

    def checked(*args: Any) -> Any:
        try:
            result = read(*args)
        except OSError:
            # A peer that goes on sending resets the socket that the deadline has shut.
            if not late():
                raise
        else:
            if not late():
                return result
        # Not requests' flavour: that is an OSError, which urllib3 would take for a
        # broken connection. iter_content below translates.
        raise DeadlineExceeded("the deadline struck while the body was read")

    return checked


def guard_body(response: requests.Response, hop: RequestsHop) -> None:
    """Watch over the body of ``response`` until it is read or closed."""
    original: Any = getattr(response.raw, "_fp", None)
    file = getattr(original, "fp", None)
    if file is not None:
        hop.read_from(getattr(getattr(file, "raw", None), "_sock", None))
        original.fp = _GuardedFile(file, hop)
    iter_content, close = response.iter_content, response.close

    def guarded_iter_content(*args: Any, **kwargs: Any) -> Iterator[Any]:
        chunks = iter_content(*args, **kwargs)

        def generate() -> Iterator[Any]:
            # A reader that breaks off stays under the deadline until the response is closed.
            try:
                yield from chunks
            except Exception as exc:
                hop.disarm()
                if isinstance(exc, DeadlineExceeded) or hop.late():
                    raise deadline_exceeded(hop) from exc
                raise
            hop.disarm()

        return generate()

    def guarded_close() -> None:
        hop.disarm()
        close()

    response.__dict__["iter_content"] = guarded_iter_content
    response.__dict__["close"] = guarded_close
