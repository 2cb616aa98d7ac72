"""One resource for each event loop, closed with the loop at the latest.

Holds :class:`PerLoop`. A connection belongs to the loop in which it was opened; a client may meet
several, and is often never closed. Knows asyncio and trio, and nothing of what it keeps.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from typing import Any, AsyncGenerator, Awaitable, Callable, Generic, Optional, Set, TypeVar

import sniffio

T = TypeVar("T")


class _Held(Generic[T]):
    """A resource, the loop it belongs to, and the way to its end.

    The way is an asynchronous generator that was begun in the loop: asyncio (uvloop, too) and trio
    run to their end those that are left when the loop ends, even if it ends by an error.

    :ivar inherited: it came over a fork and is the parent's.
    """

    def __init__(self, owner: PerLoop[T], loop: Any, value: T) -> None:
        self.loop = loop
        self.value = value
        self.inherited = False
        self._close, self._forget = owner.close_one, owner.forget_one
        self._keeper = self._keep()
        self._finished = False
        self._retiring: Optional[asyncio.Task[None]] = None

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self._retiring is not None:
                await asyncio.wait({self._retiring})
            await self._finish()

    async def _finish(self) -> None:
        _alive.discard(self)
        if not self._finished:
            self._finished = True
            await self._close(self.value)

    async def begin(self) -> None:
        """Tie the resource to the running loop."""
        _alive.add(self)
        await self._keeper.__anext__()

    async def close(self) -> None:
        """Close the resource; in its own loop only."""
        await self._keeper.aclose()

    def retire(self) -> None:
        """Have the resource closed in its own loop, as soon as that has time; from anywhere.

        With trio that is the end of the run: whoever comes from outside can't tell whether it is
        still safe to begin a task.
        """
        if not self.inherited and hasattr(self.loop, "call_soon_threadsafe"):
            try:
                self.loop.call_soon_threadsafe(self._begin_to_retire)
            except RuntimeError:
                self.forget()  # the loop is closed

    def _begin_to_retire(self) -> None:
        # The loop itself knows its tasks weakly.
        self._retiring = self.loop.create_task(self._retire())

    async def _retire(self) -> None:
        await self._finish()
        self._retiring = None
        try:
            await self._keeper.aclose()
        except RuntimeError:
            pass  # the loop is about to end, closes it as well and waits for this task

    def forget(self) -> None:
        """Give up a resource whose loop will not run again."""
        self._finished, self._retiring = True, None
        try:
            self._keeper.aclose().send(None)  # has nothing left to wait for
        except StopIteration:
            pass
        _alive.discard(self)
        self._forget(self.value)


# Held here until the end of its loop, whoever else lets it go: a generator that was dropped
# unfinished would be closed by a task, and asyncio.run cancels those before they begin.
_alive: Set[_Held[Any]] = set()


class PerLoop(Generic[T]):
    """Builds a resource for each event loop that asks for one.

    :param build: makes one; called in the loop.
    :param close: closes one; awaited in its loop.
    :param forget: gives one up whose loop is gone, or another process's; must do no I/O.

    Thread-safe: what belongs to a loop is only touched in the thread that runs it. What was
    built is closed when :meth:`close` is called, when this object is dropped (not with trio), and
    at the end of its loop, whichever comes first. After a fork the child builds its own.
    """

    def __init__(
        self,
        build: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        forget: Callable[[T], None],
    ) -> None:
        self._build = build
        self.close_one, self.forget_one = close, forget
        self.closed = False
        # An entry lives as long as its loop, so that the id is not another's meanwhile.
        self._held: weakref.WeakValueDictionary[int, _Held[T]] = weakref.WeakValueDictionary()
        weakref.finalize(self, _retire_all, self._held).atexit = False

    async def get(self) -> T:
        """Return the running loop's own.

        :raises RuntimeError: after :meth:`close`.
        """
        loop = running_loop()
        held = self._held.get(id(loop))
        if held is None or held.inherited:
            held = await self._begin(loop)
        return held.value

    async def _begin(self, loop: Any) -> _Held[T]:
        _forget_those_of_closed_loops()
        held = self._held[id(loop)] = _Held(self, loop, self._build())
        await held.begin()
        if self.closed:
            held.retire()  # another thread has closed it meanwhile
        return held

    async def close(self) -> None:
        """Close the running loop's own now, and have those of other loops closed in theirs."""
        self.closed = True
        loop = running_loop()
        mine = self._held.pop(id(loop), None)
        _retire_all(self._held)
        if mine is not None and not mine.inherited:
            await mine.close()


def running_loop() -> Any:
    """Return what stands for the running event loop."""
    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token()
    return asyncio.get_running_loop()


def _retire_all(held: Any) -> None:
    for one in list(held.values()):
        one.retire()
    held.clear()


def _forget_those_of_closed_loops() -> None:
    """Give up what a loop left behind that was closed without its last rites."""
    for held in list(_alive):
        is_closed = getattr(held.loop, "is_closed", None)
        if is_closed is not None and is_closed():
            held.forget()


def _forget_all() -> None:
    for held in list(_alive):
        held.forget()


def _disown_all() -> None:
    # They stay where they are: to close the parent's sockets would take them off its selector.
    for held in list(_alive):
        held.inherited = True
        held._forget(held.value)


# A loop that is never closed, such as a notebook's, would complain when the interpreter ends.
atexit.register(_forget_all)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


__all__ = ["PerLoop", "running_loop"]
