"""The two events around a call, for every face in the same words.

Holds :func:`call_report`, which a face puts around a call, hooks included. Knows events and calls,
no HTTP library.
"""

from __future__ import annotations

import contextvars
import itertools
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple, Type, TypeVar

from .call import Call
from .events import CallFinished, CallStarted, EventStream
from .exceptions import public_name
from .origins import origin_text

if TYPE_CHECKING:
    from .core import Core

T = TypeVar("T")

_numbers = itertools.count(1)


class SilentReport:
    """The report on a call whose beginning and end nobody wants to know."""

    __slots__ = ()

    def __enter__(self) -> SilentReport:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Do nothing."""

    def returned(self, response: T) -> T:
        """Note the status of what the call returns, and return it."""
        return response

    def answered(self, status: int) -> None:
        """Note the status, where what the call returns does not have it."""


class CallReport(SilentReport):
    """Emits ``CallStarted`` when it is entered and ``CallFinished``, in any case, when it is left.

    For one call, in one thread or task.
    """

    __slots__ = (
        *("_absolute", "_began", "_calls", "_core", "_number", "_outer", "_over", "_status"),
        "_target",
    )

    def __init__(self, core: Core, target: Any, absolute: Optional[Callable[[str], str]]) -> None:
        self._core = core
        self._target = target
        self._absolute = absolute
        self._number = next(_numbers)
        self._status: Optional[int] = None
        self._calls: List[Call] = []
        self._outer: Optional[CallReport] = None
        self._over = False

    def __enter__(self) -> CallReport:
        self._outer = _current.get()
        _current.set(self)
        self._began = self._core.clock.monotonic()
        try:
            self._core.events.emit(CallStarted(*self._where(), self._number))
        except BaseException as exc:
            # Ctrl-C while a listener ran: others have heard that the call began.
            self.__exit__(type(exc), exc, None)
            raise
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Tell how the call ended."""
        # A coroutine that was abandoned is closed somewhere else, where another call may be on.
        if _current.get() is self:
            _current.set(self._outer)
        self._over, self._outer = True, None
        self._core.events.emit(
            CallFinished(
                *self._where(),
                self._number,
                self._status if error is None else None,
                None if error is None else public_name(error),
                self._core.clock.monotonic() - self._began,
                sum(len(call.attempts) for call in self._calls),
            )
        )

    def returned(self, response: T) -> T:
        """Note the status of what the call returns, and return it."""
        # A fallback may be anything.
        status = getattr(response, "status_code", None)
        self._status = status if isinstance(status, int) else None
        return response

    def answered(self, status: int) -> None:
        """Note the status, where what the call returns does not have it."""
        self._status = status

    def covers(self, events: EventStream) -> bool:
        """Tell whether what begins now belongs to this call."""
        # A hook may have started tasks that go on when the call is over.
        return not self._over and self._core.events is events

    def add(self, call: Call) -> None:
        """Count the attempts of ``call``."""
        self._calls.append(call)

    def _where(self) -> Tuple[str, str, str]:
        url, core = str(self._target.url), self._core
        if self._absolute is not None:
            try:
                url = self._absolute(url)
            except ValueError:
                pass  # the call itself is about to say what is wrong with it
        # Who mixes up the parameters has put the URL in the place of the method.
        method = core.shown(str(self._target.method)).upper()
        return origin_text(core.origin(url)), method, core.shown(url)


_SILENT = SilentReport()

_current: contextvars.ContextVar[Optional[CallReport]] = contextvars.ContextVar(
    "requests_connection_manager_call_report", default=None
)


def call_report(
    core: Core, target: Any, absolute: Optional[Callable[[str], str]] = None
) -> SilentReport:
    """Return what to put around a call, its hooks included, with ``with``, on either side.

    It costs next to nothing when nobody wants to know.

    :param target: has ``method`` and ``url``, as the context of the hooks does; read again at the
        end, for hooks may change it.
    :param absolute: makes a whole URL of ``target.url``, where there is a base URL.

    >>> from requests_connection_manager import CallFinished, ConnectionManager, RequestContext
    >>> core = ConnectionManager().core
    >>> core.events.add(lambda event: print(event.url, event.error), CallFinished)
    >>> with call_report(core, RequestContext("GET", "https://api.test/?token=abc")) as report:
    ...     result = report.returned("a response")
    https://api.test/?token=[REDACTED] None
    """
    events = core.events
    if events.wants(CallStarted) or events.wants(CallFinished):
        return CallReport(core, target, absolute)
    return _SILENT


def note_call(events: EventStream, call: Call) -> None:
    """Tell the report that is under way, if any, which call it is about."""
    report = _current.get()
    if report is not None and report.covers(events):
        report.add(call)


__all__ = ["CallReport", "SilentReport", "call_report", "note_call"]
