"""The table of settings: what each takes, what it refuses, and who may give it."""

from __future__ import annotations

import re
from typing import Any, Dict

import pytest
from urllib3.util.retry import Retry as UrllibRetry
from urllib3.util.timeout import Timeout

from requests_connection_manager.policies.retry import Retry
from requests_connection_manager.policies.retry_budget import RetryBudget
from requests_connection_manager.settings import (
    CALL,
    CALL_SETTINGS,
    ENDPOINT,
    MANAGER,
    MANAGER_SETTINGS,
    SETTINGS,
    Settings,
    check_settings,
    known_settings,
)


class Limiter:
    def reserve(self, max_wait: float) -> Any: ...

    def pause(self, seconds: float) -> None: ...

    def fill(self) -> float: ...


class Breaker:
    def call(self, function: Any) -> Any: ...


NAN, INFINITE = float("nan"), float("inf")
NUMBERS_REFUSED = [True, "1", b"1", [1], object()]

# name -> values that are taken, values of a wrong type, values out of range
TABLE: Dict[str, Any] = {
    "max_retries": ([0, 5, UrllibRetry(3), Retry(1)], [True, "3", 1.5, None, [3]], [-1]),
    "backoff_factor": ([0, 0.3, 5], [*NUMBERS_REFUSED, None], [-0.1, NAN, INFINITE]),
    "backoff_max": ([0, 120], [*NUMBERS_REFUSED, None], [-1, NAN, INFINITE]),
    "backoff_jitter": ([0, 0.1, 1], [*NUMBERS_REFUSED, None], [-1, NAN]),
    "status_forcelist": ([(), [503], {429, 500}], ["503", 503, None, ["503"], [True]], [[99]]),
    "allowed_methods": ([None, ["GET"], {"get", "POST"}], ["GET", 7, [7]], [[]]),
    "raise_on_status": ([True, False], [0, 1, None, "yes"], []),
    "raise_for_status": ([True, False], [0, 1, None, "yes"], []),
    "ok_statuses": ([(), {404}, range(400, 410)], ["404", 404, None, ["404"], [True]], [[99]]),
    "retry_after_max": ([0, 60.5], [*NUMBERS_REFUSED, None], [-1, NAN, INFINITE]),
    "retry_budget": ([None, RetryBudget()], [500, "budget"], []),
    "idempotency_key_header": ([None, "Idempotency-Key"], [7, b"X"], ["", "a b", "a:b", "a\r\nb"]),
    "timeout": (
        [None, 0.5, 30, (3, 27), (None, 5), (1, 2, 3, 4), Timeout(3)],
        [True, "30", object(), ("1", 2)],
        [0, -1, NAN, INFINITE, (1, 2, 3), (1,), (0, 1), (-1, 5)],
    ),
    "connect_timeout": ([None, 3.05], [*NUMBERS_REFUSED], [0, -1, NAN, INFINITE]),
    "read_timeout": ([None, 30], [*NUMBERS_REFUSED], [0, -1, NAN, INFINITE]),
    "total_timeout": ([None, 5], [*NUMBERS_REFUSED], [0, -1, NAN, INFINITE]),
    "rate_limit_requests": ([None, 1, 100], [True, "100", 1.5], [0, -5]),
    "rate_limit_period": ([0.5, 60], [*NUMBERS_REFUSED, None], [0, -1, NAN, INFINITE]),
    "rate_limit_mode": (["raise", "wait"], [None, 7, True], ["Wait", "", "queue"]),
    "rate_limiter": ([None, Limiter()], [object(), "limiter", 5], []),
    "follow_server_limits": ([True, False], [0, 1, None, "yes"], []),
    "circuit_breaker_failure_threshold": ([None, 1, 5], [True, "5", 5.0], [0, -1]),
    "circuit_breaker_recovery_timeout": (
        [0, 60, 0.5],
        [*NUMBERS_REFUSED, None],
        [-1, NAN, INFINITE],
    ),
    "half_open_max_calls": ([1, 3], [True, "1", 1.0, None], [0, -1]),
    "circuit_breaker": ([None, Breaker()], [object(), 5], []),
    "api_key": ([None, "key"], [7, b"key"], ["", "a\r\nX: y", "a\nb", "a\0b", "\u20ac"]),
    "api_key_header": (["X-API-Key"], [None, 7], ["", "X Key", "X:Key"]),
    "api_key_query": ([None, "key", ("key", "secret")], [7, "", ("a",), ("a", 7)], []),
    "bearer_token": ([None, "t"], [7, b"t"], ["", "a\r\nb"]),
    "oauth2_token": ([None, "t"], [7, b"t"], ["", "a\r\nb"]),
    "basic_auth": ([None, ("u", "p"), ("", "")], ["u:p", ("u",), ("u", 7), 7], [("a:b", "p")]),
    "auth": ([None, ("u", "p"), object()], [], []),
    "headers": ([None, {}, {"A": "b"}, [("A", "b")]], [7, "A: b", ["A"]], []),
}


def level_of(name: str) -> str:
    return MANAGER if MANAGER in SETTINGS[name].levels else ENDPOINT


