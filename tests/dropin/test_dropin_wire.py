"""What goes over the wire, and what comes of the answer, is what requests makes of it.

The same call is made on a bare session and on a manager, to the same server, and everything that
can be seen of it is compared: each byte of the request, each attribute of the response.
"""

from __future__ import annotations

import gzip
import http.client
import io
import os
import re
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, List

import pytest
import requests
import requests.adapters
import requests.cookies
import urllib3
from hypothesis import example, given, settings
from hypothesis import strategies as st
from proxies import Proxy
from raw_server import OK, RawServer

from requests_connection_manager import ConnectionManager
from requests_connection_manager.testing import dead_origin

OFF: Dict[str, Any] = {
    "max_retries": 0,
    "rate_limit_requests": None,
    "circuit_breaker_failure_threshold": None,
    "timeout": 20,
}


@pytest.fixture(scope="module")
def wire() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def fresh(wire: RawServer) -> None:
    wire.received.clear()
    wire.answer, wire.hang_up = (OK,), False


def message_picture(message: Any) -> Any:
    if not isinstance(message, http.client.HTTPMessage):
        return message
    payload = message.get_payload()
    return {
        **{name: one for name, one in vars(message).items() if name != "_count"},
        "defects": [repr(one) for one in message.defects],
        "_payload": [message_picture(one) for one in payload]
        if isinstance(payload, list)
        else message._payload,  # type: ignore[attr-defined]
    }


def picture(response: requests.Response) -> Dict[str, Any]:
    """Return everything that can be seen of a response."""
    raw: Any = response.raw
    original: Any = raw._original_response
    own = {
        name: one for name, one in vars(original).items() if name not in ("fp", "headers", "msg")
    }
    own.pop("complete", None)
    return {
        "status": (response.status_code, response.reason, response.ok, response.url),
        "headers": list(response.headers.items()),
        "encoding": response.encoding,
        "content": response.content,
        "consumed": response._content_consumed,
        "cookies": [(one.name, one.value, one.path) for one in response.cookies],
        "history": [picture(one) for one in response.history],
        "elapsed": type(response.elapsed),
        "raw": (raw.status, raw.reason, raw.version, getattr(raw, "version_string", "")),
        "raw headers": list(raw.headers.iteritems()),
        "raw body": (raw.tell(), raw.length_remaining, raw.closed, raw.isclosed(), raw.read()),
        "raw msg": (raw.msg, raw.chunked, raw.connection),
        "original": own,
        "message class": isinstance(original.msg, http.client.HTTPMessage),
        "message": message_picture(original.msg),
        "lines": original.msg.getallmatchingheaders("x-a"),
        "all": [original.msg.get_all(name) for name in original.msg],
        "closed": original.isclosed(),
    }


def outcome(session: requests.Session, method: str, url: str, **kwargs: Any) -> Any:
    try:
        response = session.request(method, url, **kwargs)
        found = picture(response)
    except Exception as exc:
        return type(exc).__name__, str(exc)
    found["session cookies"] = session.cookies.get_dict()
    return found


def both(method: str, url: str, **kwargs: Any) -> List[Any]:
    found = []
    for session in (requests.Session(), ConnectionManager(**OFF)):
        with session:
            found.append(outcome(session, method, url, **kwargs))
    return found


# -- requests


