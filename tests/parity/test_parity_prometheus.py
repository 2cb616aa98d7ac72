"""Prometheus, with its real client and a registry of the test's own."""

from __future__ import annotations

import logging

import anyio
import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from requests_connection_manager import MaxRetriesExceeded
from requests_connection_manager.integrations.prometheus import PrometheusListener
from requests_connection_manager.testing import blackhole, dead_origin, reply

OK = reply(200, body="ok")
OURS = "requests_connection_manager_"


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def counted(driver, registry, clock):
    def make(listener=None, **settings):
        settings.setdefault("clock", clock)
        manager = driver.manager(**settings)
        manager.add_listener(listener or PrometheusListener(registry))
        return manager

    return make


def samples(registry, name, namespace=OURS):
    """Return value by labels of the samples of a name that are not zero."""
    found = [one for family in registry.collect() for one in family.samples]
    return {
        tuple(value for label, value in sorted(one.labels.items()) if label != "host"): one.value
        for one in found
        if one.name == namespace + name and one.value
    }


def hosts(registry, name):
    found = [one for family in registry.collect() for one in family.samples]
    return {one.labels["host"] for one in found if one.name == OURS + name}


class TestWhatIsCounted:
    def test_calls_and_attempts(self, counted, registry, server, clock):
        server.route("/", reply(503), OK)
        server.route("/missing", reply(404))
        manager = counted()
        manager.get(server.url())
        manager.get(server.url("/missing"))
        manager.post(server.url("/missing"))
        assert samples(registry, "calls_total") == {
            ("GET", "success", "2xx"): 1,
            ("GET", "error_status", "4xx"): 1,
            ("POST", "error_status", "4xx"): 1,
        }
        assert samples(registry, "attempts_total") == {
            ("GET", "error_status", "5xx"): 1,
            ("GET", "success", "2xx"): 1,
            ("GET", "error_status", "4xx"): 1,
            ("POST", "error_status", "4xx"): 1,
        }
        assert samples(registry, "retries_total") == {("GET",): 1}
        assert hosts(registry, "calls_total") == {server.origin.partition("//")[2]}
        counts = samples(registry, "call_duration_seconds_count")
        assert counts == {
            ("GET", "success"): 1,
            ("GET", "error_status"): 1,
            ("POST", "error_status"): 1,
        }
        sums = samples(registry, "call_duration_seconds_sum")
        assert sums == {("GET", "success"): pytest.approx(0.3)}
        assert samples(registry, "attempt_duration_seconds_count")["GET", "success"] == 1

    def test_errors(self, counted, registry):
        with dead_origin() as origin, pytest.raises(MaxRetriesExceeded):
            counted(max_retries=1).get(origin)
        assert samples(registry, "calls_total") == {("GET", "exception", "none"): 1}
        assert samples(registry, "attempts_total") == {("GET", "exception", "none"): 2}

    def test_a_cancelled_call(self, driver, counted, registry):
        if driver.is_sync:
            pytest.skip("nothing cancels a synchronous call")
        manager = counted()

        async def cancelled(url):
            with anyio.move_on_after(0.05):
                await manager.manager.get(url)

        with blackhole() as origin:
            driver.portal.call(cancelled, origin)
        assert samples(registry, "calls_total") == {("GET", "exception", "none"): 1}

    def test_refusals_waits_and_states(self, counted, registry, server, clock):
        server.route("/", reply(500), OK)
        manager = counted(
            max_retries=0,
            circuit_breaker_failure_threshold=1,
            rate_limit_requests=2,
            rate_limit_period=600,
        )
        manager.get(server.url())
        assert samples(registry, "breaker_state") == {(server.origin,): 2}
        with pytest.raises(Exception, match="circuit breaker"):
            manager.get(server.url())
        clock.advance(60)
        manager.get(server.url())
        with pytest.raises(Exception, match="rate limit"):
            manager.get(server.url())
        manager.get(server.url(), rate_limit_mode="wait")
        assert samples(registry, "refusals_total") == {("GET", "breaker"): 1, ("GET", "limiter"): 1}
        assert samples(registry, "breaker_state") == {}
        assert b'breaker_state{scope="' in generate_latest(registry)
        assert samples(registry, "breaker_transitions_total") == {
            (server.origin, "open"): 1,
            (server.origin, "half-open"): 1,
            (server.origin, "closed"): 1,
        }
        assert samples(registry, "limiter_wait_seconds_count") == {("GET",): 1}
        assert samples(registry, "limiter_wait_seconds_sum")["GET",] == pytest.approx(540)

    def test_concurrent_calls_and_batches(self, counted, registry, server):
        server.route("/", OK)
        manager = counted()
        manager.together([("GET", server.url(), {})] * 20)
        manager.batch([("GET", server.url(), {})] * 20, max_workers=4)
        assert samples(registry, "calls_total") == {("GET", "success", "2xx"): 40}

    def test_methods_are_limited(self, counted, registry, server):
        server.route("/", OK)
        manager = counted()
        for method in ("BREW", "STIR", "GET"):
            manager.request(method, server.url())
        assert samples(registry, "calls_total") == {
            ("other", "success", "2xx"): 2,
            ("GET", "success", "2xx"): 1,
        }

    def test_hosts_are_limited(self, counted, registry, server):
        port = server.origin.rpartition(":")[2]
        server.route("/", reply(500))
        manager = counted(
            PrometheusListener(registry, max_hosts=1),
            max_retries=0,
            circuit_breaker_failure_threshold=1,
        )
        for host in ("127.0.0.1", "localhost"):
            manager.get(f"http://{host}:{port}/")
        assert hosts(registry, "attempts_total") == {f"127.0.0.1:{port}", "other"}
        assert samples(registry, "breaker_state") == {(server.origin,): 2}
        assert samples(registry, "breaker_transitions_total") == {
            (server.origin, "open"): 1,
            ("other", "open"): 1,
        }

    def test_the_very_status(self, counted, registry, server):
        server.route("/", reply(404))
        counted(PrometheusListener(registry, status_codes=True)).get(server.url())
        assert samples(registry, "attempts_total") == {("GET", "error_status", "404"): 1}

    def test_known_methods(self, counted, registry, server):
        server.route("/", OK)
        manager = counted(PrometheusListener(registry, known_methods=["BREW"]))
        manager.request("BREW", server.url())
        assert samples(registry, "attempts_total") == {("BREW", "success", "2xx"): 1}

    def test_buckets(self, counted, registry, server):
        server.route("/", OK)
        counted(PrometheusListener(registry, buckets=(0.5, 5))).get(server.url())
        page = generate_latest(registry).decode()
        bounds = {
            line.split('le="')[1].split('"')[0] for line in page.splitlines() if "le=" in line
        }
        assert bounds == {"0.5", "5.0", "+Inf"}


