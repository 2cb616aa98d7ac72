"""What a hostile server, a careless caller or an unlucky thread might try with a REST client."""

from __future__ import annotations

import contextvars
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading

import httpcore
import httpx
import pytest
from rest_drivers import Servers

from requests_connection_manager import HTTPError, MaxRetriesExceeded, ValidationError
from requests_connection_manager.connections.sync_network import TimedBackend, current_deadline
from requests_connection_manager.connections.wire import Wire, current_wire
from requests_connection_manager.httpx_client import PipelineClient
from requests_connection_manager.rest import Client
from requests_connection_manager.testing import VirtualClock

BASE = "https://api.test/v1"
SECRET = "zq7-plain-value"

EVERYTHING = {
    "bearer_token": SECRET,
    "api_key": SECRET,
    "headers": {"X-Secret-Token": SECRET, "Cookie": f"one={SECRET}"},
    "cookies": {"two": SECRET},
    "params": {"code": SECRET},
}


# -- credentials


def test_another_server_can_not_act_at_home_in_the_users_name(rest):
    back = httpx.Response(307, headers={"Location": "https://api.test/v1/admin"})
    servers = Servers(back, httpx.Response(200))
    client = rest.client(BASE, transport=servers.transport, **EVERYTHING)
    client.post("https://evil.test/", json={"delete": "all"})
    assert servers.urls == ["https://evil.test/", "https://api.test/v1/admin"]
    assert SECRET not in servers.sent_to("api.test")
    assert SECRET not in servers.sent_to("evil.test")


def test_nor_where_its_redirect_is_followed_by_hand(rest):
    back = httpx.Response(302, headers={"Location": "https://api.test/v1/admin"})
    servers = Servers(back, httpx.Response(200))
    client = rest.client(BASE, transport=servers.transport, auth=("user", SECRET), **EVERYTHING)
    response = client.get("https://evil.test/", follow_redirects=False)
    client.send(response.next_request)
    assert servers.urls[-1] == "https://api.test/v1/admin"
    assert SECRET not in servers.sent_to("api.test")


def test_a_server_keeps_the_cookies_that_it_set_itself(rest):
    back = httpx.Response(302, headers={"Location": "https://api.test/v1/x"})
    welcome = httpx.Response(200, headers={"Set-Cookie": "visit=1"})
    servers = Servers(welcome, back, httpx.Response(200))
    client = rest.client(BASE, transport=servers.transport, cookies={"two": SECRET})
    client.get("/x")
    client.get("https://other.test/")
    assert servers.last.headers["Cookie"] == "visit=1"


def test_a_hook_that_sends_a_request_elsewhere_takes_no_secret_along(rest, servers):
    client = rest.client(BASE, transport=servers.transport, **EVERYTHING)

    def elsewhere(context):
        context.url = "https://mirror.test/x"
        context.kwargs["headers"]["X-Session-Token"] = "of the hook"

    client.client.register_pre_request_hook(elsewhere)
    client.send(client.client.build_request("GET", "/x"))
    assert SECRET not in servers.sent_to("mirror.test")
    assert servers.last.headers["Host"] == "mirror.test"
    assert servers.last.headers["X-Session-Token"] == "of the hook"


def test_a_hook_may_name_another_host_than_that_of_the_url(rest, servers):
    client = rest.client(BASE, transport=servers.transport)

    def elsewhere(context):
        context.url = "https://mirror.test/x"
        context.kwargs["headers"]["Host"] = "virtual.test"

    client.client.register_pre_request_hook(elsewhere)
    client.send(client.client.build_request("GET", "/x"))
    assert servers.last.headers.get_list("Host") == ["virtual.test"]


def test_a_request_is_sent_without_credentials_on_demand(rest, servers):
    client = rest.client(
        f"https://user:{SECRET}@api.test/", transport=servers.transport, api_key=SECRET
    )
    client.send(client.client.build_request("GET", "/x"), auth=None)
    assert SECRET not in servers.sent_to("api.test")
    assert "Authorization" not in servers.last.headers


# -- messages


def test_a_slow_calls_key_is_not_shown_however_many_others_there_are():
    def answer(request):
        if request.headers["X-API-Key"] == SECRET:
            for number in range(20):
                client.get("/x", api_key=f"other-{number}")
            return httpx.Response(400, text=f"bad key {SECRET}")
        return httpx.Response(200)

    client = Client(BASE, transport=httpx.MockTransport(answer))
    with pytest.raises(HTTPError) as caught:
        client.get("/x", api_key=SECRET)
    assert str(caught.value).endswith("bad key [REDACTED]")