class Generated:
    """A body that can be made twice."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


CALLS: Dict[str, Dict[str, Any]] = {
    "get": {"method": "GET"},
    "head": {"method": "HEAD"},
    "options": {"method": "OPTIONS"},
    "own method": {"method": "purge"},
    "delete": {"method": "DELETE"},
    "post nothing": {"method": "POST"},
    "post json": {"method": "POST", "json": {"text": "x" * 1000, "number": 1}},
    "post json null": {"method": "POST", "json": None},
    "post json list": {"method": "POST", "json": []},
    "put bytes": {"method": "PUT", "data": b"\x00\xff"},
    "put empty bytes": {"method": "PUT", "data": b""},
    "post text": {"method": "POST", "data": "\u00fcml\u00e4ut"},
    "post form": {"method": "POST", "data": {"a": "1 2", "b": ["x", "\u00fc"]}},
    "patch large": {"method": "PATCH", "data": b"x" * 200_000},
    "post file": {"method": "POST", "data": "file"},
    "post chunks": {"method": "POST", "data": Generated(b"one", b"", b"three")},
    "get with body": {"method": "GET", "data": b"body"},
    "bytearray": {"method": "POST", "data": bytearray(b"abc")},
    "headers": {"method": "GET", "headers": {"X-A": "1", "x-b": "\tspaced out ", "X-Empty": ""}},
    "bytes header": {"method": "GET", "headers": {b"X-A": b"one", "X-B": b"\xe9"}},
    "latin header": {"method": "GET", "headers": {"X-A": "caf\u00e9"}},
    "none header": {"method": "GET", "headers": {"Accept": None, "X-A": None}},
    "no user agent": {"method": "GET", "headers": {"User-Agent": None}},
    "no encodings": {"method": "GET", "headers": {"Accept-Encoding": None}},
    "own host": {"method": "GET", "headers": {"Host": "elsewhere.test"}},
    "own length": {"method": "POST", "data": b"abcd", "headers": {"Content-Length": "4"}},
    "skipped agent": {"method": "GET", "headers": {"User-Agent": urllib3.util.SKIP_HEADER}},
    "skipped other": {"method": "GET", "headers": {"X-A": urllib3.util.SKIP_HEADER}},
    "cookies": {"method": "GET", "cookies": {"a": "1", "b": "2"}},
    "params": {"method": "GET", "params": {"q": "a b", "n": [1, 2]}},
    "basic auth": {"method": "GET", "auth": ("user", "p\u00e4ss")},
    "injected header": {"method": "GET", "headers": {"X-A": "1\r\nX-B: 2"}},
    "folded header": {"method": "GET", "headers": {"X-A": "1\r\n 2"}},
    "wrong header": {"method": "GET", "headers": {"X A": "1"}},
    "colon in header": {"method": "GET", "headers": {"X:A": "1"}},
    "wide header": {"method": "GET", "headers": {"X-A": "\u20ac"}},
    "number header": {"method": "GET", "headers": {"X-A": 1}},
    "wrong method": {"method": "G ET"},
}


@pytest.mark.parametrize("name", CALLS)
def test_requests_are_the_same_to_the_byte(wire: RawServer, name: str) -> None:
    sent = []
    outcomes = []
    for session in (requests.Session(), ConnectionManager(**OFF)):
        kwargs = dict(CALLS[name])
        if kwargs.get("data") == "file":
            kwargs["data"] = io.BytesIO(b"of a file" * 1000)
        method = kwargs.pop("method")
        wire.received.clear()
        with session:
            for _ in range(2):  # on a new connection, and on one that was kept
                outcomes.append(outcome(session, method, f"{wire.origin}/a/b", **kwargs))
                if hasattr(kwargs.get("data"), "seek"):
                    kwargs["data"].seek(0)
            sent.append(list(wire.received))
    assert sent[0] == sent[1]
    assert outcomes[:2] == outcomes[2:]


@pytest.mark.parametrize("name", ["X:A", "X\r\nA", " X", "X A", "", "X-\u00e4"], ids=ascii)
@pytest.mark.parametrize("value", ["1", "1\r\nX-B: 2", "1\n"], ids=ascii)
def test_headers_that_nobody_checked_before(wire: RawServer, name: str, value: str) -> None:
    found = []
    for session in (requests.Session(), ConnectionManager(**OFF)):
        with session:
            request = session.prepare_request(requests.Request("GET", wire.origin + "/"))
            request.headers[name] = value
            try:
                found.append(session.send(request).status_code)
            except Exception as exc:
                found.append((type(exc).__name__, str(exc)))
    assert found[0] == found[1]
    assert len(set(wire.received)) <= 1


PATHS = [
    "",
    "/",
    "?q",
    "/?",
    "/?q=1",
    "/a/b.json?x=1&y=a-b_c~d",
    "/a//b",
    "//a",
    "/./a",
    "/a/../b",
    "/a/..",
    "/.hidden",
    "/a b",
    "/a%20b%7e%zz",
    "/a;p=1",
    "/\u00fc?\u00fc=\u00e9",
    "/a#part",
    "/a?#part",
    "/a+b",
    "/a@b:c",
    "/*",
    "/a\\b",
]


@pytest.mark.parametrize("path", PATHS)
def test_targets_are_the_same(wire: RawServer, path: str) -> None:
    found = both("GET", wire.origin + path)
    assert found[0] == found[1]
    assert wire.received[0] == wire.received[1]


parts = st.sampled_from(
    ["/", "a", "B9", ".", "..", "~", "-", "_", "?", "=", "&", "%41", "#", "@", ":"]
)
origins = st.sampled_from(
    [
        *("http://h", "HTTP://h", "http://H.test", "https://a.test:443", "http://a.test:080"),
        *("http://u:p@h", "http://[::1]:80", "http://b\u00fccher.test", "http://a b", "http://h:x"),
        "https://",
    ]
)


@given(origin=origins, pieces=st.lists(parts, max_size=7))
@settings(max_examples=400, deadline=None)
def test_prepared_urls_are_the_same(origin: str, pieces: List[str]) -> None:
    request = requests.Request("GET", origin + "".join(pieces))
    found = []
    for session in (requests.Session(), ConnectionManager()):
        try:
            found.append(session.prepare_request(request).url)
        except requests.RequestException as exc:
            found.append((type(exc), str(exc)))
    assert found[0] == found[1]


# -- answers


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "".join(line + "\r\n" for line in (status, *lines, "")).encode("latin-1")


ABC = "Content-Length: 3"
CHUNKED = "Transfer-Encoding: chunked"
ZIPPED = gzip.compress(b"x" * 99)

ANSWERS: Dict[str, Any] = {
    "length": [head(ABC, "X-A: 1", "x-a:2", "X-A:\t 3 "), b"abc"],
    "no length": [head("X-A: 1"), b"until the end"],
    "length in one piece": [head(ABC) + b"abc"],
    "too long": [head(ABC) + b"abcdef"],
    "too short": [head("Content-Length: 9") + b"abc"],
    "zero": [head("Content-Length: 0")],
    "204": [head(status="HTTP/1.1 204 No Content")],
    "204 with length": [head(ABC, status="HTTP/1.1 204 No Content")],
    "304": [head("ETag: x", status="HTTP/1.1 304 Not Modified")],
    "404": [head(ABC, status="HTTP/1.1 404 Not Found") + b"abc"],
    "no reason": [head(ABC, status="HTTP/1.1 200") + b"abc"],
    "empty reason": [head(ABC, status="HTTP/1.1 200 ") + b"abc"],
    "spaces in reason": [head("Content-Length: 0", status="HTTP/1.1 200  Very   Well ")],
    "latin reason": [head("Content-Length: 0", status="HTTP/1.1 200 Tr\u00e8s bien")],
    "HTTP/1.0": [head("X-A: 1", status="HTTP/1.0 200 OK"), b"abc"],
    "HTTP/1.0 kept": [head(ABC, "Connection: keep-alive", status="HTTP/1.0 200 OK") + b"abc"],
    "HTTP/0.9": [head("X-A: 1", status="HTTP/0.9 200 OK"), b"abc"],
    "HTTP/1.2": [head("Content-Length: 0", status="HTTP/1.2 200 OK")],
    "HTTP/2": [head("Content-Length: 0", status="HTTP/2 200 OK")],
    "not HTTP": [b"SSH-2.0-OpenSSH\r\n\r\n"],
    "status of two": [head("Content-Length: 0", status="HTTP/1.1 20 OK")],
    "status of four": [head("Content-Length: 0", status="HTTP/1.1 2000 OK")],
    "status 999": [head("Content-Length: 0", status="HTTP/1.1 999 Odd")],
    "continue first": [head(status="HTTP/1.1 100 Continue"), head(ABC) + b"abc"],
    "continue at once": [head("X-A: 0", status="HTTP/1.1 100 Continue") + head(ABC) + b"abc"],
    "early hints": [head(status="HTTP/1.1 103 Early Hints") + head(ABC) + b"abc"],
    "chunked": [head(CHUNKED), b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"],
    "chunked at once": [head("Transfer-Encoding: Chunked") + b"3\r\nabc\r\n0\r\n\r\n"],
    "trailers": [head(CHUNKED) + b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"],
    "chunked and length": [head(CHUNKED, ABC) + b"3\r\nabc\r\n0\r\n\r\n"],
    "two codings": [head("Transfer-Encoding: gzip, chunked") + b"3\r\nabc\r\n0\r\n\r\n"],
    "two codings and length": [
        head("Transfer-Encoding: gzip, chunked", "Content-Length: 13") + b"3\r\nabc\r\n0\r\n\r\n"
    ],
    "two lines of codings": [
        head("Transfer-Encoding: identity", CHUNKED, "Content-Length: 13")
        + b"3\r\nabc\r\n0\r\n\r\n"
    ],
    "broken chunk": [head(CHUNKED) + b"zz\r\nabc\r\n0\r\n\r\n"],
    "gzip": [head("Content-Encoding: gzip", f"Content-Length: {len(ZIPPED)}") + ZIPPED],
    "broken gzip": [head("Content-Encoding: gzip", ABC) + b"abc"],
    "identity": [head("Content-Encoding: identity", ABC) + b"abc"],
    "garbage length": [head("Content-Length: three") + b"abc"],
    "negative length": [head("Content-Length: -3") + b"abc"],
    "underscored length": [head("Content-Length: 1_0") + b"abcdefghij"],
    "two lengths": [head(ABC, "Content-Length: 4") + b"abcd"],
    "same lengths": [head("Content-Length: 3, 3") + b"abc"],
    "cookies": [head("Set-Cookie: a=1; Path=/", "set-cookie: b=2", ABC) + b"abc"],
    "cookies of old": [head('Set-Cookie2: a="1"; Version="1"', ABC) + b"abc"],
    "folded": [head("X-A: 1", "  folded", ABC) + b"abc"],
    "folded first": [head("  folded", ABC) + b"abc"],
    "no colon": [head("X-A: 1", "nonsense", ABC) + b"abc"],
    "no name": [head(": 1", ABC) + b"abc"],
    "space before colon": [head("X-A : 1", ABC) + b"abc"],
    "unix from": [head("From somebody", ABC) + b"abc"],
    "latin": [head("X-A: caf\u00e9", ABC) + b"abc"],
    "separators": [head("X-A: a\x0bb\x0c\x1c\x85c", ABC) + b"abc"],
    "nul": [head("X-A: a\x00b", ABC) + b"abc"],
    "bare newlines": [b"HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 3\n\nabc"],
    "bare return": [head("X-A: 1\rX-B: 2", ABC) + b"abc"],
    "multipart": [head("Content-Type: multipart/mixed; boundary=b", ABC) + b"abc"],
    "message": [head("Content-Type: MESSAGE/rfc822", ABC) + b"abc"],
    "delivery": [head("Content-Type: message/delivery-status", ABC) + b"abc"],
    "charset": [head("Content-Type: text/plain; charset=latin-1", "Content-Length: 1") + b"\xe9"],
    "close": [head("Connection: close", ABC) + b"abc"],
    "redirect": [
        head("Location: ftp://elsewhere.test/", "Content-Length: 0", status="HTTP/1.1 302 Found")
    ],
    "many headers": [head(*[f"X-{n}: {n}" for n in range(98)], ABC) + b"abc"],
    "most headers": [head(*[f"X-{n}: {n}" for n in range(99)], ABC) + b"abc"],
    "large head": [head("X-A: " + "a" * 9000, ABC) + b"abc"],
    "too large head": [head("X-A: " + "a" * 70_000, ABC) + b"abc"],
    "half a head": [b"HTTP/1.1 200 OK\r\nX-A: 1"],
    "in pieces": [
        b"HTTP/1.",
        b"1 200 OK\r",
        b"\nX-A: 1\r\nContent-Le",
        b"ngth: 3\r\n\r",
        b"\na",
        b"bc",
    ],
    "nothing": [b""],
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("name", ANSWERS)
def test_answers_become_the_same_response(wire: RawServer, name: str, method: str) -> None:
    wire.answer, wire.hang_up = ANSWERS[name], True
    kwargs: Dict[str, Any] = {"allow_redirects": False}
    found = both(method, f"{wire.origin}/a", **kwargs)
    assert found[0] == found[1]


READERS: Dict[str, Callable[[requests.Response], Any]] = {
    "iter_content": lambda response: list(response.iter_content(2)),
    "iter_lines": lambda response: list(response.iter_lines()),
    "stream": lambda response: list(response.raw.stream(2, decode_content=False)),
    "read": lambda response: (response.raw.read(1), response.raw.read()),
    "raise and read": lambda response: (response.raise_for_status(), response.text),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["length", "chunked", "gzip", "trailers", "too short", "zero"])
def test_streamed_answers_are_the_same(wire: RawServer, name: str, reader: str) -> None:
    wire.answer, wire.hang_up = ANSWERS[name], True
    found: List[Any] = []
    for session in (requests.Session(), ConnectionManager(**OFF)):
        with session, session.get(f"{wire.origin}/a", stream=True) as response:
            try:
                found.append(READERS[reader](response))
            except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
                found.append((type(exc), str(exc)))
    assert found[0] == found[1]


def nameless(text: str) -> str:
    return re.sub("0x[0-9a-f]+", "", text)


def test_errors_and_objects_show_the_same_names(wire: RawServer) -> None:
    found = []
    with dead_origin() as dead:
        for session in (requests.Session(), ConnectionManager(**OFF)):
            with session, session.get(wire.origin + "/", stream=True) as response:
                raw: Any = response.raw
                shown = [repr(raw._original_response), repr(raw.connection)]
                for url in (dead, dead.replace("http:", "https:"), "http://no.invalid/"):
                    with pytest.raises(requests.ConnectionError) as caught:
                        session.get(url)
                    shown.append(str(caught.value))
                found.append([nameless(one) for one in shown])
    assert found[0] == found[1]


def test_connections_are_kept_alike(wire: RawServer) -> None:
    wire.answer = (OK,)
    with ConnectionManager(**OFF) as manager:
        ports = set()
        for _ in range(3):
            with manager.get(wire.origin + "/", stream=True) as response:
                ports.add(response.raw.connection.sock.getsockname())
                assert response.content == b"{}"
    assert len(ports) == 1


names = st.sampled_from(
    ["X-A", "x-b", "Content-Type", "Connection", "Set-Cookie", "X A", "", "From x"]
)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12)
plain = st.sampled_from(
    ["a", " b", "\tc ", "close", "keep-alive", "text/html", "multipart/mixed", "k=v"]
)
separators = st.sampled_from([":", ": ", " : ", ""])
fields = st.tuples(names, separators, st.one_of(plain, plain, values)).map("".join)
statuses = st.sampled_from(
    ["200 OK", "204 ", "404", "500  Oh ", "304 Not", "099 X", "abc", "302 \xe9"]
)
versions = st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.9", "HTP/1.1"])
endings = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\n "])


@given(
    version=versions,
    status=statuses,
    lines=st.lists(fields, max_size=6),
    ending=endings,
    length=st.sampled_from(["Content-Length: 3", "Content-Length: 3", "content-length:x", "X: y"]),
    cut=st.integers(0, 40),
)
@example("HTTP/1.1", "200 OK", ["X-A: 1", "Set-Cookie: k=v"], "\r\n", "Content-Length: 3", 0)
@settings(max_examples=200, deadline=None)
def test_any_head_becomes_the_same_response(
    wire: RawServer, version: str, status: str, lines: List[str], ending: str, length: str, cut: int
) -> None:
    text = ending.join([f"{version} {status}", *lines, length, "", "abc"]).encode("latin-1")
    wire.answer, wire.hang_up = [text[:cut], text[cut:]] if cut else [text], True
    found = both("GET", wire.origin + "/", allow_redirects=False)
    assert found[0] == found[1]


# -- doubles and monitors below the manager are reached


REPLACED = {
    "urllib3 request": (urllib3.connection.HTTPConnection, "request"),
    "urllib3 putheader": (urllib3.connection.HTTPConnection, "putheader"),
    "urllib3 getresponse": (urllib3.connection.HTTPConnection, "getresponse"),
    "urllib3 urlopen": (urllib3.connectionpool.HTTPConnectionPool, "urlopen"),
    "urllib3 read": (urllib3.response.HTTPResponse, "read"),
    "urllib3 stream": (urllib3.response.HTTPResponse, "stream"),
    "http putrequest": (http.client.HTTPConnection, "putrequest"),
    "http putheader": (http.client.HTTPConnection, "putheader"),
    "http endheaders": (http.client.HTTPConnection, "endheaders"),
    "http send": (http.client.HTTPConnection, "send"),
    "http getresponse": (http.client.HTTPConnection, "getresponse"),
    "http begin": (http.client.HTTPResponse, "begin"),
    "http status": (http.client.HTTPResponse, "_read_status"),
    "http parse": (http.client, "parse_headers"),
    "requests build": (requests.adapters.HTTPAdapter, "build_response"),
    "requests cookies": (requests.adapters, "extract_cookies_to_jar"),
    "requests session cookies": (requests.sessions, "extract_cookies_to_jar"),
    "requests prepare request": (requests.Session, "prepare_request"),
    "requests environment": (requests.Session, "merge_environment_settings"),
    "requests pool": (requests.adapters.HTTPAdapter, "get_connection_with_tls_context"),
    "requests pool key": (requests.adapters.HTTPAdapter, "build_connection_pool_key_attributes"),
    "requests target": (requests.adapters.HTTPAdapter, "request_url"),
    "requests prepare": (requests.PreparedRequest, "prepare"),
    "requests headers": (requests.PreparedRequest, "prepare_headers"),
    "requests own cookies": (requests.PreparedRequest, "prepare_cookies"),
    "requests auth": (requests.PreparedRequest, "prepare_auth"),
    "requests url": (requests.PreparedRequest, "prepare_url"),
    "requests body": (requests.PreparedRequest, "prepare_body"),
    "requests hooks": (requests.PreparedRequest, "prepare_hooks"),
    "requests iter": (requests.Response, "iter_content"),
}


@pytest.mark.parametrize("kind", ["function", "proxy"])
@pytest.mark.parametrize("name", REPLACED)
def test_a_double_is_reached(
    wire: RawServer, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    owner, attribute = REPLACED[name]
    original = getattr(owner, attribute)
    seen: List[str] = []

    def double(*args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return original(*args, **kwargs)

    with ConnectionManager(**OFF) as manager:
        # A connection that was made before has to notice, too.
        assert manager.get(wire.origin + "/").json() == {}
        put = double if kind == "function" else Proxy(original, double)
        monkeypatch.setattr(owner, attribute, put)
        for kwargs in ({"method": "GET"}, {"method": "POST", "json": [1]}):
            seen.clear()
            assert manager.request(url=wire.origin + "/", **kwargs).json() == {}
            assert seen
        monkeypatch.undo()
        seen.clear()
        assert manager.post(wire.origin + "/", json=[1]).json() == {}
        assert not seen
    assert len(wire.received) == 4


def test_a_double_that_was_there_first_is_reached(wire: RawServer) -> None:
    program = f"""