def test_the_table_of_this_test_is_complete() -> None:
    assert set(TABLE) == set(SETTINGS)


GOOD = [(name, value) for name, (good, _, _) in TABLE.items() for value in good]
WRONG = [(name, value) for name, (_, wrong, _) in TABLE.items() for value in wrong]
BEYOND = [(name, value) for name, (_, _, beyond) in TABLE.items() for value in beyond]
SECRETS = ("api_key", "api_key_query", "bearer_token", "oauth2_token", "basic_auth", "headers")


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_is_taken(name: str, value: Any) -> None:
    checked = check_settings({name: value}, level_of(name), "manager")
    assert set(checked) == {name}
    Settings().merged(checked)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_type_is_a_type_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\b.* must be ") as caught:
        check_settings({name: value}, level_of(name), "manager")
    if name not in SECRETS and not isinstance(value, tuple):
        assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("name", "value"), BEYOND)
def test_a_value_out_of_range_is_a_value_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b.* must ") as caught:
        check_settings({name: value}, level_of(name), "manager")
    shown = str(caught.value)
    if name in SECRETS:
        assert not value or value == ("a:b", "p") or repr(value) not in shown


@pytest.mark.parametrize("name", [name for name in SECRETS if name != "headers"])
def test_a_refused_secret_is_not_quoted(name: str) -> None:
    for value in (["s3cret-value"], b"s3cret-value", {"s3cret-value"}):
        with pytest.raises((TypeError, ValueError)) as caught:
            check_settings({name: value}, level_of(name), "manager")
        assert "s3cret-value" not in str(caught.value)


def test_an_endpoints_message_names_the_pattern() -> None:
    with pytest.raises(ValueError, match=re.escape("timeout (endpoint 'api.test') must be")):
        check_settings({"timeout": -1}, ENDPOINT, "endpoint 'api.test'")


@pytest.mark.parametrize("given", [7, "timeout", ["timeout"], None])
def test_settings_are_a_mapping(given: Any) -> None:
    with pytest.raises(TypeError, match="must be a mapping of settings"):
        check_settings(given, MANAGER, "manager")


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("timout", "timeout"), ("max_retry", "max_retries"), ("ratelimit_mode", "rate_limit_mode")],
)
def test_an_unknown_key_is_answered_with_the_nearest_and_the_list(typo: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"'{typo}'; did you mean '{meant}'") as caught:
        check_settings({typo: 1}, ENDPOINT, "endpoint 'api.test'")
    for name in known_settings(ENDPOINT):
        assert name in str(caught.value)


@pytest.mark.parametrize("key", [7, None, "", "zzz"])
def test_a_key_like_none_of_ours_is_refused_too(key: Any) -> None:
    with pytest.raises(ValueError, match="unknown setting"):
        check_settings({key: 1}, MANAGER, "manager")


def test_who_may_give_what() -> None:
    assert "auth" not in MANAGER_SETTINGS
    assert {"api_key", "bearer_token", "timeout", "rate_limiter"} <= MANAGER_SETTINGS
    assert not CALL_SETTINGS & {"api_key", "bearer_token", "rate_limit_period", "timeout"}
    with pytest.raises(ValueError, match="unknown setting 'bearer_token'"):
        check_settings({"bearer_token": "x"}, CALL, "request")


@pytest.mark.parametrize("name", ["rate_limit_requests", "circuit_breaker_failure_threshold"])
def test_a_call_can_only_switch_a_stage_off(name: str) -> None:
    assert check_settings({name: None}, CALL, "request") == {name: None}
    with pytest.raises(ValueError, match=f"{name} of a single call can only be None"):
        check_settings({name: 5}, CALL, "request")


def test_statuses_and_methods_are_normalised() -> None:
    checked = check_settings(
        {"status_forcelist": [503, 503], "allowed_methods": ["get"]}, MANAGER, "manager"
    )
    assert checked == {"status_forcelist": frozenset({503}), "allowed_methods": frozenset({"GET"})}


def test_settings_are_an_immutable_value() -> None:
    before = Settings()
    after = before.merged({"timeout": 5, "bearer_token": "left out"})
    assert (before.timeout, after.timeout) == (30, 5)
    assert before.merged({}) is before
    assert not hasattr(after, "bearer_token")
    with pytest.raises(AttributeError):
        after.timeout = 7  # type: ignore[misc]  # what is tested


def test_the_policy_is_a_visible_urllib3_retry() -> None:
    retry = Settings().merged({"max_retries": 2, "backoff_factor": 0.5}).retry()
    assert isinstance(retry, Retry)
    assert (retry.total, retry.backoff_factor, retry.redirect) == (2, 0.5, False)
    own = UrllibRetry(7)
    assert Settings().merged({"max_retries": own}).retry() is own


@pytest.mark.parametrize("missing", ["reserve", "pause", "fill"])
def test_a_limiter_has_the_whole_protocol(missing: str) -> None:
    methods = {name: lambda self, *args: None for name in ("reserve", "pause", "fill")}
    del methods[missing]
    with pytest.raises(TypeError, match=r"rate_limiter must .*reserve, pause, fill"):
        check_settings({"rate_limiter": type("Partial", (), methods)()}, MANAGER, "manager")