@pytest.mark.parametrize(
    "given",
    [
        {"auth": ("user", SECRET)},
        {"headers": {"Authorization": f"Token {SECRET}"}},
        {"headers": {"X-Secret-Token": SECRET}},
        {"api_key": SECRET},
        {"bearer_token": SECRET},
    ],
)
def test_what_the_server_echoes_of_a_clients_secrets_is_not_shown(rest, given):
    servers = Servers(httpx.Response(400, text=f"who is {SECRET}?"))
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(HTTPError, match="who is"):
        client.get("/x?page=1")
    for one in (
        client.with_options(**given),
        rest.client(BASE, transport=servers.transport, **given),
    ):
        for sibling in (one, one.with_options(max_retries=1)):
            with pytest.raises(HTTPError) as caught:
                sibling.get("/x")
            assert str(caught.value).endswith("who is [REDACTED]?")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text=f"you, {SECRET}", headers={"Content-Type": "application/json"}),
        httpx.Response(200, json=f"you, {SECRET}"),
        httpx.Response(200, json={SECRET: 1}),
    ],
)
def test_nor_what_it_echoes_in_an_answer_of_another_form(rest, answer):
    client = rest.client(BASE, transport=Servers(answer).transport, api_key=SECRET)
    with pytest.raises(ValidationError) as caught:
        client.get("/x", response_key="items")
    assert "[REDACTED]" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\r\nX-Evil: 1", "a\0b"])
def test_a_header_that_can_not_be_sent_is_refused_without_its_value(rest, servers, value):
    client = rest.client(BASE, transport=servers.transport)
    headers = {"X-Fine": "a\tb c", "X-Secret": value}
    for attempt in (
        lambda: rest.client(BASE, headers=headers),
        lambda: rest.client(BASE, user_agent=value.lstrip() + "\n"),
        lambda: client.with_options(headers=headers),
        lambda: client.get("/x", headers=headers),
    ):
        with pytest.raises(ValueError, match="headers: the value of ") as caught:
            attempt()
        assert SECRET not in str(caught.value)
    assert not servers.requests


# -- what callers get wrong, or rightly expect


@pytest.mark.parametrize("url", [None, b"/x", 7, ["/x"]])
def test_what_is_no_url_is_not_taken_for_a_path(rest, servers, url):
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(TypeError, match=r"url must be a str or an httpx\.URL, not "):
        client.get(url)
    assert not servers.requests


def test_the_timeouts_can_only_be_read(rest, servers):
    client = rest.client(BASE, transport=servers.transport, timeout=5)
    client.client.timeout.read = 99
    assert client.client.timeout == httpx.Timeout(5)
    client.get("/x")
    assert servers.last.extensions["timeout"]["read"] == 5


def test_an_endpoint_without_errors_has_none_after_the_last_retry_either(rest, clock):
    servers = Servers(httpx.Response(503))
    quiet = {"api.test/v1/quiet": {"raise_for_status": False, "max_retries": 1}}
    client = rest.client(BASE, transport=servers.transport, clock=clock, endpoint_configs=quiet)
    assert client.get("/quiet").status_code == 503
    assert len(servers.requests) == 2


# -- threads, processes, deadlines


def test_a_call_within_another_has_its_own_time():
    seen = []

    def inner_answer(request):
        seen.append(current_deadline.get())
        return httpx.Response(200)

    def outer_answer(request):
        seen.append(current_deadline.get())
        inner.get("/")
        seen.append(current_deadline.get())
        return httpx.Response(200)

    inner = Client("https://inner.test", transport=httpx.MockTransport(inner_answer))
    outer = Client("https://outer.test", transport=httpx.MockTransport(outer_answer))
    outer.get("/", total_timeout=60)
    before, within, after = seen
    assert before is after is not None
    assert within is None


