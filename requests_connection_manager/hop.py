"""One hop, as the pipeline sees it.

Holds :class:`Hop`: one request to one URL and the verbs with which the pipeline acts on it. Each
driver fills them in for its HTTP library; nothing here knows one.
"""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Container,
    Dict,
    Generic,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
)

from urllib3.util.retry import Retry as UrllibRetry

from ._frozen_dataclass import dataclass
from .call import Call
from .events import EventStream
from .exceptions import ConnectionManagerError
from .outcome import Outcome, Phase
from .policies.auth import choose
from .policies.circuit_breaker import Breaker
from .policies.rate_limit import PauseOnlyRateLimiter, RateLimiter
from .policies.retry_budget import RetryBudget
from .redaction import is_sensitive_field
from .registry import Scope
from .settings import Settings
from .types import Clock

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Additions:
    """Headers, a query parameter and an auth object to put on a copy of a request."""

    headers: Tuple[Tuple[str, str], ...]
    query: Optional[Tuple[str, str]]
    auth: Any


class Hop(Generic[R]):
    """One request to one URL, and how to act on it; each driver fills in the verbs.

    :ivar keyed: the request carries an idempotency key.
    :ivar sent: this attempt was handed to the transport; drivers set it right before they do.
    :ivar queues_elsewhere: the user has a limiter that is no ``RateLimiter``.
    :ivar attempt_headers: what listeners put on this attempt, unchecked; ``None``: nobody listens.
    """

    call: Call
    scope: Scope
    settings: Settings
    retry: UrllibRetry
    events: EventStream
    clock: Clock
    method: str
    url: str
    """The URL, redacted: for events and messages."""
    keyed: bool
    sent: bool = False
    queues_elsewhere: bool = False
    attempt_headers: Optional[Mapping[str, str]] = None
    breaker: Optional[Breaker]
    limiter: Optional[RateLimiter]
    budget: Optional[RetryBudget]

    def enter(self, scope: Scope, settings: Settings) -> None:
        """Take those stages of the scope that are not switched off for this call."""
        self.scope, self.settings = scope, settings
        on = settings.circuit_breaker_failure_threshold is not None
        self.breaker = scope.breaker if on else None
        on = settings.rate_limit_requests is not None or settings.rate_limiter is not None
        # One without a count of its own is not what a call can leave out.
        on = on or isinstance(scope.limiter, PauseOnlyRateLimiter)
        self.limiter = scope.limiter if on else None
        self.budget = scope.budget if settings.retry_budget is not None else None

    def needs_key(self, present: Container[str]) -> bool:
        """Tell whether the request carries, or is to be given, an idempotency key.

        :param present: lower-case names of the headers that it has.
        """
        name = self.settings.idempotency_key_header
        if name is None:
            return False
        allowed = self.settings.allowed_methods
        return name.lower() in present or (allowed is not None and self.method not in allowed)

    def additions(self, present: Container[str]) -> Optional[Additions]:
        """Return what of ours has to be on the request; ``None``: nothing at all.

        The manager's credentials go to the origin of the first hop only, an endpoint's to the
        URLs of its pattern, whoever redirected there.

        :param present: lower-case names of the headers that it has.
        """
        policy, call = self.scope.policy, self.call
        manager = call.configuration.credentials
        if manager is not None and self.scope.origin != call.first_origin:
            manager = None
        key = self.settings.idempotency_key_header if self.keyed else None
        if key is not None and key.lower() in present:
            key = None
        if manager is None and key is None and not policy.adds and not self.attempt_headers:
            return None
        endpoint = policy.credentials
        if call.anonymous:
            manager = endpoint = None
        headers, query = choose(manager, endpoint, present, call.explicit, call.from_netrc)
        own = tuple(
            pair
            for pair in policy.headers
            if pair[0].lower() not in call.explicit
            and not (call.anonymous and is_sensitive_field(pair[0]))
        )
        keys = () if key is None else ((key, call.idempotency_key()),)
        without = call.anonymous or call.answering or "authorization" in call.explicit
        auth = None if without else policy.auth
        # First, so that everything else overrides them.
        listeners = self.headers_of_listeners(present).items()
        return Additions((*listeners, *headers, *own, *keys), query, auth)

    def headers_of_listeners(self, present: Container[str]) -> Dict[str, str]:
        """Return what listeners put on this attempt and may be sent.

        :param present: lower-case names of the headers that the request has.
        """
        if not self.attempt_headers:
            return {}
        from .attempt_headers import sendable  # few have such listeners

        kept = sendable(self.attempt_headers, present, self.call.carried)
        self.call.carried |= {name.lower() for name in kept}
        return kept

    async def queue_elsewhere(self) -> None:
        """Wait in a queue of the user's own, of which only that is known; most have none."""

    async def send(self) -> R:
        """Send once, on a copy with credentials, within timeout and deadline."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        raise NotImplementedError

    async def blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function that does I/O."""
        raise NotImplementedError

    async def settle(self, response: R) -> None:
        """Read a response that is not going to be handed out, so that its connection is free."""
        raise NotImplementedError

    def status(self, response: R) -> int:
        """Return the status of a response."""
        raise NotImplementedError

    def telling_headers(self, response: R) -> Optional[Mapping[str, str]]:
        """Return the headers, looked up without regard to case, if they can hold a hint."""
        raise NotImplementedError

    def phase(self, error: Exception) -> Optional[Phase]:
        """Tell how far the request had got; ``None``: not an error of sending."""
        raise NotImplementedError

    def stale(self, error: Exception) -> bool:
        """Tell whether a reused connection died before the first byte of the response."""
        raise NotImplementedError

    def replayable(self) -> bool:
        """Tell whether the body can be sent once more."""
        raise NotImplementedError

    def failure(self, error: Exception, phase: Phase) -> Outcome:
        """Tell what an attempt came to that failed; drivers may know more than the error."""
        return Outcome(error=error, phase=phase)

    async def replace_connection(self) -> None:
        """Make the next send use a new connection."""
        raise NotImplementedError

    def deliver(self, response: R) -> R:
        """Return what the caller gets."""
        raise NotImplementedError

    def error(
        self,
        kind: Type[ConnectionManagerError],
        message: str,
        outcome: Optional[Outcome] = None,
        response: Optional[R] = None,
        **details: Any,
    ) -> ConnectionManagerError:
        """Build an error that is also the library's own."""
        raise NotImplementedError
