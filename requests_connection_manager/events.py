"""What happened: one typed stream, and who listens to it.

Holds the events (frozen, free of secrets: their URLs are redacted) and :class:`EventStream`, from
which statistics, logging and users' listeners all feed. Must not know an HTTP library, and decides
nothing.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, MutableMapping, Optional, Tuple, Type

from ._frozen_dataclass import dataclass, field
from .plugins import is_coroutine_hook
from .redaction import redact_text

logger = logging.getLogger("requests_connection_manager")
# A library says nothing unless the application configures logging.
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Event:
    """What all events have.

    :ivar scope: the endpoint pattern or origin whose breaker, limiter and budget apply.
    :ivar method: the HTTP method.
    :ivar url: the URL, redacted.
    """

    scope: str
    method: str
    url: str


@dataclass(frozen=True)
class CallStarted(Event):
    """A call begins: its pre-request hooks come next, then its attempts.

    All that happens until its ``CallFinished`` happens in the thread, or in the task, in which it
    began: a listener may keep what belongs to the call in a context variable. A call that a hook
    makes lies between the two events of the call around it.

    :ivar call: the number of the call, unique in this process; its ``CallFinished`` has it too.
    """

    call: int


@dataclass(frozen=True)
class CallFinished(Event):
    """A call came to an end, whatever it was; follows each ``CallStarted`` exactly once.

    Method and URL are those that the hooks left. A streamed call ends when its response is handed
    out, before its body is read.

    :ivar call: the number of the call.
    :ivar status: of the response that is handed out, a fallback's too; ``None`` when there is none.
    :ivar error: the class name of what is raised, cancellation included, or ``None``.
    :ivar elapsed: seconds that the call took, its hooks included.
    :ivar attempts: how many attempts were made for it, over all hops.
    """

    call: int
    status: Optional[int]
    error: Optional[str]
    elapsed: float
    attempts: int

    @property
    def result(self) -> str:
        """What it came to, in words."""
        plural = "attempt" if self.attempts == 1 else "attempts"
        what = self.status if self.error is None else self.error
        return f"{what} after {self.elapsed:.3g} s and {self.attempts} {plural}"


@dataclass(frozen=True)
class AttemptStarted(Event):
    """An attempt is about to be sent.

    :ivar number: counts from 1 in each hop of a redirect.
    :ivar headers: empty; what a listener puts in here, such as a ``traceparent``, is sent with this
        very attempt. Headers that the request has are left alone. What could be a credential, or
        would change the framing of the request, is not sent, and logged at WARNING.
    """

    number: int
    headers: MutableMapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class AttemptFinished(Event):
    """An attempt came to an end; also the entry in the history of a response or an error.

    :ivar number: counts from 1 in each hop of a redirect.
    :ivar status: the status, or ``None`` when no response came.
    :ivar error: the class name of the error, or ``None``.
    :ivar failed: whether the circuit breaker counts it as a failure.
    :ivar elapsed: seconds that the attempt took.
    :ivar waited: seconds waited before it, for backoff and for the limiter.
    """

    number: int
    status: Optional[int]
    error: Optional[str]
    failed: bool
    elapsed: float
    waited: float


@dataclass(frozen=True)
class RetryScheduled(Event):
    """Attempt ``number`` will be made after ``delay`` seconds, because of ``cause``."""

    number: int
    delay: float
    cause: str


@dataclass(frozen=True)
class RetrySuppressed(Event):
    """A failure worth a retry is not retried; ``reason`` is ``MaxRetriesExceeded.reason``."""

    number: int
    reason: str
    cause: str


@dataclass(frozen=True)
class ConnectionReplaced(Event):
    """A kept-alive connection had died; the request goes out again on a fresh one, for free."""


@dataclass(frozen=True)
class BreakerStateChanged(Event):
    """The circuit breaker of ``scope`` went from state ``old`` to ``new``."""

    old: str
    new: str


@dataclass(frozen=True)
class BreakerRefused(Event):
    """The circuit breaker refused to send; it lets a probe through in ``retry_after`` seconds."""

    retry_after: float


@dataclass(frozen=True)
class LimiterWaited(Event):
    """The limiter made the attempt wait ``seconds`` for its token."""

    seconds: float


@dataclass(frozen=True)
class LimiterRefused(Event):
    """The limiter refused to send; a token is free in ``retry_after`` seconds (0.0: unknown)."""

    retry_after: float

    @property
    def outlook(self) -> str:
        """What is known of the next token, in words."""
        return f"a token is free in {self.retry_after:.3g} s" if self.retry_after else "no token"


@dataclass(frozen=True)
class CallFailed(Event):
    """A call ended with ``error`` (its class name) and no fallback; ``text`` is redacted."""

    error: str
    text: str


Listener = Callable[[Any], None]

# At which level each event is logged, and how. The classic levels: details, traffic, trouble.
_LOG: Dict[Type[Event], Tuple[int, str]] = {
    CallStarted: (logging.DEBUG, "{e.method} {e.url}: call {e.call} begins"),
    CallFinished: (logging.DEBUG, "{e.method} {e.url}: call {e.call} -> {e.result}"),
    AttemptStarted: (logging.DEBUG, "{e.method} {e.url}: attempt {e.number}"),
    RetryScheduled: (
        logging.WARNING,
        "{e.method} {e.url}: {e.cause}, attempt {e.number} in {e.delay:.3g} s",
    ),
    RetrySuppressed: (
        logging.WARNING,
        "{e.method} {e.url}: {e.cause}, not retried after attempt {e.number}: {e.reason}",
    ),
    ConnectionReplaced: (logging.DEBUG, "{e.method} {e.url}: dead connection replaced"),
    BreakerStateChanged: (logging.WARNING, "circuit breaker of {e.scope}: {e.old} -> {e.new}"),
    BreakerRefused: (
        logging.WARNING,
        "{e.method} {e.url}: circuit breaker of {e.scope} is open for {e.retry_after:.3g} s",
    ),
    LimiterWaited: (logging.DEBUG, "{e.method} {e.url}: waited {e.seconds:.3g} s for a token"),
    LimiterRefused: (
        logging.WARNING,
        "{e.method} {e.url}: rate limit of {e.scope}, {e.outlook}",
    ),
    CallFailed: (logging.ERROR, "{e.method} {e.url}: {e.error}: {e.text}"),
}


class EventStream:
    """Hands each event to those who asked for its type.

    Thread-safe: listeners are kept in an immutable table that is swapped, so handing out takes no
    lock. Listeners run in the thread or task in which the event happened, in the order in which
    they were added; one that raises is logged at ERROR and never disturbs the request.

    >>> stream, seen = EventStream(), []
    >>> stream.add(seen.append, BreakerStateChanged)
    >>> stream.emit(BreakerStateChanged("api.test", "GET", "https://api.test/", "closed", "open"))
    >>> seen[0].new
    'open'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: Dict[Type[Event], Tuple[Listener, ...]] = {}

    def add(self, listener: Listener, *types: Type[Event]) -> None:
        """Call ``listener(event)`` for the given event ``types``, or for all when none is given."""
        if not callable(listener):
            raise TypeError(f"listener must be callable, not {listener!r}")
        if is_coroutine_hook(listener):
            raise TypeError(
                f"listener {listener!r} is a coroutine function, which nobody would await; give a "
                "plain function, which may start a task of its own"
            )
        for kind in types:
            if kind not in EVENT_TYPES:
                raise TypeError(
                    f"types must be classes of events such as AttemptFinished, not {kind!r}"
                )
        with self._lock:
            table = dict(self._table)
            for kind in types or EVENT_TYPES:
                table[kind] = (*table.get(kind, ()), listener)
            self._table = table

    def remove(self, listener: Listener) -> None:
        """Call ``listener`` no more. Raises ``ValueError`` when it was never added."""
        with self._lock:
            if not any(listener in known for known in self._table.values()):
                raise ValueError(f"listener {listener!r} is not registered")
            self._table = {
                kind: rest
                for kind, known in self._table.items()
                for rest in [tuple(one for one in known if one != listener)]
                if rest
            }

    def wants(self, kind: Type[Event]) -> bool:
        """Tell whether building an event of this type is worth the while."""
        return kind in self._table or (kind in _LOG and logger.isEnabledFor(_LOG[kind][0]))

    def emit(self, event: Event) -> None:
        """Log the event and hand it to its listeners."""
        kind = type(event)
        if kind is AttemptFinished:
            # The only event of every attempt: one check decides between its two log levels.
            if logger.isEnabledFor(logging.INFO):
                _log_attempt(event)
        else:
            level, template = _LOG[kind]
            if logger.isEnabledFor(level):
                logger.log(level, "%s", _encodable(template.format(e=event)))
        for listener in self._table.get(kind, ()):
            try:
                listener(event)
            except Exception as exc:
                logger.error(
                    "listener %r failed on %s: %s: %s",
                    listener,
                    kind.__name__,
                    type(exc).__name__,
                    redact_text(str(exc)),
                )

    def renew_lock(self) -> None:
        """Replace the lock; called in the child after a fork."""
        self._lock = threading.Lock()


def _encodable(text: str) -> str:
    """Return a text that any log takes: a URL may hold half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _log_attempt(event: Any) -> None:
    logger.info(
        "%s %s -> %s",
        event.method,
        _encodable(event.url),
        event.status if event.error is None else event.error,
    )
    logger.debug(
        "%s %s: attempt %d took %.3g s after waiting %.3g s",
        event.method,
        _encodable(event.url),
        event.number,
        event.elapsed,
        event.waited,
    )


EVENT_TYPES: Tuple[Type[Event], ...] = (AttemptFinished, *_LOG)
"""Every type of event."""

__all__ = [
    "EVENT_TYPES",
    "AttemptFinished",
    "AttemptStarted",
    "BreakerRefused",
    "BreakerStateChanged",
    "CallFailed",
    "CallFinished",
    "CallStarted",
    "ConnectionReplaced",
    "Event",
    "EventStream",
    "LimiterRefused",
    "LimiterWaited",
    "Listener",
    "RetryScheduled",
    "RetrySuppressed",
]