class TestOneRegistry:
    def test_has_the_metrics_of_several_listeners(self, counted, registry, server):
        server.route("/", OK)
        for _ in range(2):
            counted().get(server.url())
        assert samples(registry, "calls_total") == {("GET", "success", "2xx"): 2}

    def test_has_several_namespaces(self, counted, registry, server):
        server.route("/", OK)
        counted(PrometheusListener(registry, "one")).get(server.url())
        counted(PrometheusListener(registry, "two")).get(server.url())
        for namespace in ("one_", "two_"):
            assert samples(registry, "calls_total", namespace) == {("GET", "success", "2xx"): 1}

    @pytest.mark.parametrize(
        "settings",
        [
            {"buckets": (1, 2)},
            {"status_codes": True},
            {"known_methods": ["GET"]},
            {"max_hosts": 7},
        ],
    )
    def test_has_its_metrics_on_one_set_of_terms(self, registry, settings):
        PrometheusListener(registry)
        (name,) = settings
        with pytest.raises(ValueError, match=f"with other {name}.*or another namespace than"):
            PrometheusListener(registry, **settings)

    def test_may_have_others_of_these_names(self, registry):
        Counter("acme_retries", "Of somebody else.", registry=registry)
        before = generate_latest(registry)
        with pytest.raises(ValueError, match="begin with 'acme': give another namespace"):
            PrometheusListener(registry, "acme")
        assert generate_latest(registry) == before
        PrometheusListener(registry, "other")


class TestWhatIsGiven:
    @pytest.mark.parametrize(
        ("settings", "error", "text"),
        [
            ({"registry": "default"}, TypeError, "registry must be a CollectorRegistry"),
            ({"namespace": 7}, TypeError, "namespace must be a name of .* not 7"),
            ({"namespace": "a-b"}, ValueError, "namespace must be a name of .* not 'a-b'"),
            ({"namespace": ""}, ValueError, "namespace must be a name of .* not ''"),
            ({"buckets": 7}, TypeError, "buckets must be ascending numbers .* not 7"),
            ({"buckets": ["1"]}, TypeError, "buckets must be ascending numbers"),
            ({"buckets": [2, 1]}, ValueError, "buckets must be ascending numbers"),
            ({"buckets": []}, ValueError, "buckets must be ascending numbers"),
            ({"buckets": [0, 1]}, ValueError, "buckets must be ascending numbers"),
            ({"status_codes": 1}, TypeError, "status_codes must be a bool, not 1"),
            ({"max_hosts": True}, TypeError, "max_hosts must be an int"),
            ({"known_methods": "GET"}, TypeError, "known_methods must be"),
        ],
    )
    def test_is_checked(self, registry, settings, error, text):
        with pytest.raises(error, match=text):
            PrometheusListener(**{"registry": registry, **settings})


def test_what_goes_wrong_does_not_reach_the_request(counted, registry, server, caplog):
    server.route("/", OK)
    listener = PrometheusListener(registry)
    manager = counted(listener)
    listener._metrics.calls = None
    assert manager.get(server.url()).text == "ok"
    assert "<PrometheusListener> failed on CallFinished" in caplog.text
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
