"""Batches that go item by item: the methods of the clients, with their types.

Holds :class:`Batching` and :class:`AsyncBatching`, which the clients inherit from. Light: what
the methods need is loaded when they are first called, so that it costs nobody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Generator, Optional, TypeVar, Union

if TYPE_CHECKING:
    import os
    from typing import AsyncIterable, Generic, Iterable

    from .async_batch import AsyncBatch
    from .journal import Journal
    from .progress import BatchProgressCallback
    from .recorder import Responses
    from .result import BatchResult, Key

R = TypeVar("R")

if TYPE_CHECKING:

    class _Of(Generic[R]):
        """What is generic in its responses."""

else:

    class _Of:
        # On Python 3.8 Generic has a __new__, whose parameters help() would show for the clients.
        def __class_getitem__(cls, responses):
            return cls


_MAX_BODY_BYTES = 64 * 1024


class Batching(_Of[R]):
    """Batches for a synchronous client."""

    def _batch_responses(self) -> Responses:
        """Return what a journal does with responses of this client."""
        raise NotImplementedError

    def iter_batch(
        self,
        requests_data: Iterable[Any],
        max_workers: int = 5,
        return_exceptions: bool = True,
        *,
        ordered: bool = False,
        buffer: Optional[int] = None,
        progress: Union[BatchProgressCallback, bool, None] = None,
        total: Optional[int] = None,
        journal: Union[str, os.PathLike[str], Journal, None] = None,
        key: Optional[Callable[[Any], Key]] = None,
        save: Optional[Callable[[Any], Any]] = None,
        replay: bool = True,
        retry_failed: bool = True,
        max_body_bytes: int = _MAX_BODY_BYTES,
    ) -> Generator[BatchResult[R], None, None]:
        """Send any number of requests concurrently, and give the results as they come.

        The result is a generator. Nothing happens before the first result is asked for; from then
        on at most ``max_workers + buffer`` items are taken whose results were not, so that memory
        does not depend on how many there are: an endless generator is fine, and while nobody asks
        for results the work comes to rest. Leaving the loop (``break``, an exception, Ctrl-C), or
        ``close()``, ends the calls that are under way, sockets included, the threads, and the
        input if it is a generator. ``contextlib.closing`` does so where the generator is kept.

        :param requests_data: any iterable of ``(method, url, kwargs)`` or ``(method, url)``. It is
            gone through by the thread that asks for results: while it blocks, none are given out.
            An item of another form is a failure of its own. What the input raises is raised when
            the results of what was taken before have been given out.
        :param max_workers: how many calls are under way at a time, on threads.
        :param return_exceptions: ``True``: a failure is the ``error`` of its result; ``False``: the
            first one that is to be given out is raised, and the rest is ended.
        :param ordered: ``True``: results come in the order of the input; one that is slow holds
            back those after it, and when ``buffer`` is used up the work too.
        :param buffer: how many items are taken beyond those under way; default: ``max_workers``.
        :param progress: ``True`` for a bar on the standard error (extra ``progress``), or a
            function ``progress(done, total)``, called in the thread that asks for results.
        :param total: how many items there will be; default: ``len(requests_data)`` if it has one,
            asked for only where there is ``progress``.
        :param journal: the path of a file in which results are written as they come (an SQLite
            database with the suffix ``.sqlite``, ``.sqlite3`` or ``.db``, else JSON lines), or an
            object of the :class:`~requests_connection_manager.batch.Journal` protocol such as
            :class:`~requests_connection_manager.batch.SqliteJournal`. A batch that is started
            again with it makes only the calls that are not done. A result that was given out is in
            it. It holds no request headers, and no secrets of URLs; bodies and keys are kept as
            they are.
        :param key: function of an item that returns a ``str`` or an ``int`` which is no other
            item's; by it the journal knows the item. Default: the index, and then an item must
            have the same method, URL and body as before (secrets left aside).
        :param save: function of a response that returns what the journal is to keep in place of
            the body, as JSON; it is called on the worker's thread, and what it returns is
            ``result.saved``, then and when it is replayed. What it raises is the item's failure.
        :param replay: whether what is done already is among the results, with ``recorded=True`` and
            a response that was made from the journal; ``False``: only what is done now.
        :param retry_failed: whether calls of which the journal has an error are made again;
            ``False``: they are results with a ``RecordedFailure``. A response of any status that
            ``request()`` returned, rather than raised for, is done.
        :param max_body_bytes: bodies beyond it are not kept: reading that of a replayed response
            raises the library's error for a body that was consumed. 64 KiB by default.

        :returns: the results, :class:`~requests_connection_manager.batch.BatchResult` each.
        :raises TypeError: for a parameter of the wrong type, naming it.
        :raises ValueError: for a value out of range, naming it.
        :raises ImportError: for a bar without the extra ``progress``.

        While it is gone through:

        :raises JournalError: the journal is in use by another batch, is a file of something else,
            can't be opened, read or written, or has another item under that index. Calls that are
            under way by then are finished and their results given out before.

        The generator is for one thread at a time, and for the process that began it (a
        ``RuntimeError`` in a forked one); a client gives any number of them.

        >>> from requests_connection_manager import ConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> with FaultServer() as server, ConnectionManager() as manager:
        ...     server.route("/", lambda received: reply(200, body=received.query))
        ...     calls = (("GET", server.url(f"/?{number}")) for number in range(3))
        ...     for result in manager.iter_batch(calls, ordered=True):
        ...         print(result.index, result.response.text)
        0 0
        1 1
        2 2
        """
        given = dict(locals())
        del given["self"]
        from ._threads import results
        from .plan import Plan

        return results(Plan(self._perform_item, self._batch_responses(), ("__iter__",), **given))

    def _perform_item(self, item: Any) -> Any:
        method, url, kwargs = item
        client: Any = self
        return client.request(method, url, **kwargs)


class AsyncBatching(_Of[R]):
    """Batches for an asynchronous client."""

    def _batch_responses(self) -> Responses:
        """Return what a journal does with responses of this client."""
        raise NotImplementedError

    def _enter_batch(self, max_workers: int) -> None:
        """Prepare the context in which the calls of a batch are made."""

    def aiter_batch(
        self,
        requests_data: Union[Iterable[Any], AsyncIterable[Any]],
        max_workers: int = 5,
        return_exceptions: bool = True,
        *,
        ordered: bool = False,
        buffer: Optional[int] = None,
        progress: Union[BatchProgressCallback, bool, None] = None,
        total: Optional[int] = None,
        journal: Union[str, os.PathLike[str], Journal, None] = None,
        key: Optional[Callable[[Any], Key]] = None,
        save: Optional[Callable[[Any], Any]] = None,
        replay: bool = True,
        retry_failed: bool = True,
        max_body_bytes: int = _MAX_BODY_BYTES,
    ) -> AsyncBatch[R]:
        """Send any number of requests concurrently, and give the results as they come.

        As :meth:`~requests_connection_manager.ConnectionManager.iter_batch`, with the same
        parameters, on asyncio and trio. Differences:

        - The result is an asynchronous iterator and a context manager. ``async with`` around the
          loop, or ``aclose()``, ends what is under way and waits for its end. Without it, leaving
          the loop early ends it a moment later, when the iterator is dropped; use ``async with``
          wherever that could happen.
        - ``requests_data`` may be an asynchronous iterable, too. It is gone through by one task of
          the batch: results come while it waits. One that blocks blocks the event loop.
        - ``max_workers`` is also how many threads run hooks registered with ``blocking=True``.
        - ``key``, ``save`` and ``progress`` are plain functions, called in the event loop. The
          journal is written on a thread; looking something up there may not take long.

        >>> import anyio
        >>> from requests_connection_manager import AsyncConnectionManager
        >>> from requests_connection_manager.testing import FaultServer, reply
        >>> async def numbers(server):
        ...     for number in range(3):
        ...         yield "GET", server.url(f"/?{number}")
        >>> async def main(server):
        ...     async with AsyncConnectionManager() as manager:
        ...         async with manager.aiter_batch(numbers(server), ordered=True) as results:
        ...             async for result in results:
        ...                 print(result.index, result.response.text)
        >>> with FaultServer() as server:
        ...     server.route("/", lambda received: reply(200, body=received.query))
        ...     anyio.run(main, server)
        0 0
        1 1
        2 2
        """
        given = dict(locals())
        del given["self"]
        from .async_batch import AsyncBatch
        from .plan import Plan

        protocols = ("__iter__", "__aiter__")
        plan = Plan(self._perform_item, self._batch_responses(), protocols, **given)
        return AsyncBatch(plan, lambda: self._enter_batch(max_workers))

    async def _perform_item(self, item: Any) -> Any:
        method, url, kwargs = item
        client: Any = self
        return await client.request(method, url, **kwargs)


__all__ = ["AsyncBatching", "Batching"]
