"""What the clients can do with a body while it comes: the methods, with their types.

Holds :class:`Streaming` and :class:`AsyncStreaming`, which the clients inherit from. Light: what
the methods need is loaded when they are first called, so that it costs nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Type, TypeVar, Union, overload

from ..defaults import DEFAULT_MAX_BYTES
from ..settings import UNSET

if TYPE_CHECKING:
    import os

    from ._download import Download
    from .event_source import AsyncEventSource, EventSource
    from .exchange import Exchanger
    from .json_stream import AsyncJsonLines, JsonLines
    from .progress import ProgressCallback

M = TypeVar("M")

_CHUNK_SIZE = 1 << 18


class Streaming:
    """Streams for a synchronous client."""

    def _exchanger(self) -> Exchanger:
        """Return what opens streams of this client."""
        raise NotImplementedError

    def events(
        self,
        url: Any,
        *,
        method: str = "GET",
        reconnect: bool = False,
        last_event_id: Optional[str] = None,
        idle_timeout: Optional[float] = None,
        max_event_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> EventSource:
        r"""Return the server-sent events of a URL, one at a time as they come.

        The result is an iterator and a context manager; ``close()`` ends it. ``last_event_id``,
        ``retry`` (seconds) and ``response`` are its state. The request is sent when the ``with``
        or the loop begins, through everything that the client adds: credentials, retries, rate
        limit, circuit breaker, hooks. It says ``Accept: text/event-stream`` and ``Cache-Control:
        no-store`` unless ``headers`` say otherwise, and redirects are followed. The rules are
        those of WHATWG HTML, section 9.2: an event that is not ended by a blank line is none, and
        204 means that there is nothing to come.

        Without ``reconnect`` the loop ends when the server ends the body after a complete event,
        and raises when the body breaks off or ends within one.

        With it, the request is sent again whenever the body ends, however it does, with
        ``Last-Event-ID``, until the server answers 204. Before that it waits as long as the
        server's last ``retry`` says, at first 3 s, or longer if the delays of the retry policy
        are. At most ``max_retries`` attempts in a row bring no event: each event begins the count
        anew. So only a method among ``allowed_methods`` can be reconnected, or one with an
        idempotency key, and ``max_retries=0`` means none. Errors that are not worth a retry,
        such as a 404, end it at once.

        :param url: as for ``request()``.
        :param method: the HTTP method; a body goes into ``json=`` and the like.
        :param reconnect: whether to open the stream again when it has ended.
        :param last_event_id: where an earlier stream had come to; sent as ``Last-Event-ID``.
        :param idle_timeout: seconds without a single byte after which the stream counts as
            broken; ``None`` waits for ever, as events may be rare. Set it to a little more than
            the interval of the server's keep-alive comments to notice a peer that has vanished.
            For connecting and for the head of the response the timeouts of the client hold.
        :param max_event_bytes: the longest event, in bytes; 16 MiB by default.
        :param options: those of ``request()``, settings of this call among them. A
            ``total_timeout`` is for all of it, reconnecting included.

        :returns: the events, :class:`~requests_connection_manager.ServerSentEvent` each.
        :raises TypeError: for a parameter of the wrong type, naming it.
        :raises ValueError: for a value out of range, or ``reconnect`` of what can't be sent twice.

        While it is read, or when the ``with`` begins:

        :raises HTTPError: the status is an error.
        :raises ValidationError: the answer is no event stream, with an excerpt; or an event is
            longer than ``max_event_bytes``.
        :raises ConnectionError: the stream broke off, or ended within an event; also the
            library's own error.
        :raises TimeoutError: nothing came for ``idle_timeout``; also the library's own error.
        :raises MaxRetriesExceeded: reconnecting did not help; also the library's own error.
        :raises DeadlineExceeded: ``total_timeout`` is over.

        The result is for one thread at a time; a client gives any number of them. One that is
        neither read to its end nor closed keeps its connection until it is dropped.

        >>> from requests_connection_manager import ConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> body = "data: one\n\nid: 7\ndata: two\n\n"
        >>> kind = {"Content-Type": "text/event-stream"}
        >>> with FaultServer() as server, ConnectionManager() as manager:
        ...     server.route("/", reply(200, body=body, headers=kind))
        ...     with manager.events(server.url("/")) as events:
        ...         for event in events:
        ...             print(event.data, repr(event.id))
        one ''
        two '7'
        """
        from .event_source import EventSource

        return EventSource(
            self._exchanger(),
            method,
            url,
            options,
            reconnect=reconnect,
            last_event_id=last_event_id,
            idle_timeout=idle_timeout,
            max_event_bytes=max_event_bytes,
        )

    @overload
    def json_lines(
        self,
        url: Any,
        *,
        model: None = None,
        method: str = "GET",
        idle_timeout: Optional[float] = ...,
        max_line_bytes: int = ...,
        **options: Any,
    ) -> JsonLines[Any]: ...
    @overload
    def json_lines(
        self,
        url: Any,
        *,
        model: Type[M],
        method: str = "GET",
        idle_timeout: Optional[float] = ...,
        max_line_bytes: int = ...,
        **options: Any,
    ) -> JsonLines[M]: ...
    @overload
    def json_lines(
        self,
        url: Any,
        *,
        model: Any,
        method: str = "GET",
        idle_timeout: Optional[float] = ...,
        max_line_bytes: int = ...,
        **options: Any,
    ) -> JsonLines[Any]: ...
    def json_lines(
        self,
        url: Any,
        *,
        model: Any = None,
        method: str = "GET",
        idle_timeout: Optional[float] = UNSET,
        max_line_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> JsonLines[Any]:
        r"""Return the values of a body of JSON lines (JSONL, NDJSON), one at a time as they come.

        The result is an iterator and a context manager; ``close()`` ends it, ``response`` is the
        response. The request is sent when the ``with`` or the loop begins, through everything
        that the client adds. Only a line at a time is kept in memory. Source: https://jsonlines.org.

        :param url: as for ``request()``.
        :param model: what each value is to be: a pydantic model, a dataclass, a ``TypedDict``,
            ``List[int]``, …; extra ``pydantic``. ``None``: what the JSON says.
        :param method: the HTTP method; a body goes into ``json=`` and the like.
        :param idle_timeout: seconds to wait for the next bytes of the body; ``None`` waits for
            ever; by default it is the read timeout of the client.
        :param max_line_bytes: the longest line, in bytes; 16 MiB by default.
        :param options: those of ``request()``, settings of this call among them.

        :returns: the values, or instances of ``model``.
        :raises TypeError: for a parameter of the wrong type, or a model that is none.
        :raises ValueError: for a value out of range, naming the parameter.

        While it is read, or when the ``with`` begins:

        :raises HTTPError: the status is an error.
        :raises ValidationError: a line is no JSON, not UTF-8, longer than ``max_line_bytes`` or not
            of the model, with its number (from 1, blank lines count) and no secrets. A body that
            ends within a line is among them: the message says that it may have been cut off.
        :raises ConnectionError: the body broke off; also the library's own error.
        :raises TimeoutError: nothing came for ``idle_timeout``; also the library's own error.
        :raises DeadlineExceeded: ``total_timeout`` is over.

        The result is for one thread at a time; a client gives any number of them.

        >>> from requests_connection_manager import ConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> with FaultServer() as server, ConnectionManager() as manager:
        ...     server.route("/", reply(200, body='{"id": 1}\n{"id": 2}\n'))
        ...     [value["id"] for value in manager.json_lines(server.url("/"))]
        [1, 2]
        """
        from .json_stream import JsonLines

        return JsonLines(
            self._exchanger(),
            method,
            url,
            options,
            model=model,
            idle_timeout=idle_timeout,
            max_line_bytes=max_line_bytes,
        )

    def download(
        self,
        url: Any,
        path: Union[str, os.PathLike[str]],
        *,
        method: str = "GET",
        progress: Union[ProgressCallback, bool, None] = None,
        checksum: Optional[str] = None,
        resume: Union[bool, str] = True,
        overwrite: bool = True,
        chunk_size: int = _CHUNK_SIZE,
        **options: Any,
    ) -> Download:
        r"""Save what a URL brings as a file: all of it, or nothing under that name.

        The bytes go to a hidden temporary file in the folder of ``path``, a piece at a time. When
        all are there and on disk (``fsync``), it takes the final name in one step; until then,
        whatever is under that name stays as it is. The new file has the permissions that ``open()``
        would give it, or those of the file that it replaces; a symbolic link is followed.

        The request goes through everything that the client adds, redirects are followed, and it
        asks for the file as it is (``Accept-Encoding: identity``); what comes encoded all the same
        is decoded, and can't be resumed. The length that the server names must be what comes, and
        gzip must have its end.

        When the connection breaks, the rest is asked for with ``Range`` and ``If-Range``, after the
        delays and for as many attempts as the retry policy of the URL has; an attempt that
        brought more of the file begins the count anew. That takes a ``GET`` and a strong
        validator: an ``ETag`` that is not weak, or a ``Last-Modified`` at least a minute before
        ``Date`` (RFC 9110, sections 8.8.2.2 and 13.1.5). Without one, with a server that ignores
        ranges, or when the file has changed meanwhile, it is fetched from the beginning: two
        versions are never put together. Where neither length nor chunks tell the end of a body
        (HTTP/1.0), a connection that was cut can't be told from it.

        :param url: as for ``request()``.
        :param path: where the file is to be, its name included; the folder must exist.
        :param method: the HTTP method; anything but ``GET`` is never resumed.
        :param progress: called with a :class:`~requests_connection_manager.streaming.Progress` when
            an answer begins and whenever something was written; what it raises ends the download
            and is raised. ``True`` shows a bar on stderr (extra ``progress``).
        :param checksum: ``"sha256:hex"`` (or md5, sha1, sha384, sha512), or a digest as in
            ``Repr-Digest`` (RFC 9530), ``"sha-256=:base64:"``, which the content must have.
        :param resume: ``True``: within this call; ``False``: never; ``"keep"``: when this call
            fails, what has come stays beside ``path`` (``.name.part``, with its validator), and a
            later call with ``"keep"`` and the same URL goes on from there, if the file is the same.
        :param overwrite: whether a file that is there may be replaced.
        :param chunk_size: bytes that are gathered before they are written, if they come within a
            tenth of a second; 256 KiB by default. That much memory is used, and no more.
        :param options: those of ``request()``, settings of this call among them. A
            ``total_timeout`` is for all of it, waits and further attempts included.

        :returns: path, size, status, headers, ``etag``, how often it was ``resumed``, ``checksum``.
            After a 304, which only an ``If-None-Match`` or ``If-Modified-Since`` of yours can
            bring, ``status`` tells so and nothing was changed.
        :raises TypeError: for a parameter of the wrong type, naming it.
        :raises ValueError: for a value that can't be, naming it; a ``path`` that is a device; a
            ``Range`` among the headers.
        :raises OSError: the file can't be made or written: before the request where that can be
            known (no such folder, a folder under that name, no permission, a file that may not be
            overwritten), else at once (disk full).
        :raises HTTPError: the status is an error; also the library's own error.
        :raises ValidationError: the checksum is another, more came than was promised, or the
            answer holds no file (204, a part that was not asked for, a redirect not followed).
        :raises ConnectionError: the download broke off, and the policy allows no retries; also
            the library's own error.
        :raises MaxRetriesExceeded: further attempts did not help; also the library's own error.
        :raises DeadlineExceeded: ``total_timeout`` is over.
        :raises ImportError: ``progress=True`` without the extra ``progress``.

        After any error, and after Ctrl-C, the temporary file is removed, but with ``"keep"``. Any
        number of threads may download at once, also to one path: the last to finish wins.

        >>> import os, tempfile
        >>> from requests_connection_manager import ConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> with FaultServer() as server, ConnectionManager() as manager:
        ...     server.route("/report", reply(200, body="all of it", headers={"ETag": '"v1"'}))
        ...     with tempfile.TemporaryDirectory() as folder:
        ...         path = os.path.join(folder, "report.txt")
        ...         done = manager.download(server.url("/report"), path)
        ...         done.size, done.status, done.etag, os.listdir(folder)
        (9, 200, '"v1"', ['report.txt'])
        """
        from .._sync import run_sync
        from ._download import check_order, download

        order = check_order(
            url, path, method, progress, checksum, resume, overwrite, chunk_size, options
        )
        return run_sync(download(self._exchanger(), order))


class AsyncStreaming:
    """Streams for an asynchronous client."""

    def _exchanger(self) -> Exchanger:
        """Return what opens streams of this client."""
        raise NotImplementedError

    def events(
        self,
        url: Any,
        *,
        method: str = "GET",
        reconnect: bool = False,
        last_event_id: Optional[str] = None,
        idle_timeout: Optional[float] = None,
        max_event_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> AsyncEventSource:
        r"""Return the server-sent events of a URL, one at a time as they come.

        Nothing is awaited here: the result is an asynchronous iterator and context manager, and
        ``aclose()`` ends it. Parameters, rules and errors are those of :meth:`Streaming.events`.
        Use ``async with``: a loop that is broken off can't wait for its connection to be closed.

        :raises TypeError: for a parameter of the wrong type, naming it.
        :raises ValueError: for a value out of range, or ``reconnect`` of what can't be sent twice.

        The result is for one task at a time, on asyncio or trio; a client gives any number.

        >>> import anyio
        >>> from requests_connection_manager import AsyncConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> async def main(url: str) -> None:
        ...     async with AsyncConnectionManager() as manager:
        ...         async with manager.events(url) as events:
        ...             async for event in events:
        ...                 print(event.data)
        >>> body = "data: one\n\ndata: two\n\n"
        >>> kind = {"Content-Type": "text/event-stream"}
        >>> with FaultServer() as server:
        ...     server.route("/", reply(200, body=body, headers=kind))
        ...     anyio.run(main, server.url("/"))
        one
        two
        """
        from .event_source import AsyncEventSource

        return AsyncEventSource(
            self._exchanger(),
            method,
            url,
            options,
            reconnect=reconnect,
            last_event_id=last_event_id,
            idle_timeout=idle_timeout,
            max_event_bytes=max_event_bytes,
        )

    @overload
    def json_lines(
        self,
        url: Any,
        *,
        model: None = None,
        method: str = "GET",
        idle_timeout: Optional[float] = ...,
        max_line_bytes: int = ...,
        **options: Any,
    ) -> AsyncJsonLines[Any]: ...
    @overload
    def json_lines(
        self,
        url: Any,
        *,
        model: Type[M],
        method: str = "GET",
        idle_timeout: Optional[float] = ...,
        max_line_bytes: int = ...,
        **options: Any,
    ) -> AsyncJsonLines[M]: ...
    @overload
    def json_lines(
        self,
        url: Any,
        *,
        model: Any,
        method: str = "GET",
        idle_timeout: Optional[float] = ...,
        max_line_bytes: int = ...,
        **options: Any,
    ) -> AsyncJsonLines[Any]: ...
    def json_lines(
        self,
        url: Any,
        *,
        model: Any = None,
        method: str = "GET",
        idle_timeout: Optional[float] = UNSET,
        max_line_bytes: int = DEFAULT_MAX_BYTES,
        **options: Any,
    ) -> AsyncJsonLines[Any]:
        r"""Return the values of a body of JSON lines (JSONL, NDJSON), one at a time as they come.

        Nothing is awaited here: the result is an asynchronous iterator and context manager, and
        ``aclose()`` ends it. Parameters, rules and errors are those of
        :meth:`Streaming.json_lines`. Use ``async with``, as for :meth:`events`.

        :raises TypeError: for a parameter of the wrong type, or a model that is none.
        :raises ValueError: for a value out of range, naming the parameter.

        The result is for one task at a time, on asyncio or trio; a client gives any number.

        >>> import anyio
        >>> from requests_connection_manager import AsyncConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> async def main(url: str) -> None:
        ...     async with AsyncConnectionManager() as manager:
        ...         async with manager.json_lines(url) as lines:
        ...             print([value async for value in lines])
        >>> with FaultServer() as server:
        ...     server.route("/", reply(200, body='[1]\n[2]\n'))
        ...     anyio.run(main, server.url("/"))
        [[1], [2]]
        """
        from .json_stream import AsyncJsonLines

        return AsyncJsonLines(
            self._exchanger(),
            method,
            url,
            options,
            model=model,
            idle_timeout=idle_timeout,
            max_line_bytes=max_line_bytes,
        )

    async def download(
        self,
        url: Any,
        path: Union[str, os.PathLike[str]],
        *,
        method: str = "GET",
        progress: Union[ProgressCallback, bool, None] = None,
        checksum: Optional[str] = None,
        resume: Union[bool, str] = True,
        overwrite: bool = True,
        chunk_size: int = _CHUNK_SIZE,
        **options: Any,
    ) -> Download:
        r"""Save what a URL brings as a file: all of it, or nothing under that name.

        Parameters, rules, result and errors are those of :meth:`Streaming.download`. Files are
        worked on in worker threads; ``progress`` is a plain function, called in the task. When the
        task is cancelled, the connection is closed and the temporary file removed (with
        ``resume="keep"``: kept) before the cancellation goes on.

        :raises OSError: the file can't be made or written.
        :raises HTTPError: the status is an error.
        :raises ValidationError: what came is not what was promised.
        :raises MaxRetriesExceeded: further attempts did not help.

        Any number of tasks may download at once, on asyncio or trio.

        >>> import anyio, os, tempfile
        >>> from requests_connection_manager import AsyncConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> async def main(url: str, path: str) -> int:
        ...     async with AsyncConnectionManager() as manager:
        ...         return (await manager.download(url, path)).size
        >>> with FaultServer() as server, tempfile.TemporaryDirectory() as folder:
        ...     server.route("/report", reply(200, body="all of it"))
        ...     anyio.run(main, server.url("/report"), os.path.join(folder, "report.txt"))
        9
        """
        from ._download import check_order, download

        order = check_order(
            url, path, method, progress, checksum, resume, overwrite, chunk_size, options
        )
        return await download(self._exchanger(), order)


__all__ = ["AsyncStreaming", "Streaming"]