import http.client
from proxies import Proxy

original = http.client.HTTPResponse.begin
http.client.HTTPResponse.begin = Proxy(
    original, lambda *args: (print("seen"), original(*args))[1]
)
from requests_connection_manager import ConnectionManager

print(ConnectionManager().get({wire.origin + "/"!r}).json())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=120,
        check=False,
    )
    assert done.stdout == "seen\n{}\n"


def test_a_double_of_writing_gets_headers_of_the_type_that_requests_gives(
    wire: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = urllib3.connection.HTTPConnection.request
    found: List[Any] = []

    def double(*args: Any, **kwargs: Any) -> Any:
        found.append(kwargs["headers"].get("ACCEPT-encoding"))
        return original(*args, **kwargs)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "request", double)
    for session in (requests.Session(), ConnectionManager(**OFF)):
        with session:
            assert session.get(wire.origin + "/").ok
    assert found[0] is not None
    assert found[0] == found[1]


def test_a_body_that_was_read_while_the_response_was_built_is_kept(
    wire: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = requests.adapters.HTTPAdapter.build_response

    def reading(*args: Any) -> requests.Response:
        response = build(*args)
        assert response.content == b"{}"
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "build_response", reading)
    with ConnectionManager(**OFF) as manager:
        assert manager.get(wire.origin + "/").content == b"{}"


