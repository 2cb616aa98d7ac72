"""The document "HTTP Client Patterns", walked name by name, and its examples as they are printed.

An example is text here. Where the document calls a helper that it also defines, the helper is ours:
the classes and functions of the document must not be able to tell.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import random
import sys
import time
import types
import unittest
from typing import Any, Callable, Dict, Iterator, Tuple

import httpx
import pytest
import requests
from printed import run_printed

from requests_connection_manager import (
    AsyncConnectionManager,
    ConnectionManager,
    client_patterns,
)
from requests_connection_manager.client_patterns import (
    RETRYABLE_STATUS_CODES,
    RateLimitedClient,
    ServiceError,
    ServiceTimeoutError,
    create_session,
    extract_error_detail,
    is_retryable,
    request_with_retry,
    retry_with_backoff,
)
from requests_connection_manager.testing import FaultServer, VirtualClock, echo, reply

NOTHING = inspect.Parameter.empty

CALLABLES: Dict[str, Tuple[Tuple[str, Any], ...]] = {
    "retry_with_backoff": (
        ("func", None),
        ("max_attempts", 3),
        ("base_delay", 1.0),
        ("max_delay", 60.0),
        ("retryable_exceptions", (requests.RequestException,)),
    ),
    "is_retryable": (("response", NOTHING),),
    "request_with_retry": (("session", NOTHING), ("method", NOTHING), ("url", NOTHING)),
    "create_session": (),
    "RateLimitedClient": (("base_url", NOTHING), ("requests_per_second", 3.0)),
    "RateLimitedClient.get": (("path", NOTHING),),
    "extract_error_detail": (("response", NOTHING),),
}


def positional(function: Callable[..., Any]) -> Tuple[Tuple[str, Any], ...]:
    return tuple(
        (one.name, one.default)
        for one in inspect.signature(function).parameters.values()
        if one.name != "self" and one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    )


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """A clock for code that names none, and no random share."""
    clock = VirtualClock()
    monkeypatch.setattr("requests_connection_manager.core.SystemClock", lambda: clock)
    monkeypatch.setattr("requests_connection_manager.policies.retry.random.random", lambda: 0.0)
    return clock


# -- names


@pytest.mark.parametrize("name", CALLABLES)
def test_a_helper_has_the_documented_parameters(name: str) -> None:
    one: Any = client_patterns
    for part in name.split("."):
        one = getattr(one, part)
    assert positional(one) == CALLABLES[name]
    assert inspect.getdoc(one)


def test_keywords_of_a_request_are_handed_on() -> None:
    kinds = {one.kind for one in inspect.signature(request_with_retry).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD in kinds


def test_the_errors_of_the_examples_are_one_below_the_other() -> None:
    assert issubclass(ServiceTimeoutError, ServiceError)
    assert issubclass(ServiceError, Exception)
    home = importlib.import_module("requests_connection_manager.client_patterns.exceptions")
    assert (home.ServiceError, home.ServiceTimeoutError) == (ServiceError, ServiceTimeoutError)


# -- choosing a client, timeouts, pools


def test_a_manager_is_a_client_of_the_two_libraries() -> None:
    assert issubclass(ConnectionManager, requests.Session)
    assert issubclass(AsyncConnectionManager, httpx.AsyncClient)


TIMEOUTS = """
# Simple timeout (same for connect and read)
response = requests.get(url, timeout=30)

# Separate connect and read timeouts
response = requests.get(url, timeout=(5, 30))  # 5s connect, 30s read

# httpx with timeout configuration
client = httpx.Client(
    timeout=httpx.Timeout(
        connect=5.0,
        read=30.0,
        write=30.0,
        pool=5.0,
    )
)
"""


def test_the_timeouts_are_those_of_the_libraries(server: FaultServer) -> None:
    server.route("/", reply(200))
    made = []

    def client(**given: Any) -> AsyncConnectionManager:
        made.append(AsyncConnectionManager(**given))
        return made[-1]

    with ConnectionManager() as manager:
        library = types.SimpleNamespace(Client=client, Timeout=httpx.Timeout)
        names = run_printed(TIMEOUTS, requests=manager, httpx=library, url=server.url())
    assert names["response"].status_code == 200
    assert made[0].timeout == httpx.Timeout(connect=5.0, read=30.0, write=30.0, pool=5.0)
    asyncio.run(made[0].aclose())


def test_there_is_a_timeout_without_being_asked_for() -> None:
    for manager in (ConnectionManager(), AsyncConnectionManager(), create_session()):
        explained = manager.explain("GET", "https://api.example.com/")["settings"]
        assert explained["timeout"] == 30
    with RateLimitedClient("https://api.example.com") as client:
        explained = client.session.explain("GET", "https://api.example.com/")["settings"]
        assert explained["timeout"] == 30


LIMITS = """
import httpx

