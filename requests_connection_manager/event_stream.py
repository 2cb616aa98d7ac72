"""Server-sent events, fed in any chunks, to the rules that browsers follow.

Holds :class:`EventStreamParser` and :class:`ServerSentEvent`; does no I/O and knows no HTTP
library, so sync and async clients feed it alike. Source: WHATWG HTML Living Standard, section 9.2
"Server-sent events", in particular 9.2.5 (parsing) and 9.2.6 (interpretation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Optional

from ._line_parser import LineParser, check_chunk
from .content import excerpt
from .defaults import DEFAULT_MAX_BYTES
from .json_lines import read_json

MEDIA_TYPE = "text/event-stream"

# Timers of 32 bits hold no more. In milliseconds: 24.8 days.
_MAX_RETRY = 2**31 - 1
_MAX_DIGITS = len(str(_MAX_RETRY))


@dataclass(frozen=True, repr=False)
class ServerSentEvent:
    r"""One event of a stream. Immutable; its ``repr`` is cut and hides secrets.

    :param event: its type; ``"message"`` when the server names none.
    :param data: its text; several ``data`` lines are joined by ``"\n"``.
    :param id: the last event id at this point of the stream, of this event or of one before it;
        ``""`` when there is none.
    :param retry: milliseconds to wait before reconnecting, when this very event says so.

    >>> ServerSentEvent(data='{"token": "abc"}').data
    '{"token": "abc"}'
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: Optional[int] = None

    def json(self) -> Any:
        """Return the data, parsed as JSON.

        :raises ValidationError: if it is none; its message holds an excerpt without secrets.

        >>> ServerSentEvent(data='{"delta": "Hi"}').json()
        {'delta': 'Hi'}
        >>> ServerSentEvent(data="[DONE]").json()
        Traceback (most recent call last):
        ...
        requests_connection_manager.exceptions.ValidationError: the data of the event is no JSON: \
Expecting value (char 1); it begins with '[DONE]'
        """
        return read_json(self.data, "the data of the event")

    def __repr__(self) -> str:
        event, data, identifier = map(excerpt, (self.event, self.data, self.id))
        return f"ServerSentEvent(event={event}, data={data}, id={identifier}, retry={self.retry})"


