"""The order of operations, once, for both worlds.

Holds :func:`run_pipeline`, the one retry loop. The coroutine is awaited on the asynchronous side
and stepped through without an event loop on the synchronous one; it acts through a
:class:`~requests_connection_manager.hop.Hop` and knows no HTTP library::

    per hop       policy of this URL
    per attempt   breaker: is it open?   limiter: reserve   breaker: take a permit
                  credentials, timeout, send (the driver)
                  book the outcome       again?
"""

from __future__ import annotations

from typing import Any, Optional, Tuple, TypeVar

from urllib3.util.retry import Retry as UrllibRetry

from .admission import Refusal, admit, ask, deadline_exceeded, refused
from .events import (
    AttemptFinished,
    AttemptStarted,
    ConnectionReplaced,
    RetryScheduled,
    RetrySuppressed,
)
from .exceptions import DeadlineExceeded, HTTPError, MaxRetriesExceeded, public_name
from .hop import Hop
from .outcome import Outcome, Phase, quota_exhausted, retry_hint
from .policies.circuit_breaker import Admission
from .policies.rate_limit import Ticket
from .policies.retry import Again, Retry, Stop, Verdict, is_off, judge

R = TypeVar("R")


async def run_pipeline(hop: Hop[R]) -> R:
    """Send one hop with all its attempts and return the response.

    :raises RateLimitExceeded: the limiter refused the first attempt.
    :raises CircuitBreakerOpen: the breaker refused the first attempt.
    :raises MaxRetriesExceeded: a failure worth a retry is not retried any more.
    :raises DeadlineExceeded: the time of the call is up.
    """
    retry, off = hop.retry, is_off(hop.retry)
    number, cost = 1, 0
    outcome: Optional[Outcome] = None
    response: Optional[R] = None
    hint: Optional[float] = None
    waited = 0.0
    while True:
        try:
            permit, ticket, queued = await admit(hop, retrying=number > 1)
        except Refusal as refusal:
            if outcome is None:
                raise refused(hop, refusal) from None
            _take_back(hop, cost)
            return await _stop(hop, outcome, response, number - 1, refusal.reason, hint)
        except BaseException:
            _take_back(hop, cost)
            raise
        attempted = await _attempt(hop, permit, ticket, number, waited + queued)
        outcome, response = attempted
        hint = _heed_server(hop, outcome)
        verdict: Verdict = None
        if not off:
            hint_max = hop.settings.retry_after_max
            verdict = judge(retry, outcome, hop.method, hop.url, hop.keyed, hint, hint_max)
        if verdict is None:
            if response is None:
                raise _unhurt(outcome)
            if hop.budget is not None:
                _credit(hop, outcome, cost)
            return hop.deliver(response)
        if isinstance(verdict, Again):
            reason, cost = await _reason_against(hop, verdict, outcome, retry)
        else:
            reason = verdict.reason
        if reason or isinstance(verdict, Stop):
            return await _stop(hop, outcome, response, number, reason, hint)
        retry, waited, number = verdict.retry, verdict.delay, number + 1
        hop.events.emit(
            RetryScheduled(
                hop.scope.name, hop.method, hop.url, number, verdict.delay, outcome.cause
            )
        )
        try:
            await _settle_and_wait(hop, response, verdict.delay)
        except BaseException:
            _take_back(hop, cost)
            raise


async def _settle_and_wait(hop: Hop[R], response: Optional[R], delay: float) -> None:
    if response is not None:
        await hop.settle(response)
        # A streamed body may have taken all the time that was left to drip in.
        if hop.call.deadline is not None and hop.call.deadline.expired():
            raise deadline_exceeded(hop)
    if delay > 0:
        await hop.sleep(delay)


async def _attempt(
    hop: Hop[R], permit: Optional[Admission], ticket: Optional[Ticket], number: int, waited: float
) -> Tuple[Outcome, Optional[R]]:
    """Send once and book what it came to; errors that are not the network's pass through."""
    began = hop.clock.monotonic()
    response: Optional[R] = None
    error: Optional[BaseException] = None
    outcome: Optional[Outcome] = None
    hop.sent = False
    try:
        if hop.events.wants(AttemptStarted):
            _announce(hop, number)
            began = hop.clock.monotonic()
        response = await _send_past_stale_connections(hop)
        status = hop.status(response)
        expected = status in hop.settings.ok_statuses
        outcome = Outcome(status, None, None, hop.telling_headers(response), expected)
    except Exception as exc:
        error, phase = exc, _phase(hop, exc)
        if phase is None:
            raise
        outcome = hop.failure(exc, phase)
        if phase is Phase.LOCAL or _is_late(hop, exc):
            raise
    except BaseException as exc:
        error = exc
        raise
    finally:
        local = outcome is not None and outcome.phase is Phase.LOCAL
        if ticket is not None and (local or not hop.sent):
            ticket.cancel()
        _record(hop, outcome, error, number, hop.clock.monotonic() - began, waited)
        if permit is not None:
            await _book(hop, permit, outcome)
    return outcome, response


def _announce(hop: Hop[R], number: int) -> None:
    """Tell listeners of the attempt, and take the headers that they give."""
    started = AttemptStarted(hop.scope.name, hop.method, hop.url, number)
    hop.events.emit(started)
    hop.attempt_headers = started.headers


def _phase(hop: Hop[R], error: Exception) -> Optional[Phase]:
    """Tell how far the attempt had got; ``None``: what went wrong is not about sending."""
    if not hop.sent:
        # Raised while credentials were put on, perhaps by a call of their own.
        return None
    return Phase.SENT if _is_late(hop, error) else hop.phase(error)


