"""A whole batch at once: results in order, in a list.

Holds the two loops, one on threads, one on tasks, which are all that differs between the managers.
Knows no HTTP library.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Awaitable, Callable, List, Optional, TypeVar

from .crew import WAIT_SECONDS, Crew, Dismissed, current_crew
from .items import Item

# For all threads of a batch that was interrupted, of which few take more than a moment.
_FAREWELL_SECONDS = 1.0

T = TypeVar("T")


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
            while thread.is_alive():
                thread.join(WAIT_SECONDS)
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


__all__ = ["arun_batch", "run_batch"]