class EventStreamParser(LineParser[ServerSentEvent]):
    r"""Parses event streams (``text/event-stream``).

    Lines end in LF, CR or CRLF, and an event ends with a blank line: it is there as soon as the
    first byte of that line's end is. The text is always UTF-8, whatever a charset says; what is
    none becomes U+FFFD; one leading byte order mark is skipped. Comments and unknown fields are
    ignored, an event without data is none.

    Feed it what comes, in any cut, and :meth:`close` it when the stream has ended, in whatever
    way. Then it takes the next stream: a client that reconnects keeps its parser, and with it
    :attr:`last_event_id` and :attr:`retry`. One parser is for one stream at a time, and for one
    thread or task.

    :param max_event_bytes: the longest line, and the longest event (its data lines with the line
        under way), in bytes without line ends; 16 MiB by default. It bounds the memory that a
        server can take by never ending either. Comments that keep a connection alive don't add up.
    :param last_event_id: where an earlier stream had come to.

    :ivar last_event_id: the id that the last complete event left, to be sent as ``Last-Event-ID``
        (in UTF-8) when reconnecting, unless it is ``""``. It holds no CR, LF or NUL.
    :ivar retry: seconds to wait before reconnecting as the server last said, up to 24.8 days, or
        ``None``. It counts at once, also in an event that does not get complete.
    :ivar truncated: whether the stream that was closed last ended in the middle of an event. What
        there was of this event is discarded, as the standard demands.

    :raises TypeError: if ``max_event_bytes`` is no ``int`` or ``last_event_id`` no ``str``.
    :raises ValueError: if ``max_event_bytes`` is below 1, or if ``last_event_id`` holds a CR, LF or
        NUL, which no server can have sent.

    >>> parser = EventStreamParser()
    >>> parser.feed(b"id: 7\r\ndata: first\r\ndata: sec")
    []
    >>> parser.feed(b"ond\r\n\r\n: alive\n\nevent: bye\ndata")
    [ServerSentEvent(event='message', data='first\nsecond', id='7', retry=None)]
    >>> parser.close()
    >>> parser.truncated, parser.last_event_id
    (True, '7')
    """

    def __init__(
        self, max_event_bytes: int = DEFAULT_MAX_BYTES, *, last_event_id: str = ""
    ) -> None:
        self.last_event_id = _checked_id(last_event_id)
        self.retry: Optional[float] = None
        self.truncated = False
        super().__init__(max_event_bytes, "max_event_bytes")

    def feed(self, chunk: bytes) -> List[ServerSentEvent]:
        r"""Return the events that this chunk completes.

        :param chunk: the next bytes, after content encodings such as gzip; may be empty.

        :raises ValidationError: if a line or an event is longer than ``max_event_bytes``. Events
            before it are not lost: then this call returns them and the next one raises
            (``feed(b"")`` will do). Once raised, it is raised by every further ``feed``. No
            other content is an error.
        :raises TypeError: if ``chunk`` is no bytes.

        >>> EventStreamParser().feed(b"retry: 3000\ndata: hi\n\n")[0].retry
        3000
        """
        self.truncated = False
        return self._take(self._with_plain_ends(check_chunk(chunk)))

    def close(self) -> None:
        r"""End the stream: :attr:`truncated` then tells whether that was within an event.

        :raises ValidationError: if an error was still to be raised.

        >>> parser = EventStreamParser()
        >>> parser.feed(b"data: 1\n")  # no blank line
        []
        >>> parser.close()
        >>> parser.truncated
        True
        """
        within = self._in_event or self._failure is not None
        self.truncated = within
        last_line = self._end()
        self.truncated = within or _is_field(last_line)

    def _restart(self) -> None:
        super()._restart()
        self._after_cr = False
        self._id = self.last_event_id
        self._next_event()

    def _next_event(self) -> None:
        self._held = 0
        self._in_event = False
        self._event = ""
        self._data: List[str] = []
        self._event_retry: Optional[int] = None

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        """Return the chunk with LF for CR and CRLF, also for a CRLF that was cut in two."""
        if not chunk:
            return chunk
        rest = chunk[1:] if self._after_cr and chunk.startswith(b"\n") else chunk
        self._after_cr = chunk.endswith(b"\r")
        return rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _line(self, line: bytes, found: List[ServerSentEvent]) -> None:
        if not line:
            self._dispatch(found)
        elif _is_field(line):
            self._in_event = True
            # Line ends are no part of any character: decoding by lines is decoding the whole.
            name, _, value = line.decode("utf-8", "replace").partition(":")
            self._field(name, value[1:] if value.startswith(" ") else value, len(line))

    def _field(self, name: str, value: str, size: int) -> None:
        if name == "data":
            self._data.append(value)
            self._held += size
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._event_retry = _milliseconds(value)
            self.retry = self._event_retry / 1000

    def _dispatch(self, found: List[ServerSentEvent]) -> None:
        self.last_event_id = self._id  # also by an event without data
        if self._data:
            event, data = self._event or "message", "\n".join(self._data)
            found.append(ServerSentEvent(event, data, self._id, self._event_retry))
        self._next_event()

    def _too_long(self) -> str:
        return f"an event is longer than {self._max_bytes} bytes, which max_event_bytes allows"


def is_event_stream(content_type: Optional[str]) -> bool:
    """Return whether a body is an event stream, by the header ``Content-Type``.

    Parameters don't matter: the charset is always UTF-8.

    >>> is_event_stream("Text/Event-Stream; charset=utf-8"), is_event_stream("text/html")
    (True, False)
    """
    media = (content_type or "").split(",")[0].split(";")[0]
    return media.strip().lower() == MEDIA_TYPE


def _is_field(line: bytes) -> bool:
    return bool(line) and not line.startswith(b":")


def _milliseconds(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    # Python reads no number of thousands of digits.
    return _MAX_RETRY if len(digits) > _MAX_DIGITS else min(int(digits), _MAX_RETRY)


def _checked_id(last_event_id: Any) -> str:
    if not isinstance(last_event_id, str):
        raise TypeError(f"last_event_id must be a str, not {type(last_event_id).__name__}")
    if not {"\r", "\n", "\0"}.isdisjoint(last_event_id):
        raise ValueError("last_event_id must not hold a CR, LF or NUL")
    return last_event_id


__all__ = ["MEDIA_TYPE", "EventStreamParser", "ServerSentEvent", "is_event_stream"]