def _is_late(hop: Hop[R], error: Exception) -> bool:
    """Tell whether the time of this very call is up, not of one that it made in turn."""
    if not isinstance(error, DeadlineExceeded) or hop.call.deadline is None:
        return False
    return hop.call.late or hop.call.deadline.expired()


async def _send_past_stale_connections(hop: Hop[R]) -> R:
    """Send; a kept-alive connection that turns out to be dead is replaced once, for free."""
    try:
        return await hop.send()
    except Exception as exc:
        if not hop.sent or is_off(hop.retry):
            raise
        if not (hop.keyed or hop.method in _resendable(hop.retry)):
            raise
        if not hop.stale(exc) or not hop.replayable():
            raise
    hop.events.emit(ConnectionReplaced(hop.scope.name, hop.method, hop.url))
    await hop.replace_connection()
    return await hop.send()


def _resendable(retry: UrllibRetry) -> Any:
    # None allows every method to be *retried*; a free replay stays with the idempotent ones.
    return retry.allowed_methods or Retry.DEFAULT_ALLOWED_METHODS


def _record(
    hop: Hop[R],
    outcome: Optional[Outcome],
    error: Optional[BaseException],
    number: int,
    elapsed: float,
    waited: float,
) -> None:
    event = AttemptFinished(
        hop.scope.name,
        hop.method,
        hop.url,
        number,
        None if outcome is None else outcome.status,
        None if error is None else public_name(error),
        outcome is not None and outcome.failed,
        elapsed,
        waited,
    )
    hop.call.attempts.append(event)
    hop.events.emit(event)


async def _book(hop: Hop[R], permit: Admission, outcome: Optional[Outcome]) -> None:
    breaker = hop.breaker
    if breaker is None:
        return
    if outcome is None or outcome.phase in (Phase.LOCAL, Phase.QUEUED):
        # Cancelled, Ctrl-C, an error of ours: nothing was learned about the server.
        permit.release()
    elif not outcome.failed:
        await ask(hop, breaker, permit.success)
    else:
        error = outcome.error or HTTPError(outcome.cause, status_code=outcome.status)
        await ask(hop, breaker, permit.failure, error)


def _heed_server(hop: Hop[R], outcome: Outcome) -> Optional[float]:
    """Return the server's hint; when the quota is used up, everyone in this scope pauses."""
    headers = outcome.headers
    if headers is None:
        return None
    throttled = outcome.throttled
    exhausted = throttled or quota_exhausted(headers)
    if not exhausted and (outcome.status or 0) < 400:
        return None
    hint = retry_hint(headers, hop.clock.time, throttled)
    if exhausted and hint and hop.limiter is not None:
        hop.limiter.pause(min(hint, hop.settings.retry_after_max))
    return hint


async def _reason_against(
    hop: Hop[R], verdict: Again, outcome: Outcome, retry: UrllibRetry
) -> Tuple[str, int]:
    """Return why the retry can't be made (empty: it can), and what it takes from the budget."""
    if not hop.replayable():
        return "body_not_replayable", 0
    deadline = hop.call.deadline
    if deadline is not None and verdict.delay >= deadline.remaining():
        return "deadline", 0
    breaker = hop.breaker
    if breaker is not None:
        closed_for = await ask(hop, breaker, breaker.check)
        if closed_for is not None and closed_for > verdict.delay:
            return "circuit_open", 0
    budget = hop.budget
    # A Retry of the caller's decides everything itself.
    if budget is None or not isinstance(retry, Retry):
        return "", 0
    cost = budget.take(outcome.throttled)
    return ("", cost) if cost else ("retry_budget", 0)


def _take_back(hop: Hop[R], cost: int) -> None:
    """Return to the budget what was paid for a retry that is not sent."""
    if hop.budget is not None and cost:
        hop.budget.success(cost)


def _credit(hop: Hop[R], outcome: Outcome, cost: int) -> None:
    if hop.budget is not None and not outcome.failed and not outcome.throttled:
        hop.budget.success(cost)


async def _stop(
    hop: Hop[R],
    outcome: Outcome,
    response: Optional[R],
    number: int,
    reason: str,
    hint: Optional[float],
) -> R:
    """End a call whose failure was worth a retry."""
    hop.events.emit(
        RetrySuppressed(hop.scope.name, hop.method, hop.url, number, reason, outcome.cause)
    )
    if response is not None and (outcome.expected or not hop.retry.raise_on_status):
        return hop.deliver(response)
    if outcome.error is not None and reason == "body_not_replayable":
        raise _unhurt(_noted(outcome))
    if response is not None:
        await hop.settle(response)
    plural = "attempt" if number == 1 else "attempts"
    error = hop.error(
        MaxRetriesExceeded,
        f"{hop.method} {hop.url} failed after {number} {plural} ({reason}): {outcome.cause}",
        outcome,
        response,
        reason=reason,
        retry_after=hint,
    )
    # Drivers that make an error of a response name it as the cause themselves.
    raise error from (error.__cause__ if outcome.error is None else outcome.error)


_NOTE = "not retried: the request body was consumed and cannot be replayed"


def _noted(outcome: Outcome) -> Outcome:
    """Say on the original error itself why it was not retried (PEP 678, on every Python)."""
    error = outcome.error
    if error is not None:
        error.__notes__ = [*getattr(error, "__notes__", ()), _NOTE]  # type: ignore[attr-defined]
    return outcome


def _unhurt(outcome: Outcome) -> Exception:
    """Return the library's own error, to be raised untouched."""
    error = outcome.error
    assert error is not None
    return error
