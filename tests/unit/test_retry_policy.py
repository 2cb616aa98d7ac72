"""The verdicts of the retry policy: ours, and those of a Retry of the caller's."""

from __future__ import annotations

from typing import Any, Dict, Optional

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util.retry import Retry as UrllibRetry

from requests_connection_manager.outcome import Outcome, Phase
from requests_connection_manager.policies.retry import Again, Retry, Stop, is_off, judge
from requests_connection_manager.settings import Settings

NOT_SENT = Outcome(error=requests.ConnectTimeout("x"), phase=Phase.NOT_SENT)
SENT = Outcome(error=requests.ReadTimeout("x"), phase=Phase.SENT)
UNTRUSTED = Outcome(error=requests.exceptions.SSLError("x"), phase=Phase.UNTRUSTED)
LOCAL = Outcome(error=requests.exceptions.InvalidHeader("x"), phase=Phase.LOCAL)


def status(code: int, headers: Optional[Dict[str, str]] = None) -> Outcome:
    return Outcome(status=code, headers=headers or {})


def policy(**changes: Any) -> UrllibRetry:
    return Settings().merged({"backoff_jitter": 0, **changes}).retry()


def verdict(
    outcome: Outcome,
    retry: Optional[UrllibRetry] = None,
    method: str = "GET",
    keyed: bool = False,
    hint: Optional[float] = None,
) -> Any:
    retry = policy() if retry is None else retry
    return judge(retry, outcome, method, "https://api.test/", keyed, hint, 120.0)


@pytest.mark.parametrize(
    ("outcome", "method", "keyed", "again"),
    [
        (NOT_SENT, "GET", False, True),
        (NOT_SENT, "POST", False, True),
        (SENT, "GET", False, True),
        (SENT, "POST", False, False),
        (SENT, "POST", True, True),
        (SENT, "PATCH", False, False),
        (SENT, "DELETE", False, True),
        (UNTRUSTED, "GET", False, False),
        (LOCAL, "GET", False, False),
        (status(503), "GET", False, True),
        (status(503), "POST", False, False),
        (status(503), "POST", True, True),
        (status(429), "PUT", False, True),
        (status(408), "GET", False, True),
        (status(501), "GET", False, False),
        (status(404), "GET", False, False),
        (status(200), "GET", False, False),
    ],
)
def test_how_far_a_request_got_decides(
    outcome: Outcome, method: str, keyed: bool, again: bool
) -> None:
    found = verdict(outcome, method=method, keyed=keyed)
    assert isinstance(found, Again) is again
    assert again or found is None


def test_no_method_is_exempt_when_all_are_allowed() -> None:
    assert isinstance(verdict(SENT, policy(allowed_methods=None), "POST"), Again)


@pytest.mark.parametrize("outcome", [NOT_SENT, SENT, status(503)])
def test_retries_are_counted_together(outcome: Outcome) -> None:
    retry: UrllibRetry = policy(max_retries=2)
    for _ in range(2):
        found = verdict(outcome, retry)
        assert isinstance(found, Again)
        retry = found.retry
    assert verdict(outcome, retry) == Stop("max_retries")


def test_the_delay_doubles_up_to_its_cap() -> None:
    retry: UrllibRetry = policy(max_retries=6, backoff_factor=0.3, backoff_max=2.0)
    delays = []
    for _ in range(6):
        found = verdict(status(503), retry)
        delays.append(found.delay)
        retry = found.retry
    assert delays == pytest.approx([0.3, 0.6, 1.2, 2.0, 2.0, 2.0])


@given(st.floats(0, 1), st.integers(1, 2000))
def test_the_jitter_is_a_share_and_the_power_never_overflows(jitter: float, count: int) -> None:
    retry: Any = Retry(total=5000, backoff_factor=1, backoff_max=8.0, backoff_jitter=jitter)
    history = tuple(retry.increment("GET", "/", error=OSError()).history) * count
    delay = retry.new(history=history).get_backoff_time()
    exact = min(8.0, 2.0 ** min(count - 1, 64))
    assert exact <= delay <= exact * (1 + jitter)


def test_a_first_attempt_has_no_delay() -> None:
    assert Retry(total=3, backoff_factor=1).get_backoff_time() == 0.0


@pytest.mark.parametrize(("hint", "delay"), [(None, 0.3), (0.1, 0.3), (5.0, 5.0), (120.0, 120.0)])
def test_a_hint_raises_the_delay(hint: Optional[float], delay: float) -> None:
    assert verdict(status(503), hint=hint).delay == delay


def test_a_hint_beyond_the_cap_ends_it() -> None:
    assert verdict(status(503), hint=120.5) == Stop("retry_after")


