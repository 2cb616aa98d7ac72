"""A manager after a fork: in the child it works as in the parent, whatever was held."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import List

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

HEAD = """
    import os, sys, threading, warnings
    # CPython 3.12 and later warn of threads at a fork, which is what is tested.
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
    from requests_connection_manager import ConnectionManager
    from requests_connection_manager.testing import FaultServer, reply

    def in_child(work):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                code = 0
            except BaseException as exc:
                print("child:", type(exc).__name__, exc)
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        return status

    server = FaultServer().start()
    server.route("/", lambda received: reply(200, body=str(received.connection)))
"""


def run(code: str) -> List[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HEAD) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_child_uses_connections_of_its_own() -> None:
    out = run(
        """
        manager = ConnectionManager()
        first = manager.get(server.url("/")).text

        def work():
            other = manager.get(server.url("/")).text
            assert other != first, "the child wrote to its parent's socket"
            print("child", manager.get(server.url("/")).text == other)

        status = in_child(work)
        print(status, manager.get(server.url("/")).text == first)
        """
    )
    assert out == ["child True", "0 True"]


@pytest.mark.parametrize(
    "held",
    [
        "manager.core._lock",
        "manager.core.plugins._lock",
        "manager.core.events._lock",
        "manager.core.stats._lock",
        "manager.core.registry._lock",
        "watchdog._condition",
        "_abort_lock",
        "manager.cookies._cookies_lock",
        "scope.breaker._lock",
        "scope.breaker._breaker._lock",
        "scope.limiter._lock",
        "scope.limiter._window.lock",
        "scope.budget._lock",
    ],
)
def test_a_lock_that_another_thread_held_does_not_stop_the_child(held: str) -> None:
    out = run(
        f"""
        from requests_connection_manager.connections import wire
        from requests_connection_manager.connections.wire import watchdog
        _abort_lock = wire._abort_lock
        manager = ConnectionManager(rate_limit_requests=50)
        manager.get(server.url("/"), total_timeout=20)
        scope = manager.core.registry.scopes()[0]
        locked, leave = threading.Event(), threading.Event()

        def hold():
            with {held}:
                locked.set()
                leave.wait(20)

        holder = threading.Thread(target=hold, daemon=True)
        holder.start()
        locked.wait(20)

        def work():
            manager.add_endpoint_config("api.example.test", {{"timeout": 5}})
            manager.register_pre_request_hook(lambda context: None)
            manager.add_listener(lambda event: None)
            for number in range(3):
                assert manager.get(server.url("/"), total_timeout=20).status_code == 200
            manager.batch_request([("GET", server.url("/"), {{}})] * 3)
            print("child", manager.get_stats()["circuit_breaker_state"])

        status = in_child(work)
        leave.set()
        holder.join()
        print(status, manager.get(server.url("/")).status_code)
        """
    )
    assert out == ["child closed", "0 200"]


def test_a_fork_in_the_midst_of_requests() -> None:
    out = run(
        """
        manager = ConnectionManager(rate_limit_requests=None, pool_maxsize=4)
        # What is imported at the first request must be there: CPython's import locks of another
        # thread stay locked in a child.
        manager.get(server.url("/"))
        stop = threading.Event()

        def keep_busy():
            while not stop.is_set():
                manager.get(server.url("/"))

        threads = [threading.Thread(target=keep_busy, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()

        def work():
            for _ in range(5):
                assert manager.get(server.url("/")).status_code == 200

        print([in_child(work) for _ in range(5)])
        stop.set()
        for thread in threads:
            thread.join()
        """
    )
    assert out == ["[0, 0, 0, 0, 0]"]


def test_counts_and_limits_of_the_child_are_its_own() -> None:
    out = run(
        """
        manager = ConnectionManager(rate_limit_requests=3, rate_limit_period=600)
        manager.get(server.url("/"))

        def work():
            manager.get(server.url("/"))
            manager.get(server.url("/"))
            try:
                manager.get(server.url("/"))
            except Exception as exc:
                print(type(exc).__name__)

        print(in_child(work))
        print(manager.get(server.url("/")).status_code)
        """
    )
    assert out == ["RequestsRateLimitExceeded", "0", "200"]


def test_a_deadline_works_in_the_child() -> None:
    out = run(
        """
        from requests_connection_manager import DeadlineExceeded
        from requests_connection_manager.testing import drip
        server.route("/drip", drip("body", 0.02, size=2000))
        manager = ConnectionManager()

        def strikes():
            try:
                manager.get(server.url("/drip"), total_timeout=0.2)
            except DeadlineExceeded:
                print("struck")

        strikes()
        print(in_child(strikes))
        """
    )
    assert out == ["struck", "struck", "0"]


def test_settings_of_a_connector_can_be_changed_in_a_child_of_any_moment() -> None:
    out = run(
        """
        from requests_connection_manager import connector
        one = connector.APIConnector()
        locked, leave = threading.Event(), threading.Event()

        def hold():
            with connector._changing:
                locked.set()
                leave.wait(20)

        threading.Thread(target=hold, daemon=True).start()
        locked.wait(20)

        def work():
            import signal
            signal.alarm(10)
            one.max_retries = 3
            one.status_forcelist.append(418)
            print("child", one.max_retries, one.status_forcelist[-1])

        print(in_child(work))
        leave.set()
        """
    )
    assert out == ["child 3 418", "0"]
