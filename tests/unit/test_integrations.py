"""The listeners for other projects' tools: what they import, the stack of spans, the engine."""

from __future__ import annotations

import contextvars
import subprocess
import sys
from typing import Any, List

import anyio
import pytest

from requests_connection_manager import (
    AttemptStarted,
    CallFinished,
    CallStarted,
    ConnectionManager,
)
from requests_connection_manager.api_engine import (
    ApiClient,
    ApiHttpError,
    BaseHttpClient,
    RetryRequestStrategy,
)
from requests_connection_manager.integrations._labels import address_of, host_label
from requests_connection_manager.integrations._spans import Frames
from requests_connection_manager.integrations.opentelemetry import OpenTelemetryListener
from requests_connection_manager.integrations.prometheus import PrometheusListener
from requests_connection_manager.testing import FaultServer, VirtualClock, reply


def test_neither_is_imported_before_a_listener_is_made() -> None:
    code = (
        "import sys, requests_connection_manager as package\n"
        "package.ConnectionManager(); package.AsyncConnectionManager()\n"
        "import requests_connection_manager.integrations\n"
        "print([one for one in sys.modules if one.startswith(package.__name__ + '.integ')])\n"
        "import requests_connection_manager.integrations.opentelemetry\n"
        "import requests_connection_manager.integrations.prometheus\n"
        "print({'opentelemetry', 'prometheus_client'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True
    )
    first, second = done.stdout.splitlines()
    assert (first, second) == ("['requests_connection_manager.integrations']", "set()")


