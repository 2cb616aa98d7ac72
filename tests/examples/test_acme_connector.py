"""The tests of the connector in ``examples/acme``: a model for those of a connector of yours.

A real server on a loopback port stands in for the vendor and counts what it is sent; on a virtual
clock, waits take no time and are exact.
"""

from __future__ import annotations

import doctest
import hashlib
import importlib
import io
import logging
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from requests_connection_manager import (
    AuthenticationError,
    ConnectionManager,
    HTTPError,
    MaxRetriesExceeded,
    ValidationError,
)
from requests_connection_manager.exceptions import TooManyRequests
from requests_connection_manager.testing import (
    FaultServer,
    Received,
    Reply,
    VirtualClock,
    redirect,
    reply,
    truncate,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from acme import AcmeConnector, Order, Status, User  # noqa: E402  # found through the path above
from acme.api import AcmeApi  # noqa: E402

SECRETS = (AcmeApi.client_secret, "demo-token", "ZGVtby1jbGllbnQ6")  # the last one: Basic, base64


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def api(clock: VirtualClock) -> Iterator[AcmeApi]:
    with AcmeApi(now=clock.monotonic) as running:
        yield running
        assert running.server.errors == ()


@pytest.fixture
def connect(api: AcmeApi, clock: VirtualClock) -> Iterator[Callable[..., AcmeConnector]]:
    """Make connectors, and close them at the end."""
    made: List[AcmeConnector] = []

    def make(secret: str = api.client_secret, **settings: Any) -> AcmeConnector:
        if "session" not in settings:
            settings.setdefault("clock", clock)
        made.append(AcmeConnector(api.client_id, secret, base_url=api.base_url, **settings))
        return made[-1]

    yield make
    for connector in made:
        connector.close()


@pytest.fixture
def acme(connect: Callable[..., AcmeConnector]) -> AcmeConnector:
    return connect()


@pytest.fixture
def foreign() -> Iterator[FaultServer]:
    """Another origin, which must never see a token."""
    with FaultServer() as running:
        yield running


def arrived(server: FaultServer, path: str) -> List[Received]:
    return [received for received in server.requests if received.path == path]


# -- the token


def test_a_token_is_fetched_once(acme: AcmeConnector, api: AcmeApi) -> None:
    assert [acme.user(number).name for number in (1, 2)] == ["Ada", "Grace"]
    first, *others = api.server.requests
    assert (first.method, first.path, first.text) == (
        "POST",
        "/oauth/token",
        "grant_type=client_credentials",
    )
    assert first.headers["authorization"].startswith("Basic ")
    assert [one.headers["authorization"] for one in others] == ["Bearer demo-token-1"] * 2


def test_no_request_is_made_before_it_is_needed(acme: AcmeConnector, api: AcmeApi) -> None:
    assert api.server.count() == 0


def test_a_token_is_renewed_before_it_expires(
    acme: AcmeConnector, api: AcmeApi, clock: VirtualClock
) -> None:
    acme.user(1)
    clock.advance(3600 * 0.9 - 1)
    acme.user(1)
    assert api.server.count("/oauth/token") == 1
    clock.advance(1)
    acme.user(1)
    assert api.server.count("/oauth/token") == 2
    assert api.server.count("/v1/users/1") == 3  # none of them was refused


def test_a_revoked_token_is_renewed_once(acme: AcmeConnector, api: AcmeApi) -> None:
    acme.user(1)
    api.revoke_tokens()
    assert acme.user(1).name == "Ada"
    assert api.server.count("/oauth/token") == 2
    used = [one.headers["authorization"] for one in arrived(api.server, "/v1/users/1")]
    assert used == ["Bearer demo-token-1", "Bearer demo-token-1", "Bearer demo-token-2"]


def test_a_second_401_is_the_answer(acme: AcmeConnector, api: AcmeApi) -> None:
    api.server.route("/v1/users/1", reply(401))
    with pytest.raises(AuthenticationError) as caught:
        acme.user(1)
    assert caught.value.status_code == 401
    assert api.server.count("/v1/users/1") == 2
    assert api.server.count("/oauth/token") == 2


def test_wrong_credentials_are_said_at_once(
    connect: Callable[..., AcmeConnector], api: AcmeApi, clock: VirtualClock
) -> None:
    with pytest.raises(AuthenticationError, match="/oauth/token"):
        connect(secret="wrong").user(1)
    assert api.server.count() == 1
    assert clock.sleeps == ()


def test_fetching_a_token_is_retried(
    acme: AcmeConnector, api: AcmeApi, clock: VirtualClock
) -> None:
    api.server.route("/oauth/token", reply(503), truncate(), api.answer)
    assert acme.user(1).name == "Ada"
    assert clock.sleeps == (0.5, 1.0)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (reply(200, json={"access_token": "demo-token-x"}), "expires_in is missing"),
        (reply(200, body="<html>"), "not JSON, but text/plain"),
        (reply(200, json=["demo-token-x"]), "must be an object, not list"),
    ],
)
def test_a_token_endpoint_that_answers_nonsense(
    acme: AcmeConnector, api: AcmeApi, answer: Reply, problem: str
) -> None:
    api.server.route("/oauth/token", answer)
    with pytest.raises(ValidationError, match=problem) as caught:
        acme.user(1)
    assert not any(secret in f"{caught.value!r}" for secret in SECRETS)
    assert api.server.count() == 1


