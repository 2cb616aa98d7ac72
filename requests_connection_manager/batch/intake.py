"""Where the items of a batch come in, and the order in which results go out.

Holds :class:`Intake`, which checks and numbers items and asks the journal for them, and
:class:`Outlet`. Neither waits, nor knows whether threads or tasks do the work.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, Optional, Union

from .items import check_item
from .journal import JournalEntry
from .recorder import Job, Recorder
from .result import BatchResult, Key


class Intake:
    """Numbers the items, and tells which of them there is something to do for.

    :param key: item -> its key; ``None``: the index.
    :ivar taken: how many items came in.
    """

    def __init__(self, key: Optional[Callable[[Any], Key]], recorder: Optional[Recorder]) -> None:
        self._key = key
        self._recorder = recorder
        self.taken = 0

    def admit(self, raw: Any) -> Union[Job, BatchResult[Any], None]:
        """Return what to do for an item: a job, or its result already; ``None``: nothing.

        :raises JournalError: the journal has another item in its place, or can't be read.
        """
        job = self.job(raw)
        if self._recorder is None or not isinstance(job, Job):
            return job
        return self.resumed(job, self._recorder.find(job))

    def job(self, raw: Any) -> Union[Job, BatchResult[Any]]:
        """Return the job that an item is, or the failure that it is."""
        index = self.taken
        self.taken += 1
        try:
            item = check_item(index, raw)
            key = None if self._key is None else _check_key(index, self._key(raw))
        except Exception as error:
            return BatchResult(index, index, None, error=error)
        if self._recorder is None:
            return Job(index, index if key is None else key, item)
        return self._recorder.job(index, key, item)

    def resumed(
        self, job: Job, entry: Optional[JournalEntry]
    ) -> Union[Job, BatchResult[Any], None]:
        """Return what is left to do for a job of which the journal has this entry."""
        if self._recorder is None or entry is None:
            return job
        return self._recorder.replayed(job, entry)

    def result(self, job: Job, response: Any, error: Optional[Exception]) -> BatchResult[Any]:
        """Return the result of a job; where there is a journal it is to be flushed then."""
        if self._recorder is not None:
            return self._recorder.result(job, response, error)
        return BatchResult(job.index, job.key, job.item, response, error)


def _check_key(index: int, key: Any) -> Key:
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise TypeError(f"requests_data[{index}]: key must return a str or an int, not {key!r}")
    return key


class Outlet:
    """Results that wait to be given out: as they came, or in the order of the input.

    :ivar ahead: how many items were taken whose result was not given out.

    >>> outlet = Outlet(ordered=True)
    >>> outlet.expect(0), outlet.expect(1)
    (None, None)
    >>> outlet.put(BatchResult(1, 1, None))
    >>> bool(outlet), outlet.ahead
    (False, 2)
    >>> outlet.put(BatchResult(0, 0, None))
    >>> [outlet.pop().index, outlet.pop().index], outlet.ahead
    ([0, 1], 0)
    """

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._expected: Deque[int] = deque()
        self._early: Dict[int, BatchResult[Any]] = {}
        self._ready: Deque[BatchResult[Any]] = deque()
        self.ahead = 0

    def expect(self, index: int) -> None:
        """Take note of an item whose result will come."""
        self.ahead += 1
        if self._ordered:
            self._expected.append(index)

    def put(self, result: BatchResult[Any]) -> None:
        """Take a result in."""
        if not self._ordered:
            self._ready.append(result)
            return
        self._early[result.index] = result
        while self._expected and self._expected[0] in self._early:
            self._ready.append(self._early.pop(self._expected.popleft()))

    def __bool__(self) -> bool:
        return bool(self._ready)

    def pop(self) -> BatchResult[Any]:
        """Give the next one out."""
        self.ahead -= 1
        return self._ready.popleft()

    def drain(self) -> Iterator[BatchResult[Any]]:
        """Give out what there is, in any order."""
        yield from self._ready
        yield from self._early.values()
        self._ready.clear()
        self._early.clear()


__all__ = ["Intake", "Outlet"]
