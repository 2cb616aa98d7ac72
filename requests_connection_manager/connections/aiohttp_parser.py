"""aiohttp's parser of responses, less strict about what comes after one.

Holds :class:`LenientParser`. Imports nothing of aiohttp's: it stands before a parser that it is
given. Knows no connection and no time.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple

Fed = Tuple[Any, bool, bytes]


class LenientParser:
    """A parser that gives out every response that is whole, and every head.

    aiohttp's throws all that arrived together with something malformed away: the answer to a
    ``HEAD`` that has a body nevertheless, a body that is longer than announced, a response whose
    first chunk is broken. To h11 these are a response, or one with a broken body.

    :param anew: makes a parser of aiohttp's. The first one is made at once.
    :param longest: to how many bytes what comes before a body may grow; aiohttp bounds each line
        of it only.
    :param spoil: called when nothing more can be read after a response that was given out.
    """

    def __init__(self, anew: Callable[[], Any], longest: int, spoil: Callable[[], None]) -> None:
        self._anew = anew
        self._longest = longest
        self._spoil = spoil
        self._parser = anew()
        # What has arrived, until the head of a response is out.
        self._before: Optional[List[bytes]] = []
        self._payload: Any = None
        self._finished = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def finish(self) -> None:
        """Take nothing any more: it would be read as the answer to the next request."""
        self._finished = True

    def feed_data(self, data: bytes) -> Fed:
        """Take what arrived; return the messages, whether they end HTTP, and what is left."""
        if self._finished and data:
            raise ValueError("a response that nobody asked for")  # aiohttp closes the connection
        before = self._before
        try:
            fed: Fed = self._parser.feed_data(data)
        except Exception as exc:
            if before is None:
                self._give_up_body(exc)
                raise
            return self._piece_by_piece(b"".join(before) + data, exc)
        if before is not None:
            before.append(data)
            if not self._take_out(fed[0]) and sum(map(len, before)) > self._longest:
                raise ValueError("a head without an end")
        return fed

    def _take_out(self, messages: Any) -> bool:
        for message, payload in messages:
            if message.code >= 200 or message.code == 101:
                self._before, self._payload = None, payload
        return self._before is None

    def _piece_by_piece(self, data: bytes, error: Exception) -> Fed:
        """Find out what there is before the place where the parser stumbled."""
        self._parser = self._anew()
        found: List[Any] = []
        for index in range(len(data)):
            try:
                messages, upgraded, _ = self._parser.feed_data(data[index : index + 1])
            except Exception:
                break
            found.extend(messages)
            if upgraded:
                break
        if not self._take_out(found):
            raise error
        self._spoil()
        self._give_up_body(error)
        return found, False, b""

    def _give_up_body(self, error: Exception) -> None:
        """Tell the reader of a body that there will be no more, which aiohttp does not."""
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(error)


__all__ = ["LenientParser"]