def together(count: int, work: Callable[[int], Any]) -> List[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_ten_threads_fetch_one_token(acme: AcmeConnector, api: AcmeApi) -> None:
    api.server.route("/oauth/token", lambda received: api.answer(received).delayed(0.05))
    assert [one.id for one in together(10, lambda _: acme.user(1))] == [1] * 10
    assert api.server.count("/oauth/token") == 1


def test_ten_threads_renew_one_token(acme: AcmeConnector, api: AcmeApi) -> None:
    acme.user(1)
    api.revoke_tokens()
    assert [one.id for one in together(10, lambda _: acme.user(1))] == [1] * 10
    assert api.server.count("/oauth/token") == 2


def test_no_secret_is_shown(
    acme: AcmeConnector, api: AcmeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "requests_connection_manager")
    api.server.route("/v1/users/1", reply(401))
    with pytest.raises(AuthenticationError) as caught:
        acme.user(1)
    assert "/oauth/token" in caplog.text
    shown = [caplog.text, repr(acme), repr(acme.session), repr(acme.session.auth)]
    shown += [repr(caught.value), str(acme.session.get_stats())]
    for secret in SECRETS:
        assert not [text for text in shown if secret in text]
        assert secret.encode() not in pickle.dumps(caught.value)


# -- other origins


def test_another_origin_gets_no_token(acme: AcmeConnector, foreign: FaultServer) -> None:
    foreign.route("/somewhere", reply(200))
    acme.get(foreign.url("/somewhere"))
    assert "authorization" not in foreign.requests[0].headers


def test_a_redirect_takes_no_token_along(
    acme: AcmeConnector, api: AcmeApi, foreign: FaultServer
) -> None:
    api.server.route("/v1/users/1", redirect(foreign.url("/users/1")))
    foreign.route("/users/1", reply(401))
    with pytest.raises(AuthenticationError):
        acme.user(1)
    assert foreign.count() == 1  # its 401 is not answered with a token
    assert "authorization" not in foreign.requests[0].headers
    assert api.server.count("/oauth/token") == 1


def test_a_redirect_within_the_api_keeps_the_token(acme: AcmeConnector, api: AcmeApi) -> None:
    acme.user(1)
    api.revoke_tokens()
    api.server.route("/v1/users/77", redirect(api.server.url("/v1/users/2")))
    assert acme.user(77).name == "Grace"
    assert api.server.count("/oauth/token") == 2


@pytest.mark.parametrize("link", ["{foreign}/v1/uploads", "//{host}/v1/uploads", "http://[::1/x"])
def test_a_link_to_another_origin_is_not_followed(
    acme: AcmeConnector, api: AcmeApi, foreign: FaultServer, link: str
) -> None:
    link = link.format(foreign=foreign.origin, host=foreign.origin.partition("//")[2])
    headers = {"Link": f'<{link}>; rel="next"'}
    api.server.route("/v1/uploads", reply(200, json={"uploads": []}, headers=headers))
    with pytest.raises(ValidationError, match="another origin"):
        list(acme.uploads())
    assert foreign.count() == 0


# -- pages


def test_users_by_page_number(acme: AcmeConnector, api: AcmeApi) -> None:
    users = list(acme.users(per_page=2))
    assert [user.name for user in users] == ["Ada", "Grace", "Edsger", "Barbara", "Donald"]
    queries = [one.query for one in arrived(api.server, "/v1/users")]
    assert queries == [f"page={number}&per_page=2" for number in (1, 2, 3)]


def test_orders_by_cursor(acme: AcmeConnector, api: AcmeApi) -> None:
    orders = list(acme.orders(limit=2))
    assert [order.id for order in orders] == ["o-1", "o-2", "o-3", "o-4", "o-5"]
    queries = [one.query for one in arrived(api.server, "/v1/orders")]
    assert queries == ["limit=2", "limit=2&cursor=after+2", "limit=2&cursor=after+4"]


def test_uploads_by_link(acme: AcmeConnector, api: AcmeApi) -> None:
    assert [upload.id for upload in acme.uploads(per_page=2)] == ["f-1", "f-2", "f-3"]
    queries = [one.query for one in arrived(api.server, "/v1/uploads")]
    assert queries == ["per_page=2", "begin=2&per_page=2"]


def test_a_link_may_be_relative(acme: AcmeConnector, api: AcmeApi) -> None:
    headers = {"Link": '<?begin=1>; rel="next"'}
    api.server.route("/v1/uploads", reply(200, json={"uploads": []}, headers=headers), api.answer)
    assert [upload.id for upload in acme.uploads()] == ["f-2", "f-3"]


def test_pages_are_fetched_when_they_are_needed(acme: AcmeConnector, api: AcmeApi) -> None:
    users = acme.users(per_page=2)
    assert api.server.count() == 0
    assert [next(users).id, next(users).id] == [1, 2]
    assert api.server.count("/v1/users") == 1
    assert next(users).id == 3
    assert api.server.count("/v1/users") == 2


def test_nothing_is_no_page_at_all(acme: AcmeConnector, api: AcmeApi) -> None:
    api.users.clear()
    api.orders.clear()
    api.uploads.clear()
    assert [*acme.users(), *acme.orders(), *acme.uploads()] == []


def test_a_failing_page_is_retried(acme: AcmeConnector, api: AcmeApi, clock: VirtualClock) -> None:
    api.server.route("/v1/users", api.answer, reply(503), api.answer)
    assert len(list(acme.users(per_page=2))) == 5
    assert api.server.count("/v1/users") == 4
    assert clock.sleeps == (0.5,)


@pytest.mark.parametrize(
    ("kind", "page", "requests"),
    [
        # The page that was asked for is never the one that comes.
        ("users", {"users": [], "page": 1, "pages": 3}, 2),
        ("orders", {"orders": [], "next_cursor": "same"}, 2),
        ("uploads", {"uploads": []}, 2),
    ],
)
def test_a_server_that_goes_in_circles(
    acme: AcmeConnector, api: AcmeApi, kind: str, page: Dict[str, Any], requests: int
) -> None:
    headers = {"Link": f'</v1/{kind}?begin=2>; rel="next"'}
    api.server.route(f"/v1/{kind}", reply(200, json=page, headers=headers))
    with pytest.raises(ValidationError, match=f"{kind} don't end: one comes again after 2 pages"):
        list(getattr(acme, kind)())
    assert api.server.count(f"/v1/{kind}") == requests


def test_a_server_that_never_ends(acme: AcmeConnector, api: AcmeApi) -> None:
    def endless(received: Received) -> Reply:
        count = api.server.count("/v1/orders")
        return reply(200, json={"orders": [], "next_cursor": f"after {count}"})

    api.server.route("/v1/orders", endless)
    acme.max_pages = 7
    with pytest.raises(ValidationError, match="orders don't end: too many after 7 pages"):
        list(acme.orders())
    assert api.server.count("/v1/orders") == 7


# -- typed results


def test_results_have_types(acme: AcmeConnector) -> None:
    assert acme.user(1) == User(id=1, name="Ada", email="ada@acme.example")
    assert acme.order("o-2") == Order(id="o-2", user_id=2, total=Decimal("29.90"))


def test_fields_that_are_new_are_left_out(acme: AcmeConnector, api: AcmeApi) -> None:
    api.users[0]["role"] = "countess"
    assert acme.user(1) == User(id=1, name="Ada", email="ada@acme.example")


@pytest.mark.parametrize(
    ("answer", "problem", "path"),
    [
        (
            reply(200, json={"id": 1, "name": "Ada"}),
            "email is missing; there are id, name",
            "email",
        ),
        (reply(200, json={}), "id is missing; there are no fields", "id"),
        (reply(200, json={"id": "Ada"}), "id must be int, not str", "id"),
        (reply(200, json={"id": True}), "id must be int, not bool", "id"),
        (reply(200, json=["Ada"]), "the answer must be an object, not list", ""),
        (reply(200, body="Ada"), "the answer is not JSON, but text/plain", ""),
        (reply(204), "the answer is not JSON, but without a content type", ""),
    ],
)
def test_an_answer_of_another_form(
    acme: AcmeConnector, api: AcmeApi, answer: Reply, problem: str, path: str
) -> None:
    api.server.route("/v1/users/1", answer)
    with pytest.raises(ValidationError, match=problem) as caught:
        acme.user(1)
    assert caught.value.path == ((path,) if path else ())
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("page", "problem", "path"),
    [
        ({}, "orders is missing", ("orders",)),
        ({"orders": None}, "orders must be a list, not NoneType", ("orders",)),
        ({"orders": [{"id": "o-1"}]}, "orders.0.user_id is missing", ("orders", 0, "user_id")),
        (
            {"orders": [{"id": "o-1", "user_id": 1, "total": "much"}]},
            "orders.0.total can't be read as Decimal",
            ("orders", 0, "total"),
        ),
        ({"orders": []}, "next_cursor is missing", ("next_cursor",)),
    ],
)
def test_a_page_of_another_form(
    acme: AcmeConnector, api: AcmeApi, page: Any, problem: str, path: Tuple[Any, ...]
) -> None:
    api.server.route("/v1/orders", reply(200, json=page))
    with pytest.raises(ValidationError, match=problem) as caught:
        list(acme.orders())
    assert caught.value.path == path