@pytest.mark.parametrize(
    ("listener", "module", "extra"),
    [
        (OpenTelemetryListener, "opentelemetry", "opentelemetry"),
        (PrometheusListener, "prometheus_client", "prometheus"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    listener: Any, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {module, *(one for one in sys.modules if one.split(".")[0] == module)}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"requests-connection-manager\[{extra}\]"):
        listener()


def test_the_api_of_opentelemetry_is_enough() -> None:
    code = (
        "import sys\n"
        "sys.modules['opentelemetry.sdk'] = None\n"
        "from requests_connection_manager import ConnectionManager\n"
        "from requests_connection_manager.integrations.opentelemetry import OpenTelemetryListener\n"
        "from requests_connection_manager.testing import FaultServer, reply\n"
        "with FaultServer() as server, ConnectionManager() as manager:\n"
        "    server.route('/', reply(200))\n"
        "    manager.add_listener(OpenTelemetryListener())\n"
        "    print(manager.get(server.url()).status_code)\n"
        "    print(server.requests[-1].headers.get('traceparent'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True
    )
    assert done.stdout.split() == ["200", "None"]


@pytest.mark.parametrize(
    ("url", "address", "label"),
    [
        ("https://api.test/v1?x=1", ("api.test", 443), "api.test"),
        ("http://API.test.:8080/", ("api.test", 8080), "api.test:8080"),
        ("https://[REDACTED]@api.test/", ("api.test", 443), "api.test"),
        ("http://[::1]/", ("::1", 80), "[::1]"),
        ("https://api.test:99999/", ("unknown", 0), "unknown"),
        ("https://a b/", ("unknown", 0), "unknown"),
        ("/users", ("unknown", 0), "unknown"),
        ("", ("unknown", 0), "unknown"),
    ],
)
def test_addresses(url: str, address: Any, label: str) -> None:
    assert (tuple(address_of(url)), host_label(url)) == (address, label)


class TestFrames:
    """What is current, when frames end in any order and anywhere."""

    current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="nothing")

    def frames(self) -> Frames:
        return Frames(self.current.set)

    def entered(self, frames: Frames, name: str) -> Any:
        return frames.enter(name, None, self.current.get(), name)

    def test_in_turn(self) -> None:
        def nested() -> None:
            frames = self.frames()
            outer = self.entered(frames, "outer")
            inner = self.entered(frames, "inner")
            assert frames.innermost(str) == inner
            frames.leave(inner)
            assert (self.current.get(), frames.innermost(str)) == ("outer", outer)
            frames.leave(outer)
            assert (self.current.get(), frames.innermost(str)) == ("nothing", None)

        contextvars.copy_context().run(nested)

    def test_of_two_listeners_that_end_in_the_order_in_which_they_began(self) -> None:
        def both() -> None:
            first, second = self.frames(), self.frames()
            one, two = self.entered(first, "one"), self.entered(second, "two")
            first.leave(one)
            assert self.current.get() == "two"
            assert first.innermost(str) is None
            second.leave(two)
            assert self.current.get() == "nothing"

        contextvars.copy_context().run(both)

    def test_that_end_somewhere_else(self) -> None:
        frames = self.frames()
        elsewhere = contextvars.copy_context()
        abandoned: Any = elsewhere.run(self.entered, frames, "abandoned")

        def here() -> None:
            mine = self.entered(frames, "mine")
            frames.leave(abandoned)
            assert (self.current.get(), frames.innermost(str)) == ("mine", mine)
            frames.leave(mine)
            assert self.current.get() == "nothing"

        contextvars.copy_context().run(here)

    def test_of_a_task_that_outlives_the_call_that_started_it(self) -> None:
        def call() -> contextvars.Context:
            frames = self.frames()
            outer = self.entered(frames, "outer")
            task = contextvars.copy_context()
            frames.leave(outer)

            def later() -> None:
                inner = self.entered(frames, "inner")
                frames.leave(inner)
                assert self.current.get() == "outer"

            task.run(later)
            assert self.current.get() == "nothing"
            return task

        contextvars.copy_context().run(call)


class Scripted(BaseHttpClient):
    """Answers with statuses, and keeps what it was asked."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.headers: List[Any] = []

    async def request(
        self,
        method: str,
        url: str,
        headers: Any = None,
        params: Any = None,
        data: Any = None,
        json_payload: Any = None,
        timeout: Any = None,  # noqa: ASYNC109  # the documented name
    ) -> Any:
        self.headers.append(headers)
        self.report(self.statuses.pop(0), {})
        return {"data": 1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
class TestTheEngine:
    def call(self, backend: str, http: Scripted, listen: Any, **kwargs: Any) -> Any:
        strategy = RetryRequestStrategy(http, clock=VirtualClock())
        strategy.add_listener(listen)
        client = ApiClient(strategy)

        async def main() -> Any:
            return await client.call_api("https://api.test/?token=hidden", **kwargs)

        return anyio.run(main, backend=backend)

    def test_has_the_events_of_a_call(self, backend: str) -> None:
        seen: List[Any] = []
        self.call(backend, Scripted(503, 200), seen.append)
        assert isinstance(seen[0], CallStarted)
        end = seen[-1]
        assert isinstance(end, CallFinished)
        assert (end.status, end.error, end.attempts) == (200, None, 2)
        assert end.elapsed == 2.0
        assert end.url == "https://api.test/?token=[REDACTED]"
        assert end.scope == "https://api.test"

    def test_has_the_end_of_one_that_fails(self, backend: str) -> None:
        seen: List[Any] = []
        with pytest.raises(ApiHttpError):
            self.call(backend, Scripted(404), seen.append)
        end = seen[-1]
        assert (type(end), end.status, end.error, end.attempts) == (
            CallFinished,
            None,
            "HTTPError",
            1,
        )

    def test_sends_the_headers_of_listeners(self, backend: str) -> None:
        http = Scripted(503, 200)

        def listen(event: Any) -> None:
            if isinstance(event, AttemptStarted):
                event.headers.update({"X-N": str(event.number), "x-mine": "listener", "Host": "a"})

        self.call(backend, http, listen, headers={"X-Mine": "caller"})
        assert http.headers == [{"X-N": "1", "X-Mine": "caller"}, {"X-N": "2", "X-Mine": "caller"}]


def test_a_listener_is_removed_as_it_was_added() -> None:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    with FaultServer() as server, ConnectionManager() as manager:
        server.route("/", reply(200))
        manager.add_listener(listener)
        manager.get(server.url())
        manager.remove_listener(listener)
        manager.get(server.url())
        host = server.origin.partition("//")[2]
    labels = {"method": "GET", "host": host, "status": "2xx", "outcome": "success"}
    name = "requests_connection_manager_calls_total"
    assert registry.get_sample_value(name, labels) == 1