# Configure connection limits
limits = httpx.Limits(
    max_keepalive_connections=10,
    max_connections=20,
    keepalive_expiry=30.0,
)

client = AsyncClient(limits=limits)
"""


def test_the_connection_limits_are_those_of_httpx() -> None:
    client = run_printed(
        LIMITS.replace("httpx.AsyncClient", "AsyncClient"), AsyncClient=AsyncConnectionManager
    )["client"]
    assert isinstance(client, AsyncConnectionManager)
    pool = client._transport._pool
    assert (pool._max_keepalive_connections, pool._max_connections) == (10, 20)
    assert pool._keepalive_expiry == 30.0


def test_a_session_has_the_documented_pools() -> None:
    with create_session() as session:
        for prefix in ("http://", "https://"):
            adapter = session.get_adapter(prefix)
            assert (adapter._pool_connections, adapter._pool_maxsize) == (10, 10)
            retry = adapter.max_retries
            assert (retry.total, retry.backoff_factor) == (3, 1)
            assert set(retry.status_forcelist) == {429, 500, 502, 503, 504}
            assert set(retry.allowed_methods) == {"HEAD", "GET", "OPTIONS", "POST"}


# -- the two clients

SYNC_CLIENT = '''
import logging
import requests
from requests.exceptions import RequestException

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 30  # seconds


class APIClient:
    """Client for external API."""

    def __init__(self, base_url: str, api_token: str) -> None:
        self.base_url = base_url
        self._session = requests.Session()
        self._session.headers.update({
            "Authorization": f"Bearer {api_token}",
            "Content-Type": "application/json",
        })

    def get(self, path: str, params: dict | None = None) -> dict:
        """Make a GET request."""
        return self._request("GET", path, params=params)

    def post(self, path: str, json: dict | None = None) -> dict:
        """Make a POST request."""
        return self._request("POST", path, json=json)

    def _request(
        self,
        method: str,
        path: str,
        params: dict | None = None,
        json: dict | None = None,
    ) -> dict:
        """Make an HTTP request with error handling."""
        url = f"{self.base_url}{path}"

        try:
            response = self._session.request(
                method,
                url,
                params=params,
                json=json,
                timeout=REQUEST_TIMEOUT,
            )
            response.raise_for_status()
            return response.json()

        except requests.exceptions.Timeout as e:
            logger.error(f"Request timed out: {method} {path}")
            raise ServiceTimeoutError(f"Request timed out after {REQUEST_TIMEOUT}s") from e

        except requests.exceptions.HTTPError as e:
            logger.error(f"HTTP error: {method} {path} -> {e.response.status_code}")
            raise ServiceError(f"HTTP {e.response.status_code}: {e.response.text}") from e

        except RequestException as e:
            logger.exception(f"Request failed: {method} {path}")
            raise ServiceError(f"Request failed: {e}") from e

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def __enter__(self) -> "APIClient":
        return self

    def __exit__(self, *args) -> None:
        self.close()
'''

ASYNC_CLIENT = '''
import httpx
import logging

logger = logging.getLogger(__name__)


class AsyncAPIClient:
    """Async client for external API."""

    def __init__(self, base_url: str, api_token: str, timeout: float = 30.0) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self._headers = {
            "Authorization": f"Bearer {api_token}",
            "Content-Type": "application/json",
        }
        self._client: httpx.AsyncClient | None = None

    async def _get_client(self) -> httpx.AsyncClient:
        """Get or create the async client."""
        if self._client is None or self._client.is_closed:
            self._client = httpx.AsyncClient(
                timeout=self.timeout,
                headers=self._headers,
            )
        return self._client

    async def get(self, path: str) -> dict:
        """Make an async GET request."""
        client = await self._get_client()
        response = await client.get(f"{self.base_url}{path}")
        response.raise_for_status()
        return response.json()

    async def post(self, path: str, json: dict) -> dict:
        """Make an async POST request."""
        client = await self._get_client()
        response = await client.post(f"{self.base_url}{path}", json=json)
        response.raise_for_status()
        return response.json()

    async def close(self) -> None:
        """Close the client."""
        if self._client and not self._client.is_closed:
            await self._client.aclose()
            self._client = None

    async def __aenter__(self) -> "AsyncAPIClient":
        return self

    async def __aexit__(self, *args) -> None:
        await self.close()
'''

ERRORS = {"ServiceError": ServiceError, "ServiceTimeoutError": ServiceTimeoutError}


def sync_client(on_a_manager: bool) -> Any:
    code = SYNC_CLIENT
    if on_a_manager:
        code = code.replace("requests.Session()", "ConnectionManager()")
    return run_printed(code, annotated=True, ConnectionManager=ConnectionManager, **ERRORS)


@pytest.mark.parametrize("on_a_manager", [False, True], ids=["requests", "manager"])
def test_the_sync_client_runs_as_printed(server: FaultServer, on_a_manager: bool) -> None:
    server.route("/items/1", echo())
    server.route("/missing", reply(404, body="none"))
    with sync_client(on_a_manager)["APIClient"](server.origin, "token") as client:
        sent = client.get("/items/1", params={"limit": 10})
        assert sent["headers"]["authorization"] == "Bearer token"
        assert client.post("/items/1", json={"a": 1})["method"] == "POST"
        with pytest.raises(ServiceError, match="HTTP 404: none"):
            client.get("/missing")


def test_the_sync_client_turns_all_that_a_manager_raises_into_its_errors(
    server: FaultServer, clock: VirtualClock
) -> None:
    server.route("/down", reply(503, body="down"))
    names = sync_client(on_a_manager=True)
    names["REQUEST_TIMEOUT"] = 0.05
    with names["APIClient"](server.origin, "token") as client:
        with pytest.raises(ServiceError, match="HTTP 503: down"):
            client.get("/down")
        server.route("/slow", reply(200, delay=60))
        with pytest.raises(ServiceTimeoutError, match=r"timed out after 0\.05s"):
            client.post("/slow", json={})
    assert len(clock.sleeps) == 3


@pytest.mark.parametrize("on_a_manager", [False, True], ids=["httpx", "manager"])
def test_the_async_client_runs_as_printed(server: FaultServer, on_a_manager: bool) -> None:
    server.route("/items/1", echo())
    server.route("/missing", reply(404))
    code = ASYNC_CLIENT
    if on_a_manager:
        code = code.replace("= httpx.AsyncClient(", "= AsyncConnectionManager(")
    names = run_printed(code, annotated=True, AsyncConnectionManager=AsyncConnectionManager)

    async def main() -> None:
        async with names["AsyncAPIClient"](server.origin, "token") as client:
            sent = await client.get("/items/1")
            assert sent["headers"]["authorization"] == "Bearer token"
            assert (await client.post("/items/1", json={"a": 1}))["method"] == "POST"
            with pytest.raises(httpx.HTTPStatusError):
                await client.get("/missing")
            await client.close()
            assert (await client.get("/items/1"))["method"] == "GET"  # a new one is made

    asyncio.run(main())


# -- the tests of a client

TESTS = """
from unittest.mock import MagicMock, patch


