"""The live parts behind the settings: how long they are kept, what bounds them, what is shown."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any, Dict

import pybreaker
import pytest

from requests_connection_manager import ConnectionManager
from requests_connection_manager.core import Core
from requests_connection_manager.events import LimiterRefused
from requests_connection_manager.policies.rate_limit import (
    FixedWindowRateLimiter,
    PauseOnlyRateLimiter,
    TokenBucketRateLimiter,
)
from requests_connection_manager.registry import Scope
from requests_connection_manager.stats import Statistics
from requests_connection_manager.testing import FaultServer, VirtualClock, redirect, reply


def scope_of(core: Core, url: str) -> Scope:
    return core.scope(core.configuration, url)


def trip(scope: Scope) -> None:
    assert scope.breaker is not None
    permit = scope.breaker.acquire()
    assert not isinstance(permit, float)
    permit.failure(OSError("down"))


def stages(core: Core) -> int:
    return len(core.registry._stages)


def manager_with(**settings: Any) -> ConnectionManager:
    settings.setdefault("circuit_breaker_failure_threshold", 1)
    return ConnectionManager(max_retries=0, clock=VirtualClock(), **settings)


def test_stages_are_bounded_when_setters_drop_the_scopes() -> None:
    core = manager_with(max_scopes=10).core
    for number in range(500):
        scope_of(core, f"http://host{number}.test/")
        if number % 5 == 0:
            core.configure(lambda known: known.replaced(credentials={"api_key": "k"}))
    assert stages(core) <= 40


def test_stages_are_bounded_when_a_pattern_changes_its_numbers() -> None:
    with manager_with(max_scopes=10) as manager:
        for number in range(500):
            manager.add_endpoint_config("api.test", {"rate_limit_requests": number + 1})
            scope_of(manager.core, "http://api.test/")
        assert stages(manager.core) <= 40


def test_an_open_circuit_is_kept_longest_and_a_scope_in_use_keeps_its_stages() -> None:
    core = manager_with(max_scopes=8).core
    trip(scope_of(core, "http://down.test/"))
    used = scope_of(core, "http://used.test/")
    for number in range(200):
        scope_of(core, f"http://host{number}.test/")
        core.clock.sleep(1)
        assert scope_of(core, "http://used.test/").limiter is used.limiter
    down = scope_of(core, "http://down.test/").breaker
    assert getattr(down, "state", None) == "open"


def test_what_was_used_last_survives_a_change_of_settings_longest() -> None:
    core = manager_with(max_scopes=4).core
    used = scope_of(core, "http://used.test/")
    for number in range(3):
        scope_of(core, f"http://host{number}.test/")
    core.clock.sleep(1)
    scope_of(core, "http://used.test/")
    core.configure(lambda known: known.replaced(credentials={}))
    for number in range(10, 13):
        scope_of(core, f"http://host{number}.test/")
    assert scope_of(core, "http://used.test/").breaker is used.breaker


def test_a_scope_in_use_stays_the_same_whatever_else_comes() -> None:
    core = manager_with(max_scopes=4).core
    used = scope_of(core, "http://used.test/")
    for number in range(100):
        scope_of(core, f"http://host{number}.test/")
        assert scope_of(core, "http://used.test/") is used


def limiter_of(core: Core, url: str) -> FixedWindowRateLimiter:
    limiter = scope_of(core, url).limiter
    assert isinstance(limiter, FixedWindowRateLimiter)
    return limiter


def test_a_running_window_outlasts_what_remembers_nothing() -> None:
    core = manager_with(max_scopes=4, rate_limit_requests=1).core
    assert limiter_of(core, "http://busy.test/").reserve(0.0).ticket is not None
    for number in range(100):
        scope_of(core, f"http://host{number}.test/")
    assert limiter_of(core, "http://busy.test/").reserve(0.0).ticket is None


def test_a_pause_outlasts_running_windows() -> None:
    core = manager_with(max_scopes=4, rate_limit_requests=5).core
    limiter_of(core, "http://paused.test/").pause(30)
    for number in range(100):
        limiter_of(core, f"http://host{number}.test/").reserve(0.0)
    assert limiter_of(core, "http://paused.test/").paused_for() == pytest.approx(30)


def test_what_a_request_in_flight_books_is_not_lost() -> None:
    core = manager_with(max_scopes=2).core
    breaker = scope_of(core, "http://held.test/").breaker
    assert breaker is not None
    permit = breaker.acquire()
    assert not isinstance(permit, float)
    # What is in flight holds the scope.
    held = scope_of(core, "http://held.test/")
    for number in range(100):
        scope_of(core, f"http://host{number}.test/")
    permit.failure(OSError("down"))
    again = scope_of(core, "http://held.test/")
    assert again is not held, "it was not forgotten, so this shows nothing"
    assert again.breaker is not None
    assert again.breaker.state == "open"


def test_what_nobody_holds_is_forgotten() -> None:
    core = manager_with(max_scopes=2).core
    gone = weakref.ref(limiter_of(core, "http://first.test/"))
    for number in range(100):
        scope_of(core, f"http://host{number}.test/")
    assert gone() is None, "kept until the next garbage collection"


def test_forgetting_takes_as_long_among_many_as_among_few() -> None:
    def lines(max_scopes: int) -> int:
        core = manager_with(max_scopes=max_scopes).core
        urls = [f"http://host{number}.test/" for number in range(6 * max_scopes + 40)]
        for url in urls[:-40]:
            scope_of(core, url)
        seen = 0

        def count(frame: Any, event: str, arg: Any) -> Any:
            nonlocal seen
            seen += "requests_connection_manager" in frame.f_code.co_filename
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            for url in urls[-40:]:
                scope_of(core, url)
        finally:
            sys.settrace(before)
        return seen

    few, many = lines(16), lines(256)
    assert many < few * 1.2


def test_a_breaker_that_is_busy_elsewhere_holds_up_its_own_scope_only() -> None:
    shared = pybreaker.CircuitBreaker()
    endpoints: Dict[Any, Any] = {"slow.test": {"circuit_breaker": shared}}
    core = manager_with(endpoint_configs=endpoints).core
    done = threading.Event()

    def build() -> None:
        scope_of(core, "http://other.test/")
        done.set()

    with shared._lock:
        slow = threading.Thread(target=scope_of, args=(core, "http://slow.test/"), daemon=True)
        slow.start()
        while not _is_building(slow):
            assert slow.is_alive(), "it did not wait for the breaker"
        threading.Thread(target=build, daemon=True).start()
        assert done.wait(10)
    slow.join(10)
    assert not slow.is_alive()


def _is_building(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "_attach":
            return True
        frame = frame.f_back
    return False


def test_a_call_on_old_settings_does_not_bring_their_numbers_back() -> None:
    with FaultServer() as server, manager_with() as manager:
        manager.add_endpoint_config("/", {"circuit_breaker_failure_threshold": 5})

        def change(response: Any, **kwargs: Any) -> None:
            if response.is_redirect:
                manager.add_endpoint_config("/", {"circuit_breaker_failure_threshold": 1})
                manager.get(server.url("/new"))

        server.route("/old", redirect(server.url("/new")))
        server.route("/new", reply(200))
        server.route("/down", reply(500))
        manager.get(server.url("/old"), hooks={"response": change})
        manager.get(server.url("/down"))
        assert manager.get_stats()["circuit_breaker_state"] == "open"


def test_new_numbers_reach_a_breaker_that_a_call_on_old_settings_built() -> None:
    with manager_with() as manager:
        manager.add_endpoint_config("api.test", {"circuit_breaker_failure_threshold": 5})
        old = manager.core.configuration
        manager.add_endpoint_config("api.test", {"circuit_breaker_failure_threshold": 1})
        # A further change leaves the pattern's policy as it is.
        manager.add_endpoint_config("other.test", {"timeout": 3})
        built = manager.core.scope(old, "http://api.test/")
        found = scope_of(manager.core, "http://api.test/")
        assert found.breaker is built.breaker
        trip(found)
        assert manager.get_stats()["circuit_breaker_state"] == "open"


# -- what statistics show


def test_statistics_forget_the_scope_that_is_silent_for_longest() -> None:
    statistics = Statistics(max_scopes=2)
    for name in ("a", "b", "a", "c", "a"):
        statistics.on_event(LimiterRefused(name, "GET", f"https://{name}/", 1.0))
    refusals = {name: statistics.scope(name)["refusals"]["limiter"] for name in ("a", "b", "c")}
    assert refusals == {"a": 3, "b": 0, "c": 1}
    assert set(statistics.names()) == {"a", "c"}


def test_a_setter_does_not_hide_an_open_circuit() -> None:
    with FaultServer() as server, manager_with() as manager:
        server.route("/", reply(500))
        manager.get(server.url("/"))
        manager.set_bearer_token("x")
        stats = manager.get_stats()
        assert (stats["circuit_breaker_state"], stats["circuit_breaker_failure_count"]) == (
            "open",
            1,
        )
        (scope,) = stats["scopes"].values()
        assert (scope["circuit_breaker_state"], scope["attempts"]) == ("open", 1)


def test_two_origins_under_one_pattern_show_the_worse() -> None:
    endpoints: Dict[Any, Any] = {"/a": {"rate_limit_requests": 100}}
    with FaultServer() as bad, FaultServer() as good:
        bad.route("/a", reply(500))
        good.route("/a", reply(200))
        with manager_with(endpoint_configs=endpoints) as manager:
            manager.get(bad.url("/a"))
            manager.get(good.url("/a"))
            stats = manager.get_stats()
    assert stats["circuit_breaker_state"] == "open"
    assert stats["scopes"]["/a"]["circuit_breaker_state"] == "open"


def test_a_circuit_that_no_call_can_reach_any_more_does_not_count() -> None:
    with manager_with() as manager:
        manager.add_endpoint_config("api.test", {"circuit_breaker_failure_threshold": 1})
        trip(scope_of(manager.core, "http://api.test/"))
        assert manager.get_stats()["circuit_breaker_state"] == "open"
        manager.remove_endpoint_config("api.test")
        assert manager.get_stats()["circuit_breaker_state"] == "closed"


@pytest.mark.parametrize("url", ["http://api.test/v1", "https://other.test:8443/v1"])
def test_explain_builds_nothing(url: str) -> None:
    with manager_with(max_scopes=1) as manager:
        manager.add_endpoint_config("api.test", {"rate_limit_requests": 1})
        kept = scope_of(manager.core, "http://kept.test/")
        explained = manager.explain("GET", url)
        assert manager.core.registry.scopes() == (kept,)
        assert explained["scope"] == scope_of(manager.core, url).name


# -- a limiter that only follows the server


def limiter_at(manager: ConnectionManager, url: str = "http://api.test/") -> Any:
    return scope_of(manager.core, url).limiter


def test_a_limiter_that_follows_the_server_is_built_where_there_is_none_of_ones_own() -> None:
    assert limiter_at(manager_with(rate_limit_requests=None)) is None
    follow = {"follow_server_limits": True}
    own = limiter_at(manager_with(rate_limit_requests=5, **follow))
    assert isinstance(own, FixedWindowRateLimiter)
    given = TokenBucketRateLimiter(1, 1)
    assert limiter_at(manager_with(rate_limiter=given, rate_limit_requests=None, **follow)) is given
    pausing = limiter_at(manager_with(rate_limit_requests=None, **follow))
    assert isinstance(pausing, PauseOnlyRateLimiter)


def test_it_is_kept_per_origin_or_per_pattern_that_sets_it() -> None:
    manager = manager_with(rate_limit_requests=None, follow_server_limits=True)
    api = limiter_at(manager)
    assert limiter_at(manager, "http://api.test/v2") is api
    assert limiter_at(manager, "http://other.test/") is not api
    manager.add_endpoint_config("/v1", {"follow_server_limits": True})
    first, second = (limiter_at(manager, f"http://{host}.test/v1") for host in ("api", "other"))
    assert first is second
    assert first is not api


def test_a_change_of_other_settings_does_not_end_its_pause() -> None:
    manager = manager_with(rate_limit_requests=None, follow_server_limits=True)
    limiter_at(manager).pause(30)
    manager.update_settings(total_timeout=5)
    assert limiter_at(manager).reserve(0.0).wait == pytest.approx(30)


def test_a_sibling_shares_its_pause() -> None:
    manager = manager_with(rate_limit_requests=None, follow_server_limits=True)
    limiter_at(manager).pause(30)
    sibling = manager.with_options(rate_limit_mode="wait")
    assert limiter_at(sibling).reserve(0.0).wait == pytest.approx(30)
    with pytest.raises(ValueError, match="follow_server_limits"):
        manager.with_options(follow_server_limits=False)
