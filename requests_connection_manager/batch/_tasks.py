"""A batch on tasks, on asyncio or trio.

Holds :class:`TaskBatch`: a task group in a task of its own, which belongs to the event loop rather
than to whoever asks for results, so that nothing is given out from within a task group (PEP 789).
It ends when it is told to, or with the event loop.
"""

from __future__ import annotations

import contextlib
from collections import abc, deque
from typing import Any, Callable, Deque, List, NoReturn, Optional

import anyio
import anyio.lowlevel
import anyio.to_thread
import sniffio

from .plan import Plan
from .recorder import Job, Recorder
from .result import BatchResult

_END = object()

# An input that never waits must not keep the event loop to itself.
_ITEMS_BETWEEN_CHECKPOINTS = 64


class TaskBatch:
    """The task group of a batch and what it shares with who asks for results.

    :ivar ended: set when all of it is over.
    """

    def __init__(self, plan: Plan) -> None:
        self.ended = anyio.Event()
        self._plan = plan
        self._intake, self._outlet = plan.intake, plan.outlet
        self._scope = anyio.CancelScope()
        self._jobs: Deque[Job] = deque()
        self._exhausted = self._stopped = False
        self._workers = 0
        self._idle: Deque[anyio.Event] = deque()
        self._room: Optional[anyio.Event] = None
        self._news: Optional[anyio.Event] = None
        self._failure: Optional[BaseException] = None
        self._unwritten: List[BatchResult[Any]] = []
        self._is_writing = False
        self._soon: Callable[[Callable[[], object]], object]
        self._task: Any = None

    # -- from outside

    def start(self) -> None:
        """Run in a task of the event loop's own."""
        if sniffio.current_async_library() == "trio":
            import trio

            context = self._plan.context
            self._soon = trio.lowlevel.current_trio_token().run_sync_soon
            trio.lowlevel.spawn_system_task(self._run, context=context)
            return
        import asyncio

        loop = asyncio.get_running_loop()
        self._soon = loop.call_soon_threadsafe
        self._task = self._plan.context.run(loop.create_task, self._run())

    async def next(self) -> BatchResult[Any]:
        """Wait for the next result to give out."""
        while not self._outlet:
            if self.ended.is_set():
                self._end()
            self._news = anyio.Event()
            await self._news.wait()
        result = self._outlet.pop()
        if result.error is not None and not self._plan.return_exceptions:
            raise result.error
        # In bulk: waking a task takes about 10 µs.
        if self._outlet.ahead <= self._plan.window - max(1, self._plan.buffer // 2):
            self._tell_of_room()
        self._plan.progress.step()
        return result

    def _end(self) -> NoReturn:
        failure = self._failure or (self._plan.recorder and self._plan.recorder.failure)
        if failure:
            self._failure = None
            raise failure
        raise StopAsyncIteration

    def stop(self) -> None:
        """End it; from within the event loop."""
        self._stopped = True
        self._scope.cancel()

    def stop_soon(self) -> None:
        """End it; from wherever the collector runs."""
        with contextlib.suppress(Exception):  # the event loop is gone, and all tasks with it
            self._soon(self.stop)

    # -- the task

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._work_all()
        except Exception as error:
            self._failure = self._failure or error
        except BaseException as error:  # the event loop ends
            self._failure = self._failure or error
            raise
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._clean_up()
            finally:
                self.ended.set()
                self._tell_of_news()

    async def _work_all(self) -> None:
        recorder = self._plan.recorder
        if recorder is not None:
            await anyio.to_thread.run_sync(recorder.open)
        async with anyio.create_task_group() as group:
            group.start_soon(self._feed, group)

    async def _clean_up(self) -> None:
        if self._plan.recorder is not None:
            await anyio.to_thread.run_sync(self._plan.recorder.close)

    # -- items

    async def _feed(self, group: Any) -> None:
        source = _Source(self._plan.items)
        try:
            source.begin()
            while True:
                await self._wait_for_room()
                raw = await source.next()
                if raw is _END:
                    break
                await self._admit(raw, group)
        except Exception as error:
            # What is under way comes first, since its calls were made.
            self._failure = error
        except BaseException as crash:
            self._crashed(crash)
            if isinstance(crash, anyio.get_cancelled_exc_class()):
                raise
        finally:
            self._exhausted = True
            while self._idle:
                self._idle.popleft().set()
            # In the task that went through it, as its own cancel scopes demand.
            with anyio.CancelScope(shield=True):
                await source.close()

    async def _wait_for_room(self) -> None:
        recorder = self._plan.recorder
        while self._outlet.ahead >= self._plan.window:
            self._room = anyio.Event()
            await self._room.wait()
        if self._intake.taken % _ITEMS_BETWEEN_CHECKPOINTS == 0:
            await anyio.lowlevel.checkpoint()
        if recorder is not None and recorder.failure is not None:
            raise recorder.failure

    async def _admit(self, raw: Any, group: Any) -> None:
        admitted: Any = self._intake.job(raw)
        recorder = self._plan.recorder
        if recorder is not None and recorder.resuming and isinstance(admitted, Job):
            if self._is_writing:  # finding waits for the disk then, and so would the event loop
                entry = await anyio.to_thread.run_sync(recorder.find, admitted)
            else:
                entry = recorder.find(admitted)
            admitted = self._intake.resumed(admitted, entry)
        if admitted is None:
            self._plan.progress.step()
            return
        self._outlet.expect(admitted.index)
        if not isinstance(admitted, Job):
            self._give_out(admitted)
            return
        self._jobs.append(admitted)
        if self._idle:
            self._idle.popleft().set()
        elif self._workers < self._plan.max_workers:
            self._workers += 1
            group.start_soon(self._work, group)

    def _tell_of_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    # -- results

    async def _work(self, group: Any) -> None:
        while True:
            while not self._jobs:
                if self._exhausted:
                    return
                woken = anyio.Event()
                self._idle.append(woken)
                await woken.wait()
            await self._do(self._jobs.popleft(), group)

    async def _do(self, job: Job, group: Any) -> None:
        response, failure = None, None
        try:
            response = await self._plan.perform(job.item)
        except Exception as error:
            failure = error
        except BaseException as crash:
            self._crashed(crash)
            if isinstance(crash, anyio.get_cancelled_exc_class()):
                raise
            return
        result = self._intake.result(job, response, failure)
        if self._plan.recorder is None:
            self._give_out(result)
            return
        self._unwritten.append(result)
        if not self._is_writing:
            self._is_writing = True
            group.start_soon(self._write, self._plan.recorder)

    def _crashed(self, crash: BaseException) -> None:
        """End it all for what is no failure: SystemExit in a hook or the input, a cancellation."""
        if not self._stopped:
            self._failure = crash
            self.stop()

    async def _write(self, recorder: Recorder) -> None:
        """Write what there is, on a thread; those that come meanwhile are written together."""
        while self._unwritten:
            written, self._unwritten = self._unwritten, []
            await anyio.to_thread.run_sync(recorder.flush)
            for result in written:
                self._give_out(result)
        self._is_writing = False

    def _give_out(self, result: BatchResult[Any]) -> None:
        self._outlet.put(result)
        if self._outlet:
            self._tell_of_news()

    def _tell_of_news(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None


class _Source:
    """The input, whatever kind of iterable it is; for one task."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self._asynchronous = hasattr(items, "__aiter__")
        self._iterator: Any = None

    def begin(self) -> None:
        """Begin with the first item."""
        self._iterator = self._items.__aiter__() if self._asynchronous else iter(self._items)

    async def next(self) -> Any:
        """Return the next item, or ``_END``."""
        if not self._asynchronous:
            return next(self._iterator, _END)
        try:
            return await self._iterator.__anext__()
        except StopAsyncIteration:
            return _END

    async def close(self) -> None:
        """Close a generator that was not gone through to its end."""
        if isinstance(self._iterator, abc.AsyncGenerator):
            await self._iterator.aclose()
        elif isinstance(self._iterator, abc.Generator):
            self._iterator.close()


__all__ = ["TaskBatch"]
