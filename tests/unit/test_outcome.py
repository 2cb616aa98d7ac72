"""What an attempt came to, and the parser of the hints with which servers ask for patience."""

from __future__ import annotations

import math
from email.utils import formatdate
from typing import Dict, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from requests_connection_manager.outcome import Outcome, Phase, quota_exhausted, retry_hint

NOW = 1_700_000_000.0


def hint(headers: Dict[str, str], throttled: bool = False) -> Optional[float]:
    return retry_hint(CaseInsensitiveDict(headers), lambda: NOW, throttled)


@pytest.mark.parametrize(
    ("outcome", "failed", "throttled", "cause"),
    [
        (Outcome(status=200), False, False, "status 200"),
        (Outcome(status=404), False, False, "status 404"),
        (Outcome(status=429), False, True, "status 429"),
        (Outcome(status=500), True, False, "status 500"),
        (Outcome(status=599), True, False, "status 599"),
        (Outcome(status=503, expected=True), False, False, "status 503"),
        (Outcome(status=429, expected=True), False, True, "status 429"),
        (Outcome(error=OSError("x"), phase=Phase.SENT), True, False, "OSError"),
        (Outcome(error=OSError("x"), phase=Phase.NOT_SENT), True, False, "OSError"),
        (Outcome(error=OSError("x"), phase=Phase.UNTRUSTED), True, False, "OSError"),
        (Outcome(error=ValueError("x"), phase=Phase.LOCAL), False, False, "ValueError"),
    ],
)
def test_what_speaks_against_the_server(
    outcome: Outcome, failed: bool, throttled: bool, cause: str
) -> None:
    assert (outcome.failed, outcome.throttled, outcome.cause) == (failed, throttled, cause)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("99999999", 99999999.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1_000", None),
        ("٣", None),
        ("", None),
        ("soon", None),
        ("Fri, 31 Feb 2023 00:00:00 GMT", None),
        ("Fri, 31 Feb", None),
        (formatdate(NOW + 7200, usegmt=True), 7200.0),
        (formatdate(NOW - 7200, usegmt=True), None),
        (formatdate(NOW, usegmt=True), None),
        ("Tue, 14 Nov 2023 22:14:20 +0000", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("9" * 400, None),
    ],
)
def test_retry_after(text: str, seconds: Optional[float]) -> None:
    assert hint({"Retry-After": text}) == seconds


def test_milliseconds_go_before_seconds() -> None:
    assert hint({"retry-after-ms": "1500", "Retry-After": "9"}) == 1.5
    assert hint({"Retry-After-Ms": "x", "Retry-After": "9"}) == 9.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset": "30"}, 30.0),
        ({"RateLimit-Reset": "30"}, 30.0),
        ({"X-RateLimit-Reset": str(NOW + 45)}, 45.0),
        ({"X-RateLimit-Reset": str(NOW - 45)}, None),
        ({"X-RateLimit-Reset": "-3"}, None),
        ({"RateLimit": "limit=10, remaining=0, reset=12"}, 12.0),
        ({"RateLimit": '"default";r=0;t=12'}, 12.0),
        ({"RateLimit": "nothing of use"}, None),
        ({}, None),
    ],
)
def test_the_reset_of_a_quota_counts_when_throttled(
    headers: Dict[str, str], seconds: Optional[float]
) -> None:
    assert hint(headers, throttled=True) == seconds


def test_the_reset_of_a_quota_does_not_count_while_some_is_left() -> None:
    assert hint({"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "30"}) is None
    assert hint({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}) == 30.0


@pytest.mark.parametrize(
    ("headers", "exhausted"),
    [
        ({"X-RateLimit-Remaining": "0"}, True),
        ({"ratelimit-remaining": "0"}, True),
        ({"X-RateLimit-Remaining": "1"}, False),
        ({"X-RateLimit-Remaining": "none"}, False),
        ({"RateLimit": "limit=10, remaining=0, reset=5"}, True),
        ({"RateLimit": '"default";r=0;t=5'}, True),
        ({"RateLimit": '"default";r=9;t=5'}, False),
        ({}, False),
    ],
)
def test_an_exhausted_quota(headers: Dict[str, str], exhausted: bool) -> None:
    assert quota_exhausted(CaseInsensitiveDict(headers)) is exhausted


@given(st.text(), st.booleans())
def test_no_text_breaks_the_parser_or_gives_nonsense(text: str, throttled: bool) -> None:
    for name in ("Retry-After", "retry-after-ms", "X-RateLimit-Reset", "RateLimit"):
        found = hint({name: text}, throttled)
        assert found is None or (math.isfinite(found) and found >= 0)
        quota_exhausted({name: text})
