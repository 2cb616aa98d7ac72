"""The exception tree: named classes that pickle, and that the libraries' users catch too."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
from typing import Any, List, Type

import httpx
import pytest
import requests

from requests_connection_manager import _httpx_errors, _requests_errors, exceptions
from requests_connection_manager.events import AttemptFinished
from requests_connection_manager.exceptions import (
    CircuitBreakerOpen,
    ConnectionManagerError,
    DeadlineExceeded,
    HTTPError,
    MaxRetriesExceeded,
    RateLimitError,
    RateLimitExceeded,
    RequestSummary,
)
from requests_connection_manager.outcome import Outcome, Phase

ATTEMPT = AttemptFinished(
    "https://api.test", "GET", "https://api.test/?token=[REDACTED]", 1, 503, None, True, 0.5, 0.0
)


def classes_of(module: Any) -> List[Type[ConnectionManagerError]]:
    return [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, ConnectionManagerError) and one.__module__ == module.__name__
    ]


RAISED = [*classes_of(_requests_errors), *classes_of(_httpx_errors)]
ALL = [*classes_of(exceptions), *RAISED]


@pytest.mark.parametrize("cls", ALL)
def test_each_class_is_found_under_its_name_in_its_module(cls: Any) -> None:
    assert getattr(importlib.import_module(cls.__module__), cls.__qualname__) is cls
    assert inspect.getdoc(cls)


@pytest.mark.parametrize("cls", ALL)
def test_each_class_pickles_and_copies_without_request_and_response(cls: Any) -> None:
    request, response = object(), object()
    error = cls(
        "it failed",
        request=request,
        response=response,
        headers={"X": "y"},
        body="text",
        attempts=(ATTEMPT,),
        retry_after=3.0,
    )
    assert error.request is request
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is cls
        assert str(again) == "it failed"
        assert again.attempts == (ATTEMPT,)
        assert again.retry_after == 3.0
        assert again.request == RequestSummary("GET", ATTEMPT.url)
        assert again.response is None


@pytest.mark.parametrize("cls", ALL)
def test_each_class_can_be_built_from_a_text_alone(cls: Any) -> None:
    error = cls("text")
    assert (str(error), error.attempts, error.response) == ("text", (), None)
    assert pickle.loads(pickle.dumps(error)).args == ("text",)
    assert "text" in repr(error)


@pytest.mark.parametrize("cls", classes_of(_requests_errors))
def test_what_the_sync_side_raises_is_requests_own(cls: Any) -> None:
    assert issubclass(cls, requests.RequestException)


@pytest.mark.parametrize("cls", classes_of(_httpx_errors))
def test_what_the_async_side_raises_is_httpx_own(cls: Any) -> None:
    assert issubclass(cls, httpx.HTTPError)


def failed(error: Exception) -> Outcome:
    return Outcome(error=error, phase=Phase.SENT)


@pytest.mark.parametrize(
    "library",
    [
        requests.ConnectTimeout,
        requests.ReadTimeout,
        requests.ConnectionError,
        requests.exceptions.ProxyError,
        requests.exceptions.SSLError,
        requests.exceptions.ChunkedEncodingError,
        requests.RequestException,
    ],
)
def test_retries_that_end_on_an_error_are_that_error_for_requests(library: Any) -> None:
    cls = _requests_errors.FLAVOURS.pick(MaxRetriesExceeded, failed(library("x")))
    assert issubclass(cls, library)
    assert issubclass(cls, MaxRetriesExceeded)


@pytest.mark.parametrize(
    "library",
    [
        httpx.ConnectTimeout,
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.PoolTimeout,
        httpx.ConnectError,
        httpx.ReadError,
        httpx.WriteError,
        httpx.CloseError,
        httpx.ProxyError,
        httpx.RemoteProtocolError,
    ],
)
def test_retries_that_end_on_an_error_are_that_error_for_httpx(library: Any) -> None:
    cls = _httpx_errors.FLAVOURS.pick(MaxRetriesExceeded, failed(library("x")))
    nearest = httpx.NetworkError if library is httpx.CloseError else library
    assert issubclass(cls, nearest)
    assert issubclass(cls, MaxRetriesExceeded)


@pytest.mark.parametrize(
    ("module", "library"),
    [(_requests_errors, requests.HTTPError), (_httpx_errors, httpx.HTTPStatusError)],
)
def test_retries_that_end_on_a_status_are_an_http_error(module: Any, library: Any) -> None:
    plain = module.FLAVOURS.pick(MaxRetriesExceeded, Outcome(status=503))
    throttled = module.FLAVOURS.pick(MaxRetriesExceeded, Outcome(status=429))
    for cls in (plain, throttled):
        assert issubclass(cls, library)
        assert issubclass(cls, HTTPError)
        assert issubclass(cls, MaxRetriesExceeded)
    assert issubclass(throttled, RateLimitError)
    assert not issubclass(plain, RateLimitError)
    assert not issubclass(throttled, RateLimitExceeded)


def test_retries_on_a_status_are_requests_retry_error() -> None:
    cls = _requests_errors.FLAVOURS.pick(MaxRetriesExceeded, Outcome(status=503))
    assert issubclass(cls, requests.exceptions.RetryError)


@pytest.mark.parametrize(
    ("kind", "sync_base", "async_base"),
    [
        (CircuitBreakerOpen, requests.ConnectionError, httpx.ConnectError),
        (RateLimitExceeded, requests.RequestException, httpx.TransportError),
        (DeadlineExceeded, requests.Timeout, httpx.TimeoutException),
    ],
)
def test_refusals_are_the_libraries_errors_too(kind: Any, sync_base: Any, async_base: Any) -> None:
    for module, base in ((_requests_errors, sync_base), (_httpx_errors, async_base)):
        cls = module.FLAVOURS.pick(kind, None)
        assert issubclass(cls, kind)
        assert issubclass(cls, base)


@pytest.mark.parametrize("module", [_requests_errors, _httpx_errors])
def test_an_outcome_of_no_kind_has_a_class_too(module: Any) -> None:
    for outcome in (None, failed(ValueError("x"))):
        assert issubclass(module.FLAVOURS.pick(MaxRetriesExceeded, outcome), MaxRetriesExceeded)


def test_httpx_reaches_the_request_through_its_own_property() -> None:
    request = httpx.Request("GET", "https://api.test/")
    for cls in classes_of(_httpx_errors):
        error = _httpx_errors.build(cls, "text", request)
        assert error.request is request
