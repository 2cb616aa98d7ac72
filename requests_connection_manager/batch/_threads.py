"""A batch on threads, one result at a time.

Holds the generator :func:`results` and the threads that it owns. The input is gone through by the
thread that asks for results, since generators are not made for several; work and results travel
through queues, which takes about 10 µs for each.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import abc
from queue import Empty, SimpleQueue
from typing import Any, Callable, Generator, Iterator, List, Optional, Union

from .crew import WAIT_SECONDS, Crew, Dismissed, current_crew
from .intake import Intake
from .plan import Plan
from .recorder import Job, Recorder
from .result import BatchResult

# For all threads of a batch that was ended early, of which few take more than a moment.
_FAREWELL_SECONDS = 1.0


def results(plan: Plan) -> Generator[BatchResult[Any], None, None]:
    """Give the results of a batch; closing the generator ends what is under way."""
    batch = ThreadedBatch(plan)
    try:
        batch.open()
        while True:
            result = batch.next()
            if result is None:
                break
            if result.error is not None and not plan.return_exceptions:
                raise result.error
            yield result
            result = None  # nobody's while the next one is waited for
        batch.close()
        batch.check()
    finally:
        batch.close()


class ThreadedBatch:
    """What the generator keeps between two results."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._intake, self._outlet = plan.intake, plan.outlet
        self._workers = Workers(plan)
        self._source: Optional[Iterator[Any]] = None
        self._failure: Optional[Exception] = None
        self._process = os.getpid()
        self._closed = False

    def open(self) -> None:
        """Open the journal and begin with the input."""
        if self._plan.recorder is not None:
            self._plan.recorder.open()
        self._source = iter(self._plan.items)
        self._plan.progress.open()

    def next(self) -> Optional[BatchResult[Any]]:
        """Wait for the next result to give out; ``None``: that was all."""
        if os.getpid() != self._process:
            raise RuntimeError("a batch can't go on in a forked process: it has no threads there")
        self._fill()
        while not self._outlet:
            if not self._workers.under_way:
                return None
            self._outlet.put(self._workers.wait())
        result = self._outlet.pop()
        self._plan.progress.step()
        return result

    def _fill(self) -> None:
        """Take items: one for each result, and more as long as there is nothing to give out."""
        first = True
        while self._source is not None and self._outlet.ahead < self._plan.window:
            for result in self._workers.finished():
                self._outlet.put(result)
            if self._outlet and not first:
                return
            first = not self._take(self._source) and first

    def _take(self, source: Iterator[Any]) -> bool:
        """Take an item; tell whether there will be a result of it."""
        recorder = self._plan.recorder
        try:
            if recorder is not None and recorder.failure is not None:
                raise recorder.failure
            raw = next(source)
            admitted = self._intake.admit(raw)
        except StopIteration:
            self._source = None
            return True
        except Exception as error:
            # What is under way comes first, since its calls were made.
            self._failure = error
            self._end_source()
            return True
        if admitted is None:
            self._plan.progress.step()
            return False
        index = admitted.index
        self._outlet.expect(index)
        if isinstance(admitted, Job):
            self._workers.submit(admitted)
        else:
            self._outlet.put(admitted)
        return True

    def check(self) -> None:
        """Raise what went wrong besides the calls."""
        recorder = self._plan.recorder
        failure = self._failure or (recorder and recorder.failure)
        if failure:
            raise failure

    def close(self) -> None:
        """End everything: the calls that are under way, the threads, the input, the journal."""
        # What it holds belongs to the process that began it: sockets, files, threads.
        if self._closed or os.getpid() != self._process:
            return
        self._closed = True
        if self._workers.are_here() and not sys.is_finalizing():
            # By the collector, at any step of a worker, which may hold the lock of the journal.
            threading.Thread(target=self._close, name="batch-end", daemon=True).start()
        else:
            self._close()

    def _close(self) -> None:
        try:
            self._workers.end()
            self._discard()
        finally:
            if self._plan.recorder is not None:
                self._plan.recorder.close()
            self._plan.progress.close()
            self._end_source()

    def _discard(self) -> None:
        """Close the responses that nobody gets: a stream would keep its connection."""
        for result in (*self._outlet.drain(), *self._workers.left()):
            self._plan.responses.discard(result.response)

    def _end_source(self) -> None:
        source, self._source = self._source, None
        if isinstance(source, abc.Generator):
            source.close()