# -- what is sent once only


class Watched(io.BytesIO):
    """A file that knows how much of it was ever read at once."""

    most = 0

    def read(self, size: Any = -1) -> bytes:
        piece = super().read(size)
        self.most = max(self.most, len(piece))
        return piece


CONTENT = bytes(range(256)) * 4096  # 1 MiB


def test_a_file_is_streamed(acme: AcmeConnector, api: AcmeApi) -> None:
    file = Watched(CONTENT)
    upload = acme.upload(file, "numbers & more.bin")
    assert (upload.name, upload.size) == ("numbers & more.bin", len(CONTENT))
    assert upload.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert 0 < file.most < len(CONTENT) / 4
    headers = arrived(api.server, "/v1/uploads")[0].headers
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["content-type"] == "application/octet-stream"


def lost(api: AcmeApi) -> Callable[[Received], Reply]:
    """Do what was asked for, but lose the answer."""

    def answer(received: Received) -> Reply:
        api.answer(received)
        return truncate(status=201)

    return answer


def test_a_retried_upload_begins_where_it_began(
    acme: AcmeConnector, api: AcmeApi, clock: VirtualClock
) -> None:
    api.server.route("/v1/uploads", reply(503), lost(api), api.answer)
    file = io.BytesIO(CONTENT)
    file.seek(1000)
    upload = acme.upload(file, "rest.bin")
    assert upload.sha256 == hashlib.sha256(CONTENT[1000:]).hexdigest()
    sent = arrived(api.server, "/v1/uploads")
    assert [one.size for one in sent] == [len(CONTENT) - 1000] * 3
    assert len({one.headers["idempotency-key"] for one in sent}) == 1
    assert len(api.uploads) == 4  # three were there
    assert clock.sleeps == (0.5, 1.0)


