"""What a manager tells of itself, when it is asked.

Holds :func:`statistics` and :func:`explanation`, which ``get_stats()`` and ``explain()`` return.
Shows no secret and changes nothing. Knows the core, no HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from .endpoints import Configuration, pattern_name
from .origins import origin_of, origin_text
from .policies.auth import AUTH_FIELDS
from .policies.circuit_breaker import CircuitBreaker
from .policies.ticket_queue import QueueingLimiter
from .redaction import REDACTED, redact_sensitive_data, redact_url
from .registry import Parts, scope_name

if TYPE_CHECKING:
    from .core import Core


def statistics(core: Core) -> Dict[str, Any]:
    """Return what ``get_stats()`` is documented to."""
    settings = core.configuration.settings
    worst = max(map(_badness, core.registry.breakers(core.configuration)), default=(0, 0))
    enabled = settings.circuit_breaker_failure_threshold is not None
    state = _STATES[worst[0]] if enabled or worst[0] else "disabled"
    return {
        "circuit_breaker_state": state,
        "circuit_breaker_failure_count": worst[1],
        "rate_limit_requests": settings.rate_limit_requests,
        "rate_limit_period": settings.rate_limit_period,
        "timeout": settings.timeout,
        "registered_hooks": core.plugins.list_hooks(),
        "endpoint_configs": _shown_endpoints(core.configuration),
        "scopes": _scopes(core),
    }


def _scopes(core: Core) -> Dict[str, Dict[str, Any]]:
    """Return the statistics by name; of scopes that share one, the worst shows."""
    remembered = core.registry.parts()
    live: Dict[str, Parts] = {}
    for scope in core.registry.scopes():
        known = live.get(scope.name)
        if known is None or _badness(scope.breaker) >= _badness(known.breaker):
            live[scope.name] = Parts(scope.breaker, scope.limiter, scope.budget)
    return {
        name: {**_live(live.get(name) or remembered.get(name)), **core.stats.scope(name)}
        for name in {**dict.fromkeys(core.stats.names()), **live}
    }


def explanation(core: Core, method: str, url: str) -> Dict[str, Any]:
    """Return what ``explain()`` is documented to."""
    configuration = core.configuration
    policy = configuration.resolve(url)
    origin = origin_of(url)
    mine = core.home in (None, origin)
    names = [
        name
        for level in (configuration.credentials if mine else None, policy.credentials)
        if level is not None
        for name in [*(name for name, _ in level.headers), *(level.query or ())[:1]]
    ]
    return {
        "method": method.upper(),
        "url": redact_url(url),
        "pattern": policy.pattern,
        "origin": origin_text(origin),
        "scope": scope_name(policy, origin),
        "credentials": sorted(set(names)),
        "retried_after_sending": policy.settings.allowed_methods is None
        or method.upper() in policy.settings.allowed_methods
        or policy.settings.idempotency_key_header is not None,
        "settings": _shown(vars(policy.settings)),
    }


_STATES = ("closed", "half-open", "open")


def _badness(breaker: Optional[CircuitBreaker]) -> Tuple[int, int]:
    if breaker is None:
        return 0, 0
    return _STATES.index(breaker.state), breaker.failure_count


def _live(parts: Optional[Parts]) -> Dict[str, Any]:
    if parts is None:
        return {}
    breaker, limiter, budget = parts
    return {
        "circuit_breaker_state": "disabled" if breaker is None else breaker.state,
        "circuit_breaker_failure_count": 0 if breaker is None else breaker.failure_count,
        "rate_limit_fill": 0.0 if limiter is None else limiter.fill(),
        # Limiters of the user's own need not tell.
        "rate_limit_paused_for": (
            limiter.paused_for() if isinstance(limiter, QueueingLimiter) else 0.0
        ),
        "retry_budget_available": None if budget is None else budget.available,
    }


def _shown_endpoints(configuration: Configuration) -> Dict[str, Any]:
    return {pattern_name(pattern): _shown(own) for pattern, own in configuration.endpoints.items()}


# Settings whose values are credentials, whatever their names look like.
_SECRET = frozenset({*AUTH_FIELDS, "auth"})


def _shown(settings: Mapping[str, Any]) -> Dict[str, Any]:
    shown = {}
    for name, value in settings.items():
        if name == "headers":
            shown[name] = redact_sensitive_data(dict(value or ()))
        else:
            shown[name] = REDACTED if name in _SECRET and value is not None else value
    return shown


__all__ = ["explanation", "statistics"]
