"""OpenTelemetry, with its real SDK in memory: spans, their order, trace context and metrics."""

from __future__ import annotations

import contextvars
import logging
from collections import Counter

import anyio
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from requests_connection_manager import MaxRetriesExceeded
from requests_connection_manager.integrations.opentelemetry import OpenTelemetryListener
from requests_connection_manager.testing import (
    FaultServer,
    blackhole,
    dead_origin,
    dies_while_idle,
    redirect,
    reply,
)

OK = reply(200, body="ok")
OURS = "requests_connection_manager."
VARIABLE = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"


class Telemetry:
    """What was recorded."""

    def __init__(self):
        self._spans = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._metrics])
        self.tracer = self.tracer_provider.get_tracer("test")

    def listener(self, **settings):
        return OpenTelemetryListener(self.tracer_provider, self.meter_provider, **settings)

    def spans(self, kind=None):
        """Return the spans that ended, in the order in which they began."""
        ended = sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time)
        return [span for span in ended if kind in (None, span.kind)]

    @property
    def calls(self):
        return self.spans(SpanKind.INTERNAL)

    @property
    def attempts(self):
        return self.spans(SpanKind.CLIENT)

    def named(self, url, kind=SpanKind.INTERNAL):
        return [span for span in self.spans(kind) if span.attributes.get("url.full") == url]

    def points(self, name):
        data = self._metrics.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        scopes = [one for resource in resources for one in resource.scope_metrics]
        found = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in found for point in metric.data.data_points]

    def close(self):
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