def test_a_hint_does_not_matter_after_an_error() -> None:
    assert verdict(SENT, hint=9999).delay == 0.3


@pytest.mark.parametrize(
    ("retry", "off"),
    [
        (Retry(0), True),
        (Retry(1), False),
        (UrllibRetry(False), True),
        (UrllibRetry(None), False),
        (UrllibRetry(total=None, read=0), False),
    ],
)
def test_when_there_is_nothing_to_ask(retry: UrllibRetry, off: bool) -> None:
    assert is_off(retry) is off


# -- a Retry of the caller's


def foreign(**changes: Any) -> UrllibRetry:
    return UrllibRetry(**{"total": 3, "status_forcelist": [418], "backoff_factor": 0, **changes})


@pytest.mark.parametrize(
    ("outcome", "method", "again"),
    [
        (status(418), "GET", True),
        (status(503), "GET", False),
        (status(503, {"Retry-After": "1"}), "GET", True),
        (status(418), "POST", False),
        (NOT_SENT, "POST", True),
        (SENT, "GET", True),
        (SENT, "POST", False),
        (UNTRUSTED, "GET", False),
        (LOCAL, "GET", False),
    ],
)
def test_a_foreign_retry_decides_everything(outcome: Outcome, method: str, again: bool) -> None:
    found = verdict(outcome, foreign(), method)
    assert isinstance(found, Again) is again
    assert again or found is None


def test_a_foreign_retry_reads_hints_its_own_way() -> None:
    found = verdict(status(503, {"Retry-After": "17"}), foreign(), hint=9999)
    assert found.delay == 17.0
    silent = foreign(respect_retry_after_header=False, status_forcelist=[503])
    assert verdict(status(503, {"Retry-After": "17"}), silent).delay == 0.0
    assert verdict(status(503, {"Retry-After": "x"}), foreign(status_forcelist=[503])).delay == 0.0


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("connect", NOT_SENT), ("read", SENT), ("status", status(418)), ("total", SENT)],
)
def test_each_count_of_a_foreign_retry_is_kept(kind: str, outcome: Outcome) -> None:
    assert verdict(outcome, foreign(**{kind: 0})) == Stop("max_retries")


class Counting(UrllibRetry):
    """A subclass with a state of its own."""

    def __init__(self, *args: Any, budget: int = 0, **kwargs: Any) -> None:
        self.budget = budget
        super().__init__(*args, **kwargs)

    def new(self, **kwargs: Any) -> Any:
        return super().new(budget=self.budget, **kwargs)

    def increment(self, *args: Any, **kwargs: Any) -> Any:
        if self.budget <= 0:
            raise MaxRetryError(None, "/", None)  # type: ignore[arg-type]  # no pool here
        following = super().increment(*args, **kwargs)
        following.budget = self.budget - 1
        return following


def test_the_state_of_a_subclass_survives() -> None:
    retry: UrllibRetry = Counting(10, budget=2, status_forcelist=[503])
    for left in (1, 0):
        found = verdict(status(503), retry)
        assert found.retry.budget == left
        retry = found.retry
    assert verdict(status(503), retry) == Stop("max_retries")


class Noting(UrllibRetry):
    """Notes the errors that it is given."""

    seen: Any = None

    def increment(self, *args: Any, **kwargs: Any) -> Any:
        type(self).seen = kwargs.get("error")
        return super().increment(*args, **kwargs)


@pytest.mark.parametrize(
    ("error", "phase", "kind"),
    [
        (requests.ConnectTimeout("x"), Phase.NOT_SENT, ConnectTimeoutError),
        (requests.ReadTimeout("x"), Phase.SENT, ReadTimeoutError),
        (requests.exceptions.ChunkedEncodingError("x"), Phase.SENT, ProtocolError),
        (
            requests.ConnectionError(
                MaxRetryError(
                    None,  # type: ignore[arg-type]  # no pool here
                    "/",
                    NewConnectionError(None, "x"),  # type: ignore[arg-type]  # nor connection
                )
            ),
            Phase.NOT_SENT,
            NewConnectionError,
        ),
        (requests.ConnectionError(ProtocolError("x")), Phase.SENT, ProtocolError),
    ],
)
def test_a_foreign_retry_is_given_urllib3s_error(error: Any, phase: Phase, kind: Any) -> None:
    verdict(Outcome(error=error, phase=phase), Noting(3))
    assert isinstance(Noting.seen, kind)


def test_what_a_foreign_retry_raises_of_its_own_gets_through() -> None:
    class Broken(UrllibRetry):
        def increment(self, *args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verdict(SENT, Broken(3))