def test_an_interrupted_batch_ends_a_tls_handshake():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stream = TimedBackend(httpcore.SyncBackend()).connect_tcp(*silent.getsockname())
        wire, done = Wire(), threading.Event()

        def interrupt():
            while not (wire.abort() or done.wait(0.01)):
                pass

        thread = threading.Thread(target=interrupt)
        thread.start()

        def shake_hands():
            current_wire.set(wire)
            stream.start_tls(ssl.create_default_context(), "localhost", timeout=20)

        try:
            # A time-out would be another error.
            with pytest.raises(httpcore.ConnectError):
                contextvars.copy_context().run(shake_hands)
        finally:
            done.set()
            thread.join()
            stream.close()


def test_two_threads_that_change_the_verification_do_not_lose_a_change():
    built, entered, go_on = [], threading.Event(), threading.Event()

    class Watched(PipelineClient):
        def _tls_context(self, trust_env):
            context = super()._tls_context(trust_env)
            if threading.current_thread().name == "first":
                entered.set()
                go_on.wait(20)
            return context

        def _remembered(self, build, kwargs, transport=None):
            def watched(**options):
                built.append(options["verify"])
                return build(**options)

            return super()._remembered(watched, kwargs, transport)

    with Watched() as client:
        first = threading.Thread(target=client.set_ssl_verification, args=(False,), name="first")
        first.start()
        entered.wait(20)
        second = threading.Thread(target=client.set_ssl_verification, args=(True,))
        second.start()
        second.join(0.2)  # it has to wait for the first
        go_on.set()
        first.join()
        second.join()
    assert built[-1] is True


FORK = """
    import os, sys, threading, warnings
    warnings.simplefilter("error")
    # CPython 3.12 and later warn of threads at a fork, which is what is tested.
    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
    from requests_connection_manager.rest import Client
    from requests_connection_manager.testing import FaultServer, reply

    server = FaultServer().start()
    server.route("/", lambda received: reply(200, body=str(received.connection)))
    client = Client(server.origin)
    of_parent = client.get("/").text
    assert client.get("/").text == of_parent
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        seen, together = [], threading.Barrier(8)

        def work():
            together.wait()
            seen.append(client.get("/").text)

        threads = [threading.Thread(target=work) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        os._exit(0 if len(seen) == 8 and of_parent not in seen else 1)
    _, status = os.waitpid(child, 0)
    client.close()
    server.close()
    print("as it should be" if status == 0 else "the connection of the parent was used")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_thread_of_a_forked_child_uses_a_connection_of_the_parent():
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK)], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.strip() == "as it should be", ran.stderr


@pytest.mark.parametrize("of_client", [True, False])
@pytest.mark.parametrize("of_call", [True, False])
def test_a_calls_own_wish_for_errors_goes_for_the_last_retry_too(rest, of_client, of_call):
    servers = Servers(httpx.Response(503), httpx.Response(503))
    options = {"max_retries": 1, "clock": VirtualClock(), "raise_for_status": of_client}
    client = rest.client(BASE, transport=servers.transport, **options)
    if of_call:
        with pytest.raises(MaxRetriesExceeded):
            client.get("/busy", raise_for_status=True)
    else:
        assert client.get("/busy", raise_for_status=False).status_code == 503


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bearer_token": "t", "basic_auth": ("u", "p")}, "bearer_token and basic_auth"),
        ({"bearer_token": "t", "headers": {"authorization": "x"}}, "bearer_token and headers"),
        ({"basic_auth": ("u", "p"), "auth": ("u", "p")}, "basic_auth and auth"),
    ],
    ids=["two of ours", "a header", "an auth object"],
)
def test_a_call_says_once_who_is_calling(rest, given, named):
    servers = Servers(httpx.Response(200))
    client = rest.client(BASE, transport=servers.transport)
    with pytest.raises(ValueError, match=f"{named} both set the Authorization header"):
        client.get("/", **given)
    assert servers.urls == []
    client.get("/", auth=None, bearer_token="t")
    assert servers.last.headers["Authorization"] == "Bearer t"


def test_who_sends_no_credentials_sends_none_of_an_endpoint_either(rest):
    servers = Servers(httpx.Response(200), httpx.Response(200))
    own = {"headers": {"X-Api-Key": SECRET, "X-Plain": "1"}}
    client = rest.client(BASE, transport=servers.transport, endpoint_configs={"api.test/v1": own})
    client.get("/me")
    assert servers.last.headers["X-Api-Key"] == SECRET
    client.get("/me", auth=None)
    assert "X-Api-Key" not in servers.last.headers
    assert servers.last.headers["X-Plain"] == "1"
