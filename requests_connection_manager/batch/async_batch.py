"""The results of a batch on tasks: what a program goes through.

Holds :class:`AsyncBatch`, which is an object rather than an asynchronous generator: a generator
that gives something out from within a task group or a cancel scope is unsound (PEP 789), and one
that is dropped is not closed. The work is done by ``_tasks``.
"""

from __future__ import annotations

from types import TracebackType
from typing import Callable, Generic, Optional, Type, TypeVar

import anyio

from ._tasks import TaskBatch
from .plan import Plan
from .result import BatchResult

R = TypeVar("R")


class AsyncBatch(Generic[R]):
    """The results of ``aiter_batch``: an asynchronous iterator, and a context manager.

    The work begins when the first result is asked for. It ends, sockets included, at the end of
    the results, when asking for one raises or is cancelled, by :meth:`aclose`, and at the end of
    ``async with``, which waits until everything is over. If it is dropped instead, by ``break``
    for instance, all of that happens a moment later. For one task at a time.

    >>> import anyio
    >>> from requests_connection_manager import AsyncConnectionManager
    >>> async def main():
    ...     async with AsyncConnectionManager() as manager, manager.aiter_batch([]) as results:
    ...         return [result async for result in results]
    >>> anyio.run(main)
    []
    """

    _batch: Optional[TaskBatch] = None

    def __init__(self, plan: Plan, enter: Callable[[], object]) -> None:
        self._plan = plan
        self._enter = enter
        self._reading = self._over = False

    def __aiter__(self) -> AsyncBatch[R]:
        return self

    async def __anext__(self) -> BatchResult[R]:
        if self._reading:
            raise RuntimeError("this batch is waiting for a result already, in another task")
        self._reading = True
        try:
            return await self._next()
        except BaseException:
            self._reading = False
            await self.aclose()
            raise
        finally:
            self._reading = False

    async def _next(self) -> BatchResult[R]:
        if self._over:
            raise StopAsyncIteration
        if self._batch is None:
            self._plan.progress.open()
            self._batch = TaskBatch(self._plan)
            self._plan.context.run(self._enter)
            self._batch.start()
        return await self._batch.next()

    async def aclose(self) -> None:
        """End what is under way, and wait for its end. May be called more than once."""
        self._over = True
        batch = self._batch
        if batch is None:
            return
        batch.stop()
        with anyio.CancelScope(shield=True):
            await batch.ended.wait()
        self._plan.progress.close()

    async def __aenter__(self) -> AsyncBatch[R]:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._batch is not None and not self._over:
            self._batch.stop_soon()
            self._plan.progress.close()


__all__ = ["AsyncBatch"]
