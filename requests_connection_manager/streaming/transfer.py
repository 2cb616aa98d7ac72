"""Bringing a file from a server, in as many pieces as it takes.

Holds :class:`Transfer`: what is asked for, what of the answers goes into the file, and when a
connection that broke is taken up again where it was. The attempts are counted by the pipeline (see
``resumption``). Knows no HTTP library, and not where the file will be.
"""

from __future__ import annotations

import zlib
from typing import Any, AsyncIterator, Dict, Iterable, Iterator, List, Optional, Tuple

from ..exceptions import ConnectionManagerError, HTTPError, ValidationError
from .content_range import content_length, is_encoded, is_gzip, parse_content_range
from .exchange import Exchange, Exchanger
from .gzip_members import Gunzip
from .partial_file import PartialFile
from .progress import Progress, ProgressCallback
from .reader import with_headers
from .resumption import Resumption, Terms, spent_by_sending
from .validators import contradicts, strong_validator
from .write_behind import WriteBehind

_OK, _PARTIAL, _NOT_MODIFIED = 200, 206, 304
_NO_CONTENT = (204, 205)
# Answers to a range that say that there is none: the file is another one now, or shorter.
_REFUSED_RANGE = (412, 416)
_TOLD_EVERY = 0.1  # seconds


class Transfer:
    """One file on its way into a :class:`PartialFile`. For one thread or task.

    :param options: for :meth:`Exchanger.open`; not changed.
    :param resumes: what broke off may be taken up where it was.
    :param chunk_size: bytes that are gathered before they are written.
    :param tell: is told of the progress.

    :ivar answer: the exchange that brought the last piece; closed.
    :ivar total: how many bytes there will be; ``None``: unknown.
    :ivar validator: names the version of what has come, if more of it can be had.
    :ivar resumed: how often it went on from where it was.
    """

    def __init__(
        self,
        exchanger: Exchanger,
        method: str,
        url: Any,
        options: Dict[str, Any],
        part: PartialFile,
        *,
        resumes: bool,
        chunk_size: int,
        tell: ProgressCallback,
    ) -> None:
        self._exchanger = exchanger
        self._terms = Terms(exchanger, method, url, options)
        self._method, self._url = method, url
        key = self._terms.key
        # The same at every opening, each of which is a call.
        self._options = options if key is None else with_headers(options, dict([key]), {})
        self._part = part
        # A range of anything but a GET has no meaning (RFC 9110 section 14.2).
        self._resumes = resumes and self._terms.method == "GET"
        self._chunk_size = chunk_size
        self._tell = tell
        self._asked = False
        self._until: Optional[int] = None
        self._encoded = False
        self._gunzip: Optional[Gunzip] = None
        self._writer = WriteBehind(part.write, exchanger.in_thread)
        self._attempt = self._furthest = 0
        self._failure: Optional[ConnectionManagerError] = None
        self._stopped: Optional[Exception] = None
        self.answer: Optional[Exchange] = None
        self.total: Optional[int] = None
        self.validator: Optional[str] = None
        self.resumed = 0

    def continue_from(self, validator: str, total: Optional[int]) -> None:
        """Begin with what the file already has, if it still is of this version."""
        self.validator, self.total = validator, total
        self._furthest = self._part.size

    @property
    def shown(self) -> str:
        """The request, for messages."""
        return f"{self._terms.method} {self._exchanger.core.shown(self._terms.url)}"

    # -- attempts

    async def run(self) -> bool:
        """Bring all of it; return whether there is a file, and not one that is unchanged (304)."""
        self._terms.start()
        # Until the head of an answer is there, the retries are those of any request.
        self._failure = await self._receive(await self._open())
        self._progressed()
        self._progressed()
        while self._failure is not None:
            if spent_by_sending(self._options) is not None:
                raise self._failure
            # One that brought more of the file is no failed attempt: the count begins anew.
            await Resumption(self._terms, self._failure, self._again, _at_once).run()
        if self._stopped is not None:
            raise self._stopped
        assert self.answer is not None
        return self.answer.status != _NOT_MODIFIED

    async def _again(self) -> bool:
        """Ask for what is missing, and return whether nothing is any more.

        :raises ConnectionManagerError: an attempt that brought no more of it.
        """
        # The loop that counts is the one around this.
        exchange = await self._open(max_retries=0)
        try:
            self._failure = await self._receive(exchange)
        except Exception as exc:
            # The disk's, or the callback's, whatever its class: not for the policy to judge.
            self._stopped, self._failure = exc, None
        if self._failure is not None and not self._progressed():
            raise self._failure
        return self._failure is None

    def _progressed(self) -> bool:
        """Tell whether the file is, and stays, longer than it has ever been."""
        size = self._part.size if self.validator is not None else 0
        before, self._furthest = self._furthest, max(size, self._furthest)
        return size > before

    # -- asking

    async def _open(self, **changes: Any) -> Exchange:
        """Ask for what is missing, or for all of it, when the part is of another version."""
        self._attempt += 1
        if self.validator is not None and self._part.size:
            exchange = await self._ask_for_the_rest(self.validator, changes)
            if exchange is not None:
                return exchange
        self._asked = False
        return await self._exchanger.open(
            self._method, self._url, **self._with_time({**self._options, **changes})
        )

    async def _ask_for_the_rest(self, validator: str, changes: Any) -> Optional[Exchange]:
        wanted = {"Range": f"bytes={self._part.size}-", "If-Range": validator}
        options = with_headers(self._with_time({**self._options, **changes}), {}, wanted)
        self._asked = True
        try:
            exchange = await self._exchanger.open(self._method, self._url, **options)
        except HTTPError as error:
            if error.status_code in _REFUSED_RANGE:
                return None
            raise
        if exchange.status != _PARTIAL or self._continues(exchange, validator):
            return exchange
        await exchange.aclose()
        return None

    def _with_time(self, options: Dict[str, Any]) -> Dict[str, Any]:
        return {**options, **self._terms.time_left()}

    def _continues(self, exchange: Exchange, validator: str) -> bool:
        """Tell whether a part begins where the file ends, and belongs to the same version."""
        headers = exchange.headers
        part, length = parse_content_range(headers.get("Content-Range")), content_length(headers)
        if part is None or part.first != self._part.size:
            return False
        if contradicts(headers, validator) or is_encoded(headers):
            return False
        if length is not None and length != part.length:
            return False
        # Nothing but the total tells whether a part is the last.
        known, told = self.total, part.total
        return (known or told) is not None and (known is None or told is None or known == told)

    # -- taking

    async def _receive(self, exchange: Exchange) -> Optional[ConnectionManagerError]:
        """Put a body into the file; return what went wrong with the network."""
        try:
            self.answer = exchange
            if exchange.status == _NOT_MODIFIED:
                return None
            if exchange.status == _PARTIAL and self._asked:
                self._begin_the_rest(exchange)
            else:
                await self._begin_anew(exchange)
            self._report()
            return await self._read(exchange)
        finally:
            await exchange.aclose()

    def _begin_the_rest(self, exchange: Exchange) -> None:
        part = parse_content_range(exchange.headers.get("Content-Range"))
        assert part is not None
        self._until = part.last + 1
        self.total = part.total if part.total is not None else self.total
        self.resumed += 1

    async def _begin_anew(self, exchange: Exchange) -> None:
        status, headers = exchange.status, exchange.headers
        if not 200 <= status < 300 or status in (*_NO_CONTENT, _PARTIAL):
            raise self._useless(exchange)
        if self._part.size:
            await self._exchanger.in_thread(self._part.restart)
        self._encoded = is_encoded(headers)
        self._gunzip = Gunzip() if is_gzip(headers) and not exchange.was_read else None
        # The length is that of what is sent, not of what it is decoded to.
        self.total = self._until = None if self._encoded else content_length(headers)
        self.validator = None
        refused = headers.get("Accept-Ranges", "").strip().lower() == "none"
        if self._resumes and status == _OK and not self._encoded and not refused:
            self.validator = strong_validator(headers)

    def _useless(self, exchange: Exchange) -> ValidationError:
        what = {
            _PARTIAL: "a part that was not asked for",
            **dict.fromkeys(_NO_CONTENT, "no content to save"),
        }.get(exchange.status, "no file")
        if 300 <= exchange.status < 400:
            what = "a redirect that is not followed"
        text = f"{self.shown}: status {exchange.status} brings {what}; nothing was saved"
        return self.invalid(text)

    def invalid(self, text: str) -> ValidationError:
        """Return the error for an answer that is not what it should be."""
        answer = self.answer
        return ValidationError(
            text,
            request=getattr(answer, "request", None),
            response=getattr(answer, "response", None),
            attempts=getattr(getattr(answer, "response", None), "attempts", ()),
        )

    async def _read(self, exchange: Exchange) -> Optional[ConnectionManagerError]:
        raw = not self._encoded or self._gunzip is not None
        chunks = exchange.chunks(None if raw else self._chunk_size, raw=raw)
        self._writer = WriteBehind(self._part.write, self._exchanger.in_thread)
        try:
            failure = await self._take(exchange, chunks)
            await self._written()
        finally:
            await self._writer.aclose()
        return failure or self._shortfall(exchange)

    async def _take(
        self, exchange: Exchange, chunks: AsyncIterator[bytes]
    ) -> Optional[ConnectionManagerError]:
        clock = self._exchanger.core.clock.monotonic
        gathered: List[bytes] = []
        size, written = 0, clock()
        while True:
            chunk, failure = await self._piece(exchange, chunks)
            for piece in self._plain(chunk):
                gathered.append(piece)
                size += len(piece)
                if size >= self._chunk_size or clock() - written >= _TOLD_EVERY:
                    await self._save(b"".join(gathered))
                    gathered.clear()
                    size, written = 0, clock()
            if not chunk:
                if gathered:
                    await self._save(b"".join(gathered))
                return failure

    def _plain(self, chunk: bytes) -> Iterable[bytes]:
        if not chunk:
            return ()
        return (chunk,) if self._gunzip is None else self._unpacked(self._gunzip, chunk)

    def _unpacked(self, gunzip: Gunzip, chunk: bytes) -> Iterator[bytes]:
        try:
            yield from gunzip.feed(chunk)
        except zlib.error as exc:
            text = f"{self.shown}: what came as gzip is none ({exc}); nothing was saved"
            raise self.invalid(text) from exc

    async def _piece(
        self, exchange: Exchange, chunks: AsyncIterator[bytes]
    ) -> Tuple[bytes, Optional[ConnectionManagerError]]:
        """Return the next bytes; none at the end, with what went wrong."""
        try:
            while True:
                chunk = await chunks.__anext__()
                if chunk:
                    return chunk, None
        except StopAsyncIteration:
            return b"", None
        except Exception as exc:
            if not exchange.broken(exc):
                raise
            failure = exchange.failure(f"{self.shown}: the download broke off", exc)
            failure.__cause__ = exc
            return b"", failure

    def _shortfall(self, exchange: Exchange) -> Optional[ConnectionManagerError]:
        size, total = self._part.size, self.total
        if self._gunzip is not None and not self._gunzip.complete:
            return exchange.failure(f"{self.shown}: the download ended in the middle of its gzip")
        if total is None or size >= total:
            return None
        return exchange.failure(f"{self.shown}: the download ended after {size} of {total} bytes")

    async def _save(self, data: bytes) -> None:
        await self._written()
        size = self._part.size + len(data)
        if self._until is not None and size > self._until:
            raise self.invalid(
                f"{self.shown}: {size} bytes came where {self._until} were promised; "
                "nothing was saved"
            )
        if self._exchanger.suspends and len(data) >= self._chunk_size:
            self._writer.begin(data)  # as much again may be there when it is written
        else:
            await self._exchanger.in_thread(self._part.write, data)
            self._report()

    async def _written(self) -> None:
        if await self._writer.finish():
            self._report()

    def _report(self) -> None:
        self._tell(Progress(self._part.size, self.total, self.resumed, self._attempt))


def _at_once() -> float:
    """Demand no delay but the policy's."""
    return 0.0


__all__ = ["Transfer"]