def test_an_upload_survives_a_revoked_token(
    acme: AcmeConnector, api: AcmeApi, clock: VirtualClock
) -> None:
    acme.user(1)
    api.revoke_tokens()
    upload = acme.upload(io.BytesIO(CONTENT), "numbers.bin")
    assert upload.sha256 == hashlib.sha256(CONTENT).hexdigest()
    sent = arrived(api.server, "/v1/uploads")
    assert [one.size for one in sent] == [len(CONTENT)] * 2
    assert len({one.headers["idempotency-key"] for one in sent}) == 1
    assert clock.sleeps == ()  # a body that was not rewound would have been a failure, and retried


def test_each_upload_has_a_key_of_its_own(acme: AcmeConnector, api: AcmeApi) -> None:
    for _ in range(2):
        acme.upload(io.BytesIO(b"a;b\n"), "same.csv")
    keys = [one.headers["idempotency-key"] for one in arrived(api.server, "/v1/uploads")]
    assert len(set(keys)) == 2
    assert len(api.uploads) == 5


def test_an_order_is_placed_once(acme: AcmeConnector, api: AcmeApi) -> None:
    api.server.route("/v1/orders", lost(api), reply(502), api.answer)
    order = acme.create_order(3, Decimal("12.50"))
    assert order == Order(id="o-6", user_id=3, total=Decimal("12.50"))
    assert len(api.orders) == 6
    assert acme.order("o-6") == order


