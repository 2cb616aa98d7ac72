"""A hop whose attempt is the call of a function.

Holds :class:`FunctionHop` and what runs the pipeline over it, so that functions are retried by the
very loop that retries requests. Knows no HTTP library: an error may carry a response, that is all.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple, Type, TypeVar

from .. import core
from .._sync import run_sync
from ..call import Call
from ..endpoints import Configuration, Policy
from ..events import CallFailed, EventStream
from ..exceptions import ConnectionManagerError, public_name
from ..hop import Hop
from ..origins import Origin
from ..outcome import Outcome, Phase, retry_hint
from ..pipeline import run_pipeline
from ..policies.retry import Retry
from ..redaction import redact_text
from ..registry import Parts, Scope
from ..settings import Settings
from ..types import Clock

R = TypeVar("R")

EVENTS = EventStream()
"""What happens to functions that are retried; from here it goes to the package's logger."""

# Hints are cut to what a function may wait, not refused.
_SETTINGS = Settings(retry_after_max=math.inf)
_CONFIGURATION = Configuration(_SETTINGS, {}, {})
_NOWHERE = Origin("", "", 0)
_OVERLOADED = 503


class GivenUp(ConnectionManagerError):
    """The pipeline makes no further attempt. Internal: callers see the last error itself."""


class Terms(NamedTuple):
    """On which terms a function is called again.

    :ivar retry: how often, and after which delays.
    :ivar worth: returns the classes of the errors that are worth another call.
    :ivar max_delay: longest hint of a server, in seconds, that is followed to the full.
    :ivar clock: where time comes from; ``None``: the system's.
    """

    retry: Retry
    worth: Callable[[], Tuple[Type[BaseException], ...]]
    max_delay: float
    clock: Optional[Clock]


class FunctionHop(Hop[R]):
    """Calls of one function until it returns.

    :param function: what an attempt calls.
    :param name: what log messages call it.
    :param method: what they say is done with it.
    """

    def __init__(
        self,
        function: Callable[[], R],
        name: str,
        terms: Terms,
        method: str = "call",
        settings: Settings = _SETTINGS,
    ) -> None:
        self.call = Call(_CONFIGURATION, {})
        self.scope = Scope(name, Policy(settings, terms.retry), _NOWHERE, Parts(), ())
        self.settings, self.retry = settings, terms.retry
        self.events = EVENTS
        self.clock = core.SystemClock() if terms.clock is None else terms.clock
        self.method, self.url = method, name
        self.keyed = False
        self.breaker = self.limiter = self.budget = None
        self._terms = terms
        self._function = function
        self._last: Optional[Tuple[Exception, Optional[BaseException]]] = None

    # -- the verbs of the pipeline

    async def send(self) -> R:
        """Call the function."""
        self.sent = True
        return self._function()

    async def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        self.clock.sleep(seconds)

    async def settle(self, response: R) -> None:
        """Do nothing: what a function returned is handed out."""

    def status(self, response: R) -> int:
        """Return 0: a function that returns has no status."""
        return 0

    def telling_headers(self, response: R) -> Optional[Mapping[str, str]]:
        """Return none."""
        return None

    def phase(self, error: Exception) -> Optional[Phase]:
        """Tell whether an error is worth another call."""
        return Phase.SENT if isinstance(error, self._terms.worth()) else None

    def failure(self, error: Exception, phase: Phase) -> Outcome:
        """Add to an error the hint that it carries."""
        self._last = error, error.__context__
        hint = hint_of(error, self.clock.time)
        if hint is None:
            return Outcome(error=error, phase=phase)
        headers = {"Retry-After": f"{min(hint, self._terms.max_delay):.6f}"}
        return Outcome(_OVERLOADED, error, phase, headers)

    def stale(self, error: Exception) -> bool:
        """Tell that nothing is known of connections."""
        return False

    def replayable(self) -> bool:
        """Tell that a function can be called again."""
        return True

    def deliver(self, response: R) -> R:
        """Return what the function returned."""
        return response

    def error(
        self,
        kind: Any,
        message: str,
        outcome: Optional[Outcome] = None,
        response: Optional[R] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        """Build what ends the pipeline; the caller sees the error that led to it."""
        return GivenUp(message)

    # -- the end

    def gave_up(self, error: Exception) -> bool:
        """Tell whether an error means that a call worth another one is not made again."""
        return isinstance(error, GivenUp) or (self._last is not None and error is self._last[0])

    def fail(self) -> R:
        """Raise the function's last error as the function raised it."""
        assert self._last is not None
        error, context = self._last
        if self.events.wants(CallFailed):
            text = redact_text(str(error))
            self.events.emit(CallFailed(self.url, self.method, self.url, public_name(error), text))
        try:
            raise error
        finally:
            # Raising it anew made whatever the caller is handling its context.
            error.__context__ = context


class AsyncFunctionHop(FunctionHop[R]):
    """Calls of one function whose results are awaited."""

    _function: Any

    async def send(self) -> R:
        """Call the function and await what it returns."""
        self.sent = True
        result: R = await self._function()
        return result

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        await self.clock.asleep(seconds)


def run_function(hop: FunctionHop[R]) -> R:
    """Call the function of ``hop`` until it returns; raise its own error when it never does."""
    try:
        return run_sync(run_pipeline(hop))
    except Exception as exc:
        if not hop.gave_up(exc):
            raise
    return hop.fail()


async def run_async_function(hop: AsyncFunctionHop[R]) -> R:
    """Await the function of ``hop`` until it returns; raise its own error when it never does."""
    try:
        return await run_pipeline(hop)
    except Exception as exc:
        if not hop.gave_up(exc):
            raise
    return hop.fail()


def hint_of(error: BaseException, wall_clock: Callable[[], float]) -> Optional[float]:
    """Return the seconds for which an error asks to wait, or ``None``.

    That is its ``retry_after``, else what the headers of its ``response`` say, or its own.

    >>> error = ConnectionError()
    >>> error.retry_after = 7
    >>> hint_of(error, None)
    7.0
    """
    own = getattr(error, "retry_after", None)
    if isinstance(own, (int, float)) and not isinstance(own, bool) and 0 <= own < math.inf:
        return float(own)
    response = getattr(error, "response", None)
    for source in (response, error):
        headers = getattr(source, "headers", None)
        if isinstance(headers, Mapping):
            throttled: bool = getattr(source, "status_code", None) == 429
            return retry_hint(headers, wall_clock, throttled)
    return None
