"""Server-sent events of a URL, with reconnecting.

Holds :class:`EventSource` and :class:`AsyncEventSource`: what an ``EventSource`` of a browser does,
on the clients of this package. Source: WHATWG HTML Living Standard, section 9.2. Knows the parser
and the seam, no HTTP library.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ..content import excerpt, text_of
from ..event_stream import MEDIA_TYPE, EventStreamParser, ServerSentEvent, is_event_stream
from ..exceptions import ConnectionManagerError, ValidationError
from ..policies.retry import is_off
from .exchange import Exchange, Exchanger
from .reader import AsyncStream, Stream, StreamReader, with_headers
from .resumption import Resumption, Terms, spent_by_sending

_RECONNECTION_TIME = 3.0  # seconds, unless the server says otherwise
_NO_CONTENT = 204
_LOOKED_AT = 4096  # bytes of a body that is none of events


class _EventReader(StreamReader[ServerSentEvent]):
    """What both worlds share: opening, reading, and opening again."""

    def __init__(
        self,
        exchanger: Exchanger,
        method: str,
        url: Any,
        options: Dict[str, Any],
        *,
        reconnect: bool,
        last_event_id: Optional[str],
        idle_timeout: Optional[float],
        max_event_bytes: int,
    ) -> None:
        if not isinstance(reconnect, bool):
            raise TypeError(f"reconnect must be True or False, not {reconnect!r}")
        wanted = {"Accept": MEDIA_TYPE, "Cache-Control": "no-store"}
        options = with_headers(options, wanted, {})
        super().__init__(exchanger, method, url, options, idle_timeout)
        self._parser = EventStreamParser(max_event_bytes, last_event_id=_text(last_event_id))
        self._failure: Optional[ConnectionManagerError] = None
        self._terms: Optional[Terms] = None
        if reconnect:
            self._prepare_reconnecting()

    @property
    def last_event_id(self) -> str:
        """The id of the last complete event that gave one; ``""``: none did.

        It is sent as ``Last-Event-ID`` when reconnecting; keep it to go on later.
        """
        return self._parser.last_event_id

    @property
    def retry(self) -> float:
        """The seconds to wait before reconnecting: the server's last word, at first 3."""
        told = self._parser.retry
        return _RECONNECTION_TIME if told is None else told

    # -- reading

    async def _fill(self) -> None:
        try:
            self._found.extend(await self._read())
        except ConnectionManagerError as error:
            terms = self._terms
            if terms is None or error is not self._failure:
                raise
            again = Resumption(terms, error, self._read_anew, lambda: self.retry)
            self._found.extend(await again.run())

    async def _read(self) -> List[ServerSentEvent]:
        """Return the events of the first piece that completes one; none: it is over."""
        while not self._over:
            exchange = self._exchange
            assert exchange is not None
            self._parser.feed(b"")  # raises what came after the events before
            chunk = await self._piece(exchange)
            if chunk is None:
                await self._ended(exchange)
            else:
                found = self._parser.feed(chunk)
                if found:
                    return found
        return []

    async def _piece(self, exchange: Exchange) -> Optional[bytes]:
        try:
            return await self._chunk()
        except Exception as error:
            if not exchange.broken(error):
                raise
            raise await self._broke_off(exchange, error) from error

    async def _ended(self, exchange: Exchange) -> None:
        """Take note that the body has ended, in an orderly way as far as HTTP is concerned."""
        failure = await self._broke_off(exchange, None)
        if self._parser.truncated or self._terms is not None:
            raise failure
        self._over = True

    async def _broke_off(
        self, exchange: Exchange, error: Optional[Exception]
    ) -> ConnectionManagerError:
        """Release the connection, and return the error for a stream that should have gone on."""
        self._parser.close()
        await self._leave()
        what = "ended" if error is None else "broke off"
        where = " in the middle of an event" if self._parser.truncated else ""
        self._failure = exchange.failure(f"{self._shown()}: the event stream {what}{where}", error)
        return self._failure

    # -- opening

    async def _open(self, **changes: Any) -> None:
        if self._terms is not None:
            self._terms.start()
        last = self._parser.last_event_id
        if last:
            own = with_headers(self._options, {}, {"Last-Event-ID": self._as_header(last)})
            changes["headers"] = own["headers"]
        await super()._open(**changes)

    def _as_header(self, last_event_id: str) -> Any:
        if not {"\v", "\f"}.isdisjoint(last_event_id):
            # Parsers of headers take them for white space, and refuse them or cut them off.
            raise ValidationError(
                f"{self._shown()}: the last event has the id {excerpt(last_event_id)}, which can't"
                " be sent as Last-Event-ID"
            )
        # In UTF-8, as the standard has it; headers of text are ASCII or Latin-1.
        text = last_event_id.strip(" \t")
        return text if text.isascii() and text.isprintable() else text.encode("utf-8")

    async def _check(self, exchange: Exchange) -> None:
        if exchange.status == _NO_CONTENT:
            self._over = True  # the way in which a server tells a client not to come back
        elif not is_event_stream(exchange.headers.get("Content-Type")):
            raise await self._no_events(exchange)

    async def _no_events(self, exchange: Exchange) -> ValidationError:
        kind = exchange.headers.get("Content-Type")
        body = text_of(await _beginning(exchange), kind)
        redact = self._exchanger.core.redact
        came = excerpt(kind) if kind else "no content type"
        text = f"{self._shown()}: expected {MEDIA_TYPE}, got {came} with status {exchange.status}"
        return ValidationError(
            redact(f"{text}; the body begins with {excerpt(redact(body))}" if body else text),
            body=body or None,
            request=exchange.request,
            response=exchange.response,
            attempts=getattr(exchange.response, "attempts", ()),
        )

    # -- reconnecting

    def _prepare_reconnecting(self) -> None:
        spent = spent_by_sending(self._options)
        if spent is not None:
            raise ValueError(
                f"reconnect=True sends the request again, which {spent}= can't be; give json=, "
                "or the body as bytes"
            )
        terms = Terms(self._exchanger, self._method, self._url, self._options)
        if not terms.resendable:
            raise ValueError(
                f"reconnect=True sends the request again, and {terms.method} is not among "
                "allowed_methods; name it there, or set idempotency_key_header"
            )
        if terms.key is not None:
            # The same at every opening, each of which is a call.
            self._options = with_headers(self._options, dict([terms.key]), {})
        if not is_off(terms.retry):
            self._terms = terms

    async def _read_anew(self) -> List[ServerSentEvent]:
        terms = self._terms
        assert terms is not None
        # The loop that counts is the one around this.
        await self._open(max_retries=0, **terms.time_left())
        return await self._read()


class EventSource(_EventReader, Stream[ServerSentEvent]):
    """Server-sent events, one at a time: an iterator and a context manager.

    What ``client.events(...)`` of a synchronous client returns. For one thread at a time.
    """


class AsyncEventSource(_EventReader, AsyncStream[ServerSentEvent]):
    """Server-sent events, one at a time: an asynchronous iterator and context manager.

    What ``client.events(...)`` of an asynchronous client returns. For one task at a time.
    """


async def _beginning(exchange: Exchange) -> bytes:
    """Return as much of a body as a message needs."""
    found = b""
    try:
        async for chunk in exchange.chunks():
            found += chunk
            if len(found) >= _LOOKED_AT:
                break
    except Exception as error:
        # The body is of no use in any case; mistakes of ours must show.
        if not exchange.broken(error):
            raise
    return found[:_LOOKED_AT]


def _text(last_event_id: Any) -> Any:
    return "" if last_event_id is None else last_event_id


__all__ = ["AsyncEventSource", "EventSource"]