def test_a_post_without_a_key_is_not_repeated(acme: AcmeConnector, api: AcmeApi) -> None:
    api.server.route("/v1/orders", reply(503), api.answer)
    with pytest.raises(HTTPError) as caught:
        acme.post("orders", json={"user_id": 1, "total": "1.00"})
    assert caught.value.status_code == 503
    assert api.server.count("/v1/orders") == 1


# -- trouble


def test_a_flaky_endpoint(acme: AcmeConnector, api: AcmeApi, clock: VirtualClock) -> None:
    assert acme.status() == Status(healthy=True, version="1.4")
    assert clock.sleeps == (2.0, 2.0)  # as Retry-After says, not the 0.5 and 1 of the backoff
    assert api.server.count("/v1/status") == 3


def test_retries_end(acme: AcmeConnector, api: AcmeApi, clock: VirtualClock) -> None:
    api.server.route("/v1/users/1", reply(502))
    with pytest.raises(MaxRetriesExceeded) as caught:
        acme.user(1)
    assert isinstance(caught.value, HTTPError)
    assert (caught.value.status_code, caught.value.reason) == (502, "max_retries")
    assert clock.sleeps == (0.5, 1.0, 2.0, 4.0)
    assert api.server.count("/v1/users/1") == 5


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, AuthenticationError), (404, HTTPError), (422, HTTPError), (429, TooManyRequests)],
)
def test_errors_by_status(
    connect: Callable[..., AcmeConnector], api: AcmeApi, status: int, error: Any
) -> None:
    headers = {"Retry-After": "7"}
    api.server.route("/v1/users/1", reply(status, body="because", headers=headers))
    with pytest.raises(error) as caught:
        connect(max_retries=0).user(1)
    assert (caught.value.status_code, caught.value.body) == (status, "because")
    assert api.server.count("/v1/users/1") == 1
    if status == 429:
        assert caught.value.retry_after == 7


def test_too_many_requests_are_waited_for(
    acme: AcmeConnector, api: AcmeApi, clock: VirtualClock
) -> None:
    busy = reply(429, headers={"Retry-After": "7"})
    api.server.route("/v1/users/1", busy, api.answer)
    assert acme.user(1).name == "Ada"
    assert clock.sleeps == (7.0,)


def test_the_servers_own_words(acme: AcmeConnector) -> None:
    with pytest.raises(HTTPError) as caught:
        acme.create_order(99, Decimal(1))
    assert caught.value.status_code == 422
    assert "there is no such user" in str(caught.value.body)


# -- copies, and one manager for several


def test_a_connector_pickles(acme: AcmeConnector, api: AcmeApi) -> None:
    acme.max_retries = 1
    acme.user(1)
    pickled = pickle.dumps(acme)
    assert b"demo-token" not in pickled
    with pickle.loads(pickled) as twin:
        assert twin.get_retry_settings() == acme.get_retry_settings()
        assert twin.user(2).name == "Grace"
    assert api.server.count("/oauth/token") == 2


def test_accounts_on_one_manager(
    connect: Callable[..., AcmeConnector], api: AcmeApi, clock: VirtualClock
) -> None:
    with ConnectionManager(clock=clock, max_retries=7) as manager:
        with connect(session=manager) as first, connect(session=manager, max_retries=0) as second:
            assert first.user(1) == second.user(1)
        used = [one.headers["authorization"] for one in arrived(api.server, "/v1/users/1")]
        assert used == ["Bearer demo-token-1", "Bearer demo-token-2"]
        assert api.server.connections == 1
        assert manager.get(api.server.url("/v1/users/1")).status_code == 401


# -- the demo, and the examples in docstrings


@pytest.mark.parametrize("name", ["api", "auth", "models"])
def test_docstrings_tell_the_truth(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"acme.{name}"))
    assert results.attempted
    assert not results.failed


def test_the_demo_runs() -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "acme_demo.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "sent again, stored once: 4000" in done.stdout
    assert not any(secret in done.stdout for secret in SECRETS)