class Workers:
    """Threads that make calls; each is started when there is work for it.

    :ivar under_way: how many jobs were submitted whose result was not taken.
    """

    def __init__(self, plan: Plan) -> None:
        self.under_way = 0
        self._most = plan.max_workers
        self._context = plan.context
        self._crew = Crew()
        self._jobs: SimpleQueue[Optional[Job]] = SimpleQueue()
        self._results: SimpleQueue[Union[BatchResult[Any], BaseException]] = SimpleQueue()
        self._threads: List[threading.Thread] = []
        self._work = (plan.perform, plan.intake, plan.recorder)

    def submit(self, job: Job) -> None:
        """Have a job done."""
        self.under_way += 1
        self._jobs.put(job)
        if len(self._threads) < min(self._most, self.under_way):
            self._start()

    def _start(self) -> None:
        # The threads know the queues, not the batch: one that is dropped ends.
        thread = threading.Thread(
            target=self._context.copy().run,
            args=(_work, self._crew, self._jobs, self._results, *self._work),
            name=f"batch-{len(self._threads)}",
            # One that can't be woken (a name lookup) does not hold up the exit.
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()

    def wait(self) -> BatchResult[Any]:
        """Return a result as soon as there is one; raise what ended a worker."""
        while True:
            try:
                return self._taken(self._results.get(timeout=WAIT_SECONDS))
            except Empty:
                continue

    def finished(self) -> Iterator[BatchResult[Any]]:
        """Give the results that are there."""
        while True:
            try:
                result = self._results.get_nowait()
            except Empty:
                return
            yield self._taken(result)

    def _taken(self, result: Union[BatchResult[Any], BaseException]) -> BatchResult[Any]:
        self.under_way -= 1
        if isinstance(result, BaseException):
            raise result
        return result

    def end(self) -> None:
        """End the calls that are under way, and the threads."""
        self._crew.dismiss()
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + _FAREWELL_SECONDS
        for thread in self._threads:
            # It could not be started; or the collector closes the generator, at the very end.
            if thread.ident is not None and not sys.is_finalizing():
                thread.join(max(0.0, end - time.monotonic()))

    def are_here(self) -> bool:
        """Tell whether this is the thread of one of them."""
        return threading.current_thread() in self._threads

    def left(self) -> Iterator[BatchResult[Any]]:
        """Give the results that nobody has taken."""
        while not self._results.empty():
            result = self._results.get_nowait()
            if isinstance(result, BatchResult):
                yield result


def _work(
    crew: Crew,
    jobs: SimpleQueue[Optional[Job]],
    finished: SimpleQueue[Any],
    perform: Callable[[Any], Any],
    intake: Intake,
    recorder: Optional[Recorder],
) -> None:
    current_crew.set(crew)
    while True:
        job = jobs.get()
        if job is None or crew.stopping.is_set():
            return
        try:
            finished.put(_result(job, perform, intake, recorder))
        except Dismissed:
            return
        except BaseException as crash:  # SystemExit in a hook, a cancellation: the end of the batch
            finished.put(crash)
            return


def _result(
    job: Job, perform: Callable[[Any], Any], intake: Intake, recorder: Optional[Recorder]
) -> BatchResult[Any]:
    response, failure = None, None
    try:
        response = perform(job.item)
    except Exception as error:
        failure = error
    result = intake.result(job, response, failure)
    if recorder is not None:
        recorder.flush()
    return result


__all__ = ["results"]