@pytest.fixture
def telemetry(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    recorded = Telemetry()
    yield recorded
    recorded.close()


@pytest.fixture
def traced(driver, telemetry, clock):
    def make(listener=None, **settings):
        settings.setdefault("clock", clock)
        manager = driver.manager(**settings)
        manager.add_listener(listener or telemetry.listener())
        return manager

    return make


def parent_of(span):
    return span.parent.span_id if span.parent else None


def id_of(span):
    return span.context.span_id


def traceparent(span):
    context = span.context
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def sent(server):
    return [received.headers.get("traceparent") for received in server.requests]


def events(span):
    return [event.name.replace(OURS, "") for event in span.events]


def nothing_is_current(driver):
    """Tell whether no span is left behind where calls are made."""

    async def ask():
        return trace.get_current_span() is trace.INVALID_SPAN

    if driver.is_sync:
        return trace.get_current_span() is trace.INVALID_SPAN
    return driver.portal.call(ask)


class TestSpans:
    def test_of_a_call_and_its_attempt(self, driver, traced, telemetry, server):
        server.route("/users", OK)
        traced().get(server.url("/users?page=2&token=hidden"))
        (call,), (attempt,) = telemetry.calls, telemetry.attempts
        port = int(server.origin.rpartition(":")[2])
        common = {
            "http.request.method": "GET",
            "url.full": server.url("/users?page=2&token=[REDACTED]"),
            "server.address": "127.0.0.1",
            "server.port": port,
            "http.response.status_code": 200,
        }
        assert (call.name, attempt.name) == ("GET call", "GET")
        assert dict(attempt.attributes) == common
        assert dict(call.attributes) == {**common, OURS + "attempts": 1}
        assert parent_of(attempt) == id_of(call)
        assert parent_of(call) is None
        assert {call.status.status_code, attempt.status.status_code} == {StatusCode.UNSET}
        assert sent(server) == [traceparent(attempt)]
        assert attempt.instrumentation_scope.name == "requests_connection_manager"
        assert attempt.instrumentation_scope.schema_url.endswith("/1.27.0")
        assert nothing_is_current(driver)

    def test_of_retries(self, driver, traced, telemetry, server):
        server.route("/", reply(503), reply(500), OK)
        traced().get(server.url())
        (call,), attempts = telemetry.calls, telemetry.attempts
        assert [one.attributes["http.response.status_code"] for one in attempts] == [503, 500, 200]
        resent = [one.attributes.get("http.request.resend_count") for one in attempts]
        assert resent == [None, 1, 2]
        assert [one.attributes.get("error.type") for one in attempts] == ["503", "500", None]
        assert [one.status.status_code for one in attempts] == [
            StatusCode.ERROR,
            StatusCode.ERROR,
            StatusCode.UNSET,
        ]
        assert {parent_of(one) for one in attempts} == {id_of(call)}
        assert sent(server) == [traceparent(one) for one in attempts]
        assert call.attributes[OURS + "attempts"] == 3
        assert call.status.status_code is StatusCode.UNSET
        assert events(call) == ["retry_scheduled", "retry_scheduled"]
        assert dict(call.events[1].attributes) == {
            OURS + "number": 3,
            OURS + "delay": 0.6,
            OURS + "cause": "status 500",
        }
        assert nothing_is_current(driver)

    def test_of_one_that_fails_in_the_end(self, traced, telemetry):
        with dead_origin() as origin, pytest.raises(MaxRetriesExceeded):
            traced(max_retries=1).get(f"{origin}/?token=hidden")
        (call,), attempts = telemetry.calls, telemetry.attempts
        assert call.attributes["error.type"] == "MaxRetriesExceeded"
        assert "http.response.status_code" not in call.attributes
        assert {one.attributes["error.type"] for one in attempts} <= {
            "ConnectionError",
            "ConnectError",
        }
        assert {one.status.status_code for one in (call, *attempts)} == {StatusCode.ERROR}
        assert events(call) == ["retry_scheduled", "retry_suppressed", "exception"]
        assert call.events[2].attributes["exception.type"] == "MaxRetriesExceeded"
        assert "hidden" not in str([(one.attributes, one.events) for one in telemetry.spans()])

    def test_of_a_status_that_is_returned(self, traced, telemetry, server):
        server.route("/", reply(404))
        traced().get(server.url())
        for span in telemetry.spans():
            assert span.attributes["error.type"] == "404"
            assert span.status.status_code is StatusCode.ERROR

    def test_of_redirects(self, traced, telemetry, server):
        server.route("/old", redirect("/new"))
        server.route("/new", OK)
        traced().get(server.url("/old"))
        (call,), attempts = telemetry.calls, telemetry.attempts
        assert [one.attributes["url.full"] for one in attempts] == [
            server.url("/old"),
            server.url("/new"),
        ]
        assert attempts[1].attributes["http.request.resend_count"] == 1
        assert {parent_of(one) for one in attempts} == {id_of(call)}
        assert sent(server) == [traceparent(one) for one in attempts]

    def test_of_redirects_elsewhere_which_get_no_baggage(self, driver, traced, server):
        with FaultServer() as other:
            server.route("/old", redirect("/there"))
            server.route("/there", redirect(other.url("/new")))
            other.route("/new", redirect(server.url("/back")))
            server.route("/back", OK)
            manager = traced()

            def with_baggage():
                return otel_context.attach(baggage.set_baggage("user", "me"))

            async def call():
                token = with_baggage()
                await manager.manager.get(server.url("/old"))
                otel_context.detach(token)

            if driver.is_sync:
                token = with_baggage()
                manager.get(server.url("/old"))
                otel_context.detach(token)
            else:
                driver.portal.call(call)
        received = [(one.path, one.headers.get("baggage")) for one in server.requests]
        assert received == [("/old", "user=me"), ("/there", "user=me"), ("/back", "user=me")]
        assert [one.headers.get("baggage") for one in other.requests] == [None]
        assert None not in sent(server) + sent(other)

    def test_of_refusals_and_waits(self, traced, telemetry, server, clock):
        server.route("/", reply(500), OK)
        manager = traced(
            max_retries=0,
            circuit_breaker_failure_threshold=1,
            rate_limit_requests=2,
            rate_limit_period=600,
        )
        manager.get(server.url())
        with pytest.raises(Exception, match="circuit breaker"):
            manager.get(server.url())
        clock.advance(60)
        manager.get(server.url())
        with pytest.raises(Exception, match="rate limit"):
            manager.get(server.url())
        manager.get(server.url(), rate_limit_mode="wait")
        assert [events(call) for call in telemetry.calls] == [
            ["breaker_state_changed"],
            ["breaker_refused", "exception"],
            ["breaker_state_changed", "breaker_state_changed"],
            ["limiter_refused", "exception"],
            ["limiter_waited"],
        ]
        assert telemetry.calls[1].events[0].attributes[OURS + "scope"] == server.origin

    def test_of_a_replaced_connection(self, traced, telemetry, server):
        dying = dies_while_idle(OK, when="next", with_reset=True)
        server.route("/", dying, OK)
        manager = traced()
        for _ in range(2):
            manager.get(server.url())
        assert [events(one) for one in telemetry.attempts] == [[], ["connection_replaced"]]

    def test_of_another_url_by_a_hook(self, traced, telemetry, server):
        server.route("/other", OK)

        def hook(context):
            context.url = server.url("/other")

        manager = traced()
        manager.register_pre_request_hook(hook)
        manager.get(server.url("/first"))
        assert telemetry.calls[0].attributes["url.full"] == server.url("/other")

    def test_of_an_unknown_method(self, traced, telemetry, server):
        server.route("/", OK)
        traced().request("BREW", server.url())
        attempt = telemetry.attempts[0]
        assert attempt.name == "HTTP"
        assert attempt.attributes["http.request.method"] == "_OTHER"
        assert attempt.attributes["http.request.method_original"] == "BREW"
        assert telemetry.calls[0].name == "HTTP call"

    def test_of_a_method_that_the_environment_knows(self, traced, telemetry, server, monkeypatch):
        monkeypatch.setenv(VARIABLE, "BREW, WHEN")
        server.route("/", OK)
        manager = traced()
        manager.request("BREW", server.url())
        manager.get(server.url())
        assert [one.name for one in telemetry.attempts] == ["BREW", "HTTP"]

    def test_of_a_stream(self, driver, traced, telemetry, server):
        server.route("/", OK)
        assert traced().read_stream(server.url()) == b"ok"
        assert len(telemetry.spans()) == 2
        assert nothing_is_current(driver)

    def test_of_a_call_that_a_hook_ends(self, driver, traced, telemetry, server):
        def hook(context):
            raise LookupError("no such key")

        manager = traced()
        manager.register_pre_request_hook(hook)
        with pytest.raises(LookupError):
            manager.get(server.url())
        assert [one.attributes["error.type"] for one in telemetry.spans()] == ["LookupError"]
        assert nothing_is_current(driver)


class TestWhichSpanIsCurrent:
    def test_hooks_see_the_calls(self, driver, traced, telemetry, server):
        server.route("/", OK)
        seen = []

        def hook(context):
            with telemetry.tracer.start_as_current_span("mine"):
                seen.append(trace.get_current_span())

        manager = traced()
        manager.register_pre_request_hook(hook)
        manager.register_post_response_hook(hook)
        manager.get(server.url())
        assert [parent_of(one) for one in seen] == [id_of(telemetry.named(server.url())[0])] * 2
        assert nothing_is_current(driver)

    def test_a_nested_call_is_below_its_call(self, driver, traced, telemetry, server):
        server.route("/token", reply(503), OK)
        server.route("/", OK)
        manager = traced()
        fetch_token(driver, manager, server.url("/token"))
        manager.get(server.url())
        (outer,), (inner,) = telemetry.named(server.url()), telemetry.named(server.url("/token"))
        assert parent_of(inner) == id_of(outer)
        own = telemetry.named(server.url("/token"), SpanKind.CLIENT)
        assert [parent_of(one) for one in own] == [id_of(inner)] * 2
        (last,) = telemetry.named(server.url(), SpanKind.CLIENT)
        assert parent_of(last) == id_of(outer)
        assert "http.request.resend_count" not in last.attributes
        assert nothing_is_current(driver)

    def test_the_callers_span_is_the_parent(self, driver, traced, telemetry, server):
        server.route("/", OK)
        manager = traced()
        if driver.is_sync:
            with telemetry.tracer.start_as_current_span("mine") as mine:
                manager.get(server.url())
                assert trace.get_current_span() is mine
        else:

            async def main():
                with telemetry.tracer.start_as_current_span("mine") as mine:
                    await manager.manager.get(server.url())
                    assert trace.get_current_span() is mine
                return mine

            mine = driver.portal.call(main)
        assert parent_of(telemetry.named(server.url())[0]) == id_of(mine)

    def test_concurrent_calls_do_not_mix(self, driver, traced, telemetry, server):
        manager = traced(retry_budget=None, circuit_breaker_failure_threshold=None)
        urls = [server.url(f"/{number}") for number in range(8)]
        for number in range(8):
            server.route(f"/{number}", reply(503), OK)
        server.route("/token", OK)
        fetch_token(driver, manager, server.url("/token"))
        manager.together([("GET", url, {}) for url in urls])
        for url in urls:
            (call,), attempts = telemetry.named(url), telemetry.named(url, SpanKind.CLIENT)
            assert parent_of(call) is None
            assert [parent_of(one) for one in attempts] == [id_of(call)] * 2
            resent = [one.attributes.get("http.request.resend_count") for one in attempts]
            assert resent == [None, 1]
        parents = Counter(parent_of(one) for one in telemetry.named(server.url("/token")))
        assert parents == Counter(id_of(telemetry.named(url)[0]) for url in urls)

    def test_the_items_of_a_batch_are_below_the_callers_span(
        self, driver, traced, telemetry, server
    ):
        server.route("/", OK)
        manager = traced()
        items = [("GET", server.url(), {})] * 6
        if driver.is_sync:
            with telemetry.tracer.start_as_current_span("mine") as mine:
                manager.batch(items, max_workers=3)
        else:

            async def main():
                with telemetry.tracer.start_as_current_span("mine") as mine:
                    await manager.manager.batch_request(items, max_workers=3)
                return mine

            mine = driver.portal.call(main)
        calls = telemetry.named(server.url())
        assert [parent_of(one) for one in calls] == [id_of(mine)] * 6
        attempts = telemetry.attempts
        assert sorted(map(parent_of, attempts)) == sorted(map(id_of, calls))

    def test_two_listeners_leave_nothing_behind(self, driver, traced, telemetry, server):
        server.route("/", reply(503), OK)
        other = Telemetry()
        manager = traced()
        manager.add_listener(other.listener())
        manager.get(server.url())
        for recorded in (telemetry, other):
            assert len(recorded.calls) == 1
            assert len(recorded.attempts) == 2
        # What is sent is the context of the last one.
        assert sent(server) == [traceparent(one) for one in other.attempts]
        assert nothing_is_current(driver)
        other.close()

    def test_one_that_is_added_twice_makes_one_span(self, driver, traced, telemetry, server):
        server.route("/", OK)
        listener = telemetry.listener()
        manager = traced(listener)
        manager.add_listener(listener)
        manager.get(server.url())
        assert len(telemetry.calls) == 1
        assert nothing_is_current(driver)

    def test_one_serves_several_managers(self, driver, traced, telemetry, server):
        server.route("/token", OK)
        server.route("/", OK)
        listener = telemetry.listener()
        manager, other = traced(listener), traced(listener)
        fetch_token(driver, manager, server.url("/token"), other)
        manager.get(server.url())
        (outer,), (inner,) = telemetry.named(server.url()), telemetry.named(server.url("/token"))
        assert parent_of(inner) == id_of(outer)

    def test_a_cancelled_call_ends_its_spans(self, driver, traced, telemetry):
        if driver.is_sync:
            pytest.skip("nothing cancels a synchronous call")
        manager = traced()

        async def cancelled(url):
            with anyio.move_on_after(0.05):
                await manager.manager.get(url)
            return trace.get_current_span() is trace.INVALID_SPAN

        with blackhole() as origin:
            assert driver.portal.call(cancelled, origin)
        assert len(telemetry.calls) == len(telemetry.attempts) == 1
        for span in telemetry.spans():
            assert span.attributes["error.type"] in ("CancelledError", "Cancelled")

    def test_an_abandoned_call_ends_its_spans_where_another_is_on(
        self, driver, traced, telemetry, server
    ):
        if driver.name != "asyncio":
            pytest.skip("a coroutine is run by hand, which trio minds")
        server.route("/", OK)
        manager = traced()

        async def never(context):
            if context.url.endswith("/abandoned"):
                await anyio.sleep_forever()

        manager.register_pre_request_hook(never)

        async def main():
            abandoned = manager.manager.get(server.url("/abandoned"))
            contextvars.copy_context().run(abandoned.send, None)

            async def close(context):
                if not context.url.endswith("/abandoned"):
                    abandoned.close()

            manager.manager.register_pre_request_hook(close)
            await manager.manager.get(server.url())
            return trace.get_current_span() is trace.INVALID_SPAN

        assert driver.portal.call(main)
        (lost,) = telemetry.named(server.url("/abandoned"))
        assert lost.attributes["error.type"] == "GeneratorExit"
        (call,) = telemetry.named(server.url())
        (attempt,) = telemetry.attempts
        assert parent_of(attempt) == id_of(call)
        assert sent(server) == [traceparent(attempt)]


class TestTraceContext:
    def test_is_not_sent_when_it_is_not_wanted(self, traced, telemetry, server):
        server.route("/", OK)
        traced(telemetry.listener(propagate=False)).get(server.url())
        assert sent(server) == [None]

    def test_of_the_caller_wins(self, traced, telemetry, server):
        server.route("/", OK)
        own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        traced().get(server.url(), headers={"Traceparent": own})
        assert sent(server) == [own]

    def test_has_baggage(self, driver, traced, telemetry, server):
        from opentelemetry import baggage

        server.route("/", OK)
        manager = traced()

        def hook(context):
            otel_context.attach(baggage.set_baggage("tenant", "acme"))

        manager.register_pre_request_hook(hook)
        manager.get(server.url())
        assert server.requests[-1].headers["baggage"] == "tenant=acme"
        assert nothing_is_current(driver)

    def test_nothing_is_recorded_while_telemetry_is_sent(self, driver, traced, telemetry, server):
        server.route("/", OK)
        manager = traced()
        key = otel_context._SUPPRESS_INSTRUMENTATION_KEY

        async def asynchronous():
            token = otel_context.attach(otel_context.set_value(key, True))
            await manager.manager.get(server.url())
            otel_context.detach(token)

        if driver.is_sync:
            token = otel_context.attach(otel_context.set_value(key, True))
            manager.get(server.url())
            otel_context.detach(token)
        else:
            driver.portal.call(asynchronous)
        assert telemetry.spans() == []
        assert sent(server) == [None]
        assert telemetry.points("http.client.request.duration") == []


class TestMetrics:
    def test_the_duration_of_attempts(self, traced, telemetry, server):
        server.route("/", reply(503), OK)
        traced().get(server.url())
        points = telemetry.points("http.client.request.duration")
        found = {point.attributes["http.response.status_code"]: point for point in points}
        assert set(found) == {503, 200}
        assert {point.count for point in points} == {1}
        assert dict(found[503].attributes) == {
            "http.request.method": "GET",
            "server.address": "127.0.0.1",
            "server.port": int(server.origin.rpartition(":")[2]),
            "http.response.status_code": 503,
            "error.type": "503",
        }
        assert found[200].explicit_bounds[:3] == (0.005, 0.01, 0.025)
        assert found[200].explicit_bounds[-1] == 10

    def test_of_ours(self, traced, telemetry, server, clock):
        server.route("/", reply(503), OK, reply(500))
        manager = traced(max_retries=1, circuit_breaker_failure_threshold=2)
        manager.get(server.url())
        for kind in (MaxRetriesExceeded, Exception):
            with pytest.raises(kind):
                manager.get(server.url())
        limited = traced(rate_limit_requests=1)
        server.route("/limited", OK)
        limited.get(server.url("/limited"))
        with pytest.raises(Exception, match="rate limit"):
            limited.get(server.url("/limited"))
        limited.get(server.url("/limited"), rate_limit_mode="wait")

        def total(name, label=None):
            points = telemetry.points(OURS + name)
            return {point.attributes.get(OURS + label): point.value for point in points}

        assert sum(one.value for one in telemetry.points(OURS + "retries")) == 2
        assert total("refusals", "refused_by") == {"breaker": 1, "limiter": 1}
        assert total("breaker.transitions", "state") == {"open": 1}
        (wait,) = telemetry.points(OURS + "limiter.wait.duration")
        assert wait.sum == pytest.approx(60)
        calls = telemetry.points(OURS + "call.duration")
        errors = {point.attributes.get("error.type"): point.count for point in calls}
        assert errors == {
            None: 3,
            "MaxRetriesExceeded": 1,
            "CircuitBreakerOpen": 1,
            "RateLimitExceeded": 1,
        }

    def test_have_a_limited_number_of_hosts_and_methods(self, traced, telemetry, server):
        server.route("/", OK)
        manager = traced(telemetry.listener(max_hosts=1), max_retries=0)
        port = server.origin.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "127.0.0.1"):
            for method in ("GET", "BREW", "STIR"):
                manager.request(method, f"http://{host}:{port}/")
        points = telemetry.points("http.client.request.duration")
        labels = {
            (point.attributes["http.request.method"], point.attributes["server.address"])
            for point in points
        }
        hosts = ("127.0.0.1", "_OTHER")
        assert labels == {(method, host) for method in ("GET", "_OTHER") for host in hosts}
        assert sum(point.count for point in points) == 9


