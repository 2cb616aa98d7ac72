"""Taking up again what broke off while a body was read.

Holds :class:`Resumption`: what broke off is an attempt of the pipeline that has failed, and taking
it up again is the next one, so that the loop, the verdicts and the delays are those of requests.
Knows no HTTP library.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict, Mapping, Optional, Tuple, Type, TypeVar

from ..admission import deadline_exceeded
from ..call import Call
from ..core import Core
from ..events import Event, EventStream, RetryScheduled, RetrySuppressed
from ..exceptions import (
    CircuitBreakerOpen,
    ConnectionError,
    ConnectionManagerError,
    DeadlineExceeded,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitExceeded,
    TimeoutError,
)
from ..hop import Hop
from ..outcome import Outcome, Phase, retry_hint
from ..pipeline import run_pipeline
from ..policies.deadline import Deadline
from ..settings import CALL, CALL_SETTINGS, check_settings
from .exchange import Exchanger

T = TypeVar("T")

_UNAVAILABLE = 503
_INSTANT = 0.001  # the deadline of a call can't be now
_REPEATABLE = (bytes, str, dict, list, tuple)


def spent_by_sending(options: Mapping[str, Any]) -> Optional[str]:
    """Return the name of the option with a body that can be sent only once; ``None``: none has.

    >>> spent_by_sending({"data": b"again"}) is None, spent_by_sending({"data": iter([b"once"])})
    (True, 'data')
    """
    for name in ("data", "content", "files"):
        body = options.get(name)
        if body is not None and (name == "files" or not isinstance(body, _REPEATABLE)):
            return name
    return None


class Terms:
    """On which terms one request is taken up again: those of its URL, and of the call.

    :param options: those of the call; settings among them count.
    :raises TypeError: for a setting of the wrong type.
    :raises ValueError: for a setting out of range.

    :ivar deadline: when all of it must be over.
    """

    def __init__(
        self, exchanger: Exchanger, method: str, url: Any, options: Mapping[str, Any]
    ) -> None:
        core = exchanger.core
        given = {name: value for name, value in options.items() if name in CALL_SETTINGS}
        overrides = check_settings(given, CALL, "a stream") if given else given
        self.exchanger = exchanger
        self.method, self.url = method.upper(), exchanger.target(url)
        self.call = Call(core.configuration, overrides)
        self.settings, self.retry = self.call.settings_for(core.configuration.resolve(self.url))
        self.deadline: Optional[Deadline] = None

    def start(self) -> None:
        """Let the time of the call begin to run."""
        total, clock = self.settings.total_timeout, self.exchanger.core.clock.monotonic
        if total is not None and self.deadline is None:
            self.deadline = Deadline(total, clock, clock())

    def time_left(self) -> Dict[str, Any]:
        """Return the option by which a call of its own ends with this deadline."""
        if self.deadline is None:
            return {}
        return {"total_timeout": max(self.deadline.remaining(), _INSTANT)}

    @property
    def key(self) -> Optional[Tuple[str, str]]:
        """The header, name and value, that makes it safe to send the request more than once."""
        name = self.settings.idempotency_key_header
        if name is None or self._allowed:
            return None
        return name, self.call.idempotency_key()

    @property
    def resendable(self) -> bool:
        """Whether the policy allows to send the request more than once."""
        return self._allowed or self.key is not None

    @property
    def _allowed(self) -> bool:
        allowed = self.retry.allowed_methods
        return not allowed or self.method in allowed


class Resumption(Hop[T]):
    """What broke off, and the attempts to take it up again.

    :param broke: the error with which it broke off; it counts as the first attempt.
    :param attempt: opens the request anew and reads until it has something to return.
    :param at_least: seconds to wait before each attempt, whatever the policy says.
    """

    def __init__(
        self,
        terms: Terms,
        broke: Exception,
        attempt: Callable[[], Awaitable[T]],
        at_least: Callable[[], float],
    ) -> None:
        core = terms.exchanger.core
        self.call = Call(terms.call.configuration, terms.call.overrides)
        self.call.deadline = terms.deadline
        self.scope = core.scope(terms.call.configuration, terms.url)
        self.settings, self.retry = terms.settings, terms.retry
        self.events = _OnlyRetries(core)
        self.clock = core.clock
        self.method, self.url = terms.method, core.shown(terms.url)
        self.keyed = terms.key is not None
        # Every attempt is a call of its own, which asks them.
        self.breaker = self.limiter = self.budget = None
        self._terms, self._exchanger = terms, terms.exchanger
        self._broke: Optional[Exception] = broke
        self._attempt = attempt
        self._at_least = at_least

    async def run(self) -> T:
        """Return what the first attempt that succeeds returns.

        :raises MaxRetriesExceeded: the policy allows no further attempt.
        :raises DeadlineExceeded: the time of the call is up.
        """
        return await run_pipeline(self)

    # -- the verbs of the pipeline

    async def send(self) -> T:
        """Fail as it broke off, then open it anew."""
        self.sent = True
        broke, self._broke = self._broke, None
        if broke is not None:
            raise broke
        if self.call.deadline is not None and self.call.deadline.expired():
            raise deadline_exceeded(self)
        return await self._attempt()

    async def sleep(self, seconds: float) -> None:
        """Wait, on the clock of the client."""
        await self._exchanger.sleep(seconds)

    async def settle(self, response: T) -> None:
        """Do nothing: what an attempt returns is handed out."""

    def status(self, response: T) -> int:
        """Return 0: what an attempt returns has no status."""
        return 0

    def telling_headers(self, response: T) -> Optional[Mapping[str, str]]:
        """Return none."""
        return None

    def phase(self, error: Exception) -> Optional[Phase]:
        """Tell whether an error is worth another attempt, and for which methods."""
        if isinstance(error, HTTPError):
            return Phase.SENT if error.status_code in self.retry.status_forcelist else None
        if isinstance(error, (CircuitBreakerOpen, RateLimitExceeded)):
            return Phase.NOT_SENT
        if isinstance(error, (DeadlineExceeded, MaxRetriesExceeded)):
            return None
        if isinstance(error, (ConnectionError, TimeoutError)):
            return Phase.SENT  # a body that broke off
        return self._exchanger.phase(error)

    def failure(self, error: Exception, phase: Phase) -> Outcome:
        """Tell how long to wait: what was demanded of us, or what the server says now."""
        at_least = self._at_least()
        wait = max(at_least, self._hint(error))
        # What was demanded is waited for, however long it is; that is no hint to be weighed.
        longest = max(self._terms.settings.retry_after_max, at_least)
        self.settings = self._terms.settings.merged({"retry_after_max": longest})
        # Hints are heeded beside a status; this one is made up, the error stays what it is.
        return Outcome(_UNAVAILABLE, error, phase, {"Retry-After": f"{wait:.6f}"})

    def _hint(self, error: Exception) -> float:
        hint = getattr(error, "retry_after", None)
        if hint is None and isinstance(error, HTTPError):
            hint = retry_hint(error.headers or {}, self.clock.time, False)
        return float(hint or 0.0)

    def stale(self, error: Exception) -> bool:
        """Tell that nothing is known of connections."""
        return False

    def replayable(self) -> bool:
        """Tell that it can be sent again: that was checked when it began."""
        return True

    def deliver(self, response: T) -> T:
        """Return what an attempt returned."""
        return response

    def error(
        self,
        kind: Type[ConnectionManagerError],
        message: str,
        outcome: Optional[Outcome] = None,
        response: Optional[T] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        """Build an error that is also the library's own."""
        error = None if outcome is None else outcome.error
        if isinstance(error, HTTPError):
            outcome = Outcome(error.status_code)
            for name in ("status_code", "headers", "body"):
                details[name] = getattr(error, name)
        return self._exchanger.error(
            kind,
            message,
            outcome,
            request=getattr(error, "request", None),
            response=getattr(error, "response", None),
            attempts=tuple(self.call.attempts),
            **details,
        )


class _OnlyRetries(EventStream):
    """Passes on that something is tried again; what an attempt came to, its own call tells."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self._to = core.events

    def wants(self, kind: Type[Event]) -> bool:
        """Tell that no event is worth the while but those that are passed on."""
        return False

    def emit(self, event: Event) -> None:
        """Pass an event on, or not."""
        if isinstance(event, (RetryScheduled, RetrySuppressed)):
            self._to.emit(event)


__all__ = ["Resumption", "Terms", "spent_by_sending"]