class TestAPIClient(unittest.TestCase):
    def setUp(self) -> None:
        self.client = APIClient(base_url="https://api.example.com", api_token="test")

    @patch("src.client.requests.Session.request")
    def test_get_returns_json(self, mock_request: MagicMock) -> None:
        mock_response = MagicMock()
        mock_response.json.return_value = {"id": "123"}
        mock_response.raise_for_status = MagicMock()
        mock_request.return_value = mock_response

        result = self.client.get("/items/123")

        self.assertEqual(result, {"id": "123"})
        mock_request.assert_called_once()

    @patch("src.client.requests.Session.request")
    def test_timeout_raises_service_error(self, mock_request: MagicMock) -> None:
        mock_request.side_effect = requests.exceptions.Timeout()

        with self.assertRaises(ServiceTimeoutError):
            self.client.get("/items/123")
"""


@pytest.mark.parametrize("on_a_manager", [False, True], ids=["requests", "manager"])
def test_the_tests_pass_as_printed(monkeypatch: pytest.MonkeyPatch, on_a_manager: bool) -> None:
    names = sync_client(on_a_manager)
    package, module = types.ModuleType("src"), types.ModuleType("src.client")
    vars(module).update(names)
    package.client = module  # type: ignore[attr-defined]  # made up here
    monkeypatch.setitem(sys.modules, "src", package)
    monkeypatch.setitem(sys.modules, "src.client", module)
    cls = run_printed(TESTS, annotated=True, unittest=unittest, **names)["TestAPIClient"]
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(cls).run(result)
    assert result.testsRun == 2
    assert result.wasSuccessful(), [*result.errors, *result.failures]


# -- helpers of ours against those that are printed

PRINTED = '''
def extract_error_detail(response: requests.Response) -> str:
    """Extract error message from API response."""
    try:
        data = response.json()
        # Try common error formats
        if isinstance(data, dict):
            return (
                data.get("error", {}).get("message")
                or data.get("detail")
                or data.get("message")
                or str(data)
            )
        return str(data)
    except (ValueError, KeyError):
        return response.text or f"HTTP {response.status_code}"

import time
import random
from collections.abc import Callable
from typing import TypeVar
from requests.exceptions import RequestException
import logging

logger = logging.getLogger(__name__)

T = TypeVar("T")


def retry_with_backoff(
    func: Callable[[], T],
    max_attempts: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: tuple = (RequestException,),
) -> T:
    last_exception: Exception | None = None

    for attempt in range(1, max_attempts + 1):
        try:
            return func()
        except retryable_exceptions as e:
            last_exception = e

            if attempt == max_attempts:
                logger.error(f"All {max_attempts} attempts failed")
                raise

            # Exponential backoff with jitter
            delay = min(base_delay * (2 ** (attempt - 1)), max_delay)
            jitter = random.uniform(0, delay * 0.1)
            sleep_time = delay + jitter

            logger.warning(
                f"Attempt {attempt}/{max_attempts} failed, "
                f"retrying in {sleep_time:.1f}s: {e}"
            )
            time.sleep(sleep_time)

    raise last_exception  # type: ignore[misc]


RETRYABLE_STATUS_CODES = {408, 429, 500, 502, 503, 504}


def is_retryable(response: requests.Response) -> bool:
    """Check if request should be retried based on status code."""
    return response.status_code in RETRYABLE_STATUS_CODES


def request_with_retry(session: requests.Session, method: str, url: str, **kwargs):
    """Make a request with automatic retry for transient failures."""
    for attempt in range(1, 4):
        response = session.request(method, url, **kwargs)

        if not is_retryable(response):
            return response

        if attempt < 3:
            # Check for Retry-After header
            retry_after = response.headers.get("Retry-After")
            if retry_after:
                delay = int(retry_after)
            else:
                delay = 2 ** attempt

            logger.warning(
                f"Retryable status {response.status_code}, "
                f"attempt {attempt}/3, waiting {delay}s"
            )
            time.sleep(delay)

    return response  # Return last response even if still failing


class RateLimitedClient:
    """Client that respects rate limits."""

    def __init__(self, base_url: str, requests_per_second: float = 3.0) -> None:
        self.base_url = base_url
        self.min_interval = 1.0 / requests_per_second
        self.last_request_time = 0.0
        self._session = requests.Session()

    def _wait_for_rate_limit(self) -> None:
        """Wait if necessary to respect rate limit."""
        elapsed = time.time() - self.last_request_time
        if elapsed < self.min_interval:
            time.sleep(self.min_interval - elapsed)
        self.last_request_time = time.time()

    def get(self, path: str) -> dict:
        """Make a rate-limited GET request."""
        self._wait_for_rate_limit()

        response = self._session.get(
            f"{self.base_url}{path}",
            timeout=30,
        )

        # Handle 429 responses
        if response.status_code == 429:
            retry_after = int(response.headers.get("Retry-After", 60))
            logger.warning(f"Rate limited, waiting {retry_after}s")
            time.sleep(retry_after)
            return self.get(path)  # Retry

        response.raise_for_status()
        return response.json()
'''


@pytest.fixture
def printed(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Dict[str, Any]:
    """What the document defines, on a clock of its own, without a random share."""
    own = VirtualClock()
    monkeypatch.setattr(time, "sleep", own.sleep)
    monkeypatch.setattr(time, "time", own.time)
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    return {"clock": own, **run_printed(PRINTED, annotated=True, requests=requests)}


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "no such order"}}',
        b'{"error": {"message": "first"}, "detail": "second"}',
        b'{"detail": "no such order"}',
        b'{"detail": "first", "message": "second"}',
        b'{"message": "no such order"}',
        b'{"error": {}, "message": "no such order"}',
        b'{"code": 17}',
        b"17",
        b"<h1>Bad Gateway</h1>",
        b"",
    ],
)
def test_the_detail_of_an_error_is_that_of_the_printed_function(
    printed: Dict[str, Any], body: bytes
) -> None:
    response = requests.Response()
    response.status_code, response._content = 404, body
    assert extract_error_detail(response) == printed["extract_error_detail"](response)


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"max_attempts": 2}, {"base_delay": 40, "max_delay": 50}])
def test_backoff_is_that_of_the_printed_function(
    printed: Dict[str, Any], clock: VirtualClock, failures: int, settings: Dict[str, Any]
) -> None:
    def outcome(retry: Callable[..., Any]) -> Tuple[Any, int]:
        calls = []

        def fail() -> str:
            calls.append(1)
            if len(calls) <= failures:
                raise requests.ConnectionError(f"trouble {len(calls)}")
            return "done"

        try:
            return retry(fail, **settings), len(calls)
        except requests.ConnectionError as error:
            return str(error), len(calls)

    assert outcome(retry_with_backoff) == outcome(printed["retry_with_backoff"])
    assert clock.sleeps == printed["clock"].sleeps


def test_the_parameters_may_be_given_by_position(clock: VirtualClock) -> None:
    answers = iter([ValueError("not yet"), 7])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry_with_backoff(ask, 3, 1.0, 60.0, (ValueError,)) == 7
    assert clock.sleeps == (1.0,)


@pytest.mark.parametrize("status", [200, 400, 404, 408, 413, 429, 500, 501, 502, 503, 504, 521])
def test_what_is_retryable_is_that_of_the_printed_function(
    printed: Dict[str, Any], status: int
) -> None:
    response = requests.Response()
    response.status_code = status
    assert is_retryable(response) is printed["is_retryable"](response)
    assert printed["RETRYABLE_STATUS_CODES"] == RETRYABLE_STATUS_CODES


@pytest.mark.parametrize("statuses", [(200,), (503, 200), (503, 429, 200), (503,), (404,)])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "7"}], ids=["no hint", "hint"])
@pytest.mark.parametrize("session", [requests.Session, ConnectionManager])
def test_patience_is_that_of_the_printed_function(
    server: FaultServer,
    printed: Dict[str, Any],
    clock: VirtualClock,
    session: Callable[[], requests.Session],
    statuses: Tuple[int, ...],
    headers: Dict[str, str],
) -> None:
    script = [reply(status, headers=headers if status >= 400 else {}) for status in statuses]
    server.route("/ours", *script)
    server.route("/theirs", *script)
    with session() as mine, requests.Session() as plain:
        ours = request_with_retry(mine, "POST", server.url("/ours"), json={"a": 1})
        theirs = printed["request_with_retry"](plain, "POST", server.url("/theirs"), json={"a": 1})
    assert ours.status_code == theirs.status_code
    assert server.count("/ours") == server.count("/theirs")
    assert clock.sleeps == printed["clock"].sleeps


def test_the_distance_is_that_of_the_printed_class(
    server: FaultServer, printed: Dict[str, Any], clock: VirtualClock
) -> None:
    server.route("/items", reply(200, json={"id": 1}))
    with RateLimitedClient(server.origin, requests_per_second=2.0) as mine:
        theirs = printed["RateLimitedClient"](server.origin, requests_per_second=2.0)
        assert (mine.base_url, mine.min_interval) == (theirs.base_url, theirs.min_interval)
        assert mine.last_request_time == theirs.last_request_time == 0.0
        for _ in range(3):
            assert mine.get("/items") == theirs.get("/items") == {"id": 1}
        assert mine.last_request_time == pytest.approx(theirs.last_request_time)
        theirs._session.close()
    assert clock.sleeps == printed["clock"].sleeps == (0.5, 0.5)


@pytest.mark.parametrize(("hint", "seconds"), [({"Retry-After": "7"}, 7), ({}, 60)])
def test_a_429_is_waited_for_as_in_the_printed_class(
    server: FaultServer,
    printed: Dict[str, Any],
    clock: VirtualClock,
    hint: Dict[str, str],
    seconds: int,
) -> None:
    server.route("/ours", reply(429, headers=hint), reply(200, json="here"))
    server.route("/theirs", reply(429, headers=hint), reply(200, json="here"))
    with RateLimitedClient(server.origin) as mine:
        theirs = printed["RateLimitedClient"](server.origin)
        assert mine.get("/ours") == theirs.get("/theirs") == "here"
        theirs._session.close()
    assert sum(clock.sleeps) == pytest.approx(seconds)
    assert sum(printed["clock"].sleeps) == seconds


def test_other_statuses_raise_in_both(server: FaultServer, printed: Dict[str, Any]) -> None:
    server.route("/missing", reply(404))
    with RateLimitedClient(server.origin) as mine:
        theirs = printed["RateLimitedClient"](server.origin)
        for client in (mine, theirs):
            with pytest.raises(requests.HTTPError):
                client.get("/missing")
        theirs._session.close()