class TestWhatIsGiven:
    @pytest.mark.parametrize(
        ("settings", "error", "text"),
        [
            ({"max_hosts": "many"}, TypeError, "max_hosts must be an int of at least 1"),
            ({"max_hosts": 0}, ValueError, "max_hosts must be an int of at least 1, not 0"),
            ({"known_methods": "GET"}, TypeError, "known_methods must be .* not 'GET'"),
            ({"known_methods": [7]}, TypeError, "known_methods must be .* 7"),
            ({"propagate": "yes"}, TypeError, "propagate must be a bool, not 'yes'"),
        ],
    )
    def test_is_checked(self, settings, error, text):
        with pytest.raises(error, match=text):
            OpenTelemetryListener(**settings)

    def test_known_methods(self, traced, telemetry, server):
        server.route("/", OK)
        traced(telemetry.listener(known_methods=["BREW"])).request("BREW", server.url())
        assert telemetry.attempts[0].name == "BREW"


def test_what_goes_wrong_does_not_reach_the_request(traced, telemetry, server, caplog, monkeypatch):
    server.route("/", reply(503), OK)
    listener = telemetry.listener()
    manager = traced(listener)

    def broken(*args, **kwargs):
        raise RuntimeError("no span today")

    monkeypatch.setattr(listener._tracer, "start_span", broken)
    assert manager.get(server.url()).text == "ok"
    assert [one.levelno for one in caplog.records].count(logging.ERROR) == 3
    assert "<OpenTelemetryListener> failed on CallStarted" in caplog.text


def test_a_listener_that_comes_late_and_one_that_goes_early(driver, telemetry, server, clock):
    server.route("/", OK)
    listener = telemetry.listener()
    manager = driver.manager(clock=clock)

    def come(context):
        manager.add_listener(listener)

    manager.register_pre_request_hook(come)
    manager.get(server.url())
    assert [one.name for one in telemetry.spans()] == ["GET"]
    assert parent_of(telemetry.spans()[0]) is None
    assert nothing_is_current(driver)


def fetch_token(driver, manager, url, other=None):
    """Let each call of ``manager`` fetch a token first."""
    source = (other or manager).manager

    def hook(context):
        if context.url != url:
            source.get(url)

    async def asynchronous(context):
        if context.url != url:
            await source.get(url)

    manager.register_pre_request_hook(hook if driver.is_sync else asynchronous)
