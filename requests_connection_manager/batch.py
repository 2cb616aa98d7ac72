"""Fan-out: many calls at once, results in order.

Holds the check of what a batch is given and the two loops, one on threads, one on tasks, which
are all that differs between the managers. Knows no HTTP library.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Awaitable, Callable, Iterable, List, Optional, Set, Tuple, TypeVar

from .redaction import redact_text

# For all threads of a batch that was interrupted, of which few take more than a moment.
_FAREWELL_SECONDS = 1.0

T = TypeVar("T")
Item = Tuple[str, str, Any]


def check_batch(requests_data: Iterable[Any], max_workers: Any) -> List[Item]:
    """Return the items of a batch, all of them checked.

    :raises TypeError: when an item is not ``(method, url, kwargs)``; the message has its index.
    :raises ValueError: when ``max_workers`` is below 1.

    >>> check_batch([("GET", "https://api.test/", {}), ("GET",)], 5)
    Traceback (most recent call last):
    ...
    TypeError: requests_data[1] must be a (method, url, kwargs) tuple, not ('GET',)
    """
    if isinstance(max_workers, bool) or not isinstance(max_workers, int):
        raise TypeError(f"max_workers must be an int of at least 1, not {max_workers!r}")
    if max_workers < 1:
        raise ValueError(f"max_workers must be an int of at least 1, not {max_workers!r}")
    if isinstance(requests_data, (str, bytes)) or not hasattr(requests_data, "__iter__"):
        raise TypeError(
            "requests_data must be an iterable of (method, url, kwargs), not "
            + redact_text(repr(requests_data))
        )
    return [_check_item(index, item) for index, item in enumerate(requests_data)]


def _check_item(index: int, item: Any) -> Item:
    where = f"requests_data[{index}]"
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        shown = f"a {type(item).__name__}" if isinstance(item, dict) else redact_text(repr(item))
        raise TypeError(f"{where} must be a (method, url, kwargs) tuple, not {shown}")
    method, url, kwargs = (*item, {})[:3]
    if not isinstance(method, str):
        raise TypeError(f"{where}: method must be a str, not {method!r}")
    # Whatever has a text of its own may be a URL: those of httpx, yarl, furl.
    speaks: Any = type(url).__str__
    if not isinstance(url, (str, bytes)) and speaks is object.__str__:
        raise TypeError(f"{where}: url must be a str or a URL object, not {url!r}")
    if kwargs is None:
        kwargs = {}
    if not isinstance(kwargs, dict) or not all(isinstance(name, str) for name in kwargs):
        raise TypeError(f"{where}: kwargs must be a dict with str keys")
    return method, url, kwargs


class Crew:
    """The workers of a running batch, and the way to make them stop.

    A worker that sleeps wakes up, one that waits for its socket has it shut down under it.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._wires: Set[Any] = set()

    def enter(self, wire: Any) -> None:
        """Register a wire that is about to block."""
        with self._lock:
            self._wires.add(wire)
        # After it, or a dismissal in between would find no wire to end.
        self.check()

    def leave(self, wire: Any) -> None:
        """Take a wire off again."""
        with self._lock:
            self._wires.discard(wire)

    def check(self) -> None:
        """Raise :class:`Dismissed` when the batch was stopped."""
        if self.stopping.is_set():
            raise Dismissed

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the batch is stopped."""
        self.stopping.wait(seconds)
        self.check()

    def dismiss(self) -> None:
        """Stop everybody."""
        self.stopping.set()
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            wire.end()


class Dismissed(BaseException):
    """A call of a batch that was interrupted. Not an ``Exception``: it is a cancellation."""


current_crew: contextvars.ContextVar[Optional[Crew]] = contextvars.ContextVar(
    "requests_connection_manager_crew", default=None
)


class _Results:
    """Hands out the items one after another and keeps what became of them."""

    def __init__(self, items: List[Item], return_exceptions: bool) -> None:
        self.items = items
        self.values: List[Any] = [None] * len(items)
        self.first_failure: Optional[Exception] = None
        self.crash: Optional[BaseException] = None
        self._return_exceptions = return_exceptions
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> Optional[int]:
        """Return the index of the next item, or ``None`` when there is no more to start."""
        with self._lock:
            if self.first_failure or self.crash or self._next >= len(self.items):
                return None
            index, self._next = self._next, self._next + 1
            return index

    def failed(self, index: int, error: Exception) -> None:
        self.values[index] = error
        if not self._return_exceptions:
            with self._lock:
                self.first_failure = self.first_failure or error

    def crashed(self, crash: BaseException) -> None:
        """Remember what is no failure of a call but the end of the batch, such as SystemExit."""
        with self._lock:
            if self.crash is None:
                self.crash = crash

    def outcome(self) -> List[Any]:
        """Return the results, or raise what ended the batch."""
        error = self.crash or self.first_failure
        if error is not None:
            raise error
        return self.values


def run_batch(
    perform: Callable[[Item], T], items: List[Item], max_workers: int, return_exceptions: bool
) -> List[Any]:
    """Run ``perform`` for every item on threads and return the results in order.

    Ctrl-C, or whatever else is raised in the calling thread, stops the workers and passes on. So
    does what a call raises that is no ``Exception`` (``SystemExit`` in a hook, a cancellation). The
    threads are daemons, so that one that can't be woken (a name lookup) does not hold up the exit.
    """
    results = _Results(items, return_exceptions)
    crew = Crew()

    def work() -> None:
        current_crew.set(crew)
        while not crew.stopping.is_set():
            index = results.take()
            if index is None:
                return
            try:
                results.values[index] = perform(items[index])
            except Dismissed:
                return
            except Exception as exc:
                results.failed(index, exc)
            except BaseException as exc:
                results.crashed(exc)
                crew.dismiss()

    threads = [
        threading.Thread(
            target=contextvars.copy_context().run, args=(work,), name=f"batch-{n}", daemon=True
        )
        for n in range(min(max_workers, len(items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        crew.dismiss()
        end = time.monotonic() + _FAREWELL_SECONDS
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        raise
    return results.outcome()


async def arun_batch(
    perform: Callable[[Item], Awaitable[T]],
    items: List[Item],
    max_workers: int,
    return_exceptions: bool,
) -> List[Any]:
    """As :func:`run_batch`, on tasks of the running event loop, asyncio or trio."""
    import anyio

    results = _Results(items, return_exceptions)

    async def work() -> None:
        while True:
            index = results.take()
            if index is None:
                return
            try:
                results.values[index] = await perform(items[index])
            except Exception as exc:
                results.failed(index, exc)
            except BaseException as exc:
                results.crashed(exc)
                group.cancel_scope.cancel()
                if isinstance(exc, anyio.get_cancelled_exc_class()):
                    raise  # by the event loop; or by a hook, in which case the group swallows it

    async with anyio.create_task_group() as group:
        for _ in range(min(max_workers, len(items))):
            group.start_soon(work)
    return results.outcome()