@pytest.mark.parametrize("name", ["HTTPConnection", "HTTPResponse"])
def test_another_class_in_the_place_of_the_libraries_is_no_obstacle(
    wire: RawServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with ConnectionManager(**OFF) as manager:
        monkeypatch.setattr(http.client, name, type("Other", (), {}))
        assert manager.post(wire.origin + "/", json=[1]).json() == {}
        assert manager.get(wire.origin + "/").json() == {}


def test_a_response_class_of_the_programs_own_is_used(
    wire: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(http.client.HTTPResponse):
        pass

    with ConnectionManager(**OFF) as manager:
        manager.get(wire.origin + "/")
        monkeypatch.setattr(urllib3.connection.HTTPConnection, "response_class", Own)
        assert type(manager.get(wire.origin + "/").raw._original_response) is Own


def test_limits_of_the_programs_own_hold(wire: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client, "_MAXHEADERS", 4)
    wire.answer = [head("X-A: 1", "X-B: 2", "Content-Length: 0")]
    with ConnectionManager(**OFF) as manager:
        assert manager.get(wire.origin + "/").ok
        wire.answer = [head("X-A: 1", "X-B: 2", "X-C: 3", "Content-Length: 0")]
        with pytest.raises(requests.ConnectionError, match="more than 4 headers"):
            manager.get(wire.origin + "/")


def test_a_small_body_goes_with_the_head(wire: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: List[bytes] = []
    send = http.client.HTTPConnection.send
    monkeypatch.setattr(
        http.client.HTTPConnection, "send", lambda self, data: (sent.append(data), send(self, data))
    )
    with ConnectionManager(**OFF) as manager:
        manager.post(wire.origin + "/", json={"a": 1})
        manager.post(wire.origin + "/", data="b=2")
        manager.get(wire.origin + "/")
    assert sent == wire.received
