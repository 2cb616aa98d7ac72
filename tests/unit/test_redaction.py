"""What must never be shown, and what must stay as it is."""

from __future__ import annotations

import base64
import copy
import json
from collections import OrderedDict, namedtuple
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from requests_connection_manager.redaction import (
    REDACTED,
    is_sensitive_field,
    redact_headers,
    redact_sensitive_data,
    redact_text,
    redact_url,
    redact_values,
)

SENSITIVE_NAMES = """
    authorization Authorization proxy-authorization Proxy-Authorization cookie Cookie set-cookie
    Set-Cookie Set-Cookie2 cookies x-api-key X-API-Key X-Api-Key api_key apikey apiKey APIKey APIkey
    api-key api_keys xApiKey access_token accessToken AccessToken ACCESS_TOKEN refresh_token
    refreshToken id_token idToken token Token x-auth-token X-Auth-Token x-csrf-token X-XSRF-TOKEN
    csrfmiddlewaretoken csrf_token secret client_secret clientSecret clientsecret secret_key
    secretAccessKey AWSSecretAccessKey password Password PassWord user_password userPassword
    user[password] passwd pwd db_pwd passphrase private_key privateKey session_id sessionid
    sessionId JSESSIONID PHPSESSID credential credentials signature Signature
    x-amz-security-token X-Amz-Signature X-Amz-Credential X-Goog-Signature sig private-token
    PRIVATE-TOKEN x-goog-api-key
    Ocp-Apim-Subscription-Key X-Functions-Key DD-APPLICATION-KEY auth x-auth basic_auth jwt
    client_assertion code_verifier authorization_code device_code otp oauth_token OAuth2Token
    bearer_token oauth2_token api_key_value token1 token_2 secret_id password_hash x-access-tokens
"""

HARMLESS_NAMES = """
    idempotency-key Idempotency-Key idempotencyKey cache-key cache_key primary_key foreign_key
    public_key partitionKey sort_key key keys tokenizer tokenize max_tokens maxTokens tokens
    prompt_tokens x-ratelimit-remaining-tokens keyboard monkey turkey author authors co_author
    authority design designer signal signed assign passenger passport bypass compass secretary
    cookiecutter credentialing sessions session accept content-type Content-Length user-agent host
    date etag location www-authenticate token_type tokenType token_endpoint token_expires_in
    token_count token_bucket password_policy auth_type auth_method signature_version
    signatureAlgorithm cookie_policy code status_code zip_code id name user username email
    sec-websocket-key1 hash nonce sid 0 _ -
"""
SENSITIVE = SENSITIVE_NAMES.split()
HARMLESS = HARMLESS_NAMES.split()


@pytest.mark.parametrize("name", SENSITIVE)
def test_sensitive_names(name):
    assert is_sensitive_field(name)
    assert is_sensitive_field(name.encode())


@pytest.mark.parametrize("name", [*HARMLESS, ""])
def test_harmless_names(name):
    assert not is_sensitive_field(name)


@pytest.mark.parametrize("name", [None, 1, 1.5, True, ("password",), ["password"], object])
def test_other_types_are_not_names(name):
    assert not is_sensitive_field(name)


def test_long_names_are_judged_but_not_remembered():
    from requests_connection_manager import redaction

    before = redaction._is_sensitive.cache_info().currsize
    assert is_sensitive_field("x_" * 5000 + "token")
    assert not is_sensitive_field("x_" * 5000 + "thing")
    assert redaction._is_sensitive.cache_info().currsize == before


# -- URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h.test/", "https://[REDACTED]@h.test/"),
        ("https://ghp_x@h.test/", "https://[REDACTED]@h.test/"),
        ("https://u:p@ss@h.test/", "https://[REDACTED]@h.test/"),
        ("https://u:pa/ss@h.test/v1", "https://[REDACTED]@h.test/v1"),
        ("https://u:p?a#ss@h.test/v1", "https://[REDACTED]@h.test/v1"),
        ("//u:p@h.test/", "//[REDACTED]@h.test/"),
        ("u:p@h.test/", "[REDACTED]@h.test/"),
        ("https://u:p@[::1]:80/x", "https://[REDACTED]@[::1]:80/x"),
        ("https://h/?api_key=a&b=c", "https://h/?api_key=[REDACTED]&b=c"),
        ("https://h/?b=c&API-KEY=a", "https://h/?b=c&API-KEY=[REDACTED]"),
        (
            "https://h/?key=a&code=b&sig=c",
            "https://h/?key=[REDACTED]&code=[REDACTED]&sig=[REDACTED]",
        ),
        ("https://h/?acc%65ss%5Ftoken=a", "https://h/?acc%65ss%5Ftoken=[REDACTED]"),
        ("https://h/?a=b;token=c", "https://h/?a=b;token=[REDACTED]"),
        ("https://h/?token=a;b", "https://h/?token=[REDACTED]"),
        ("https://h/?token=a=b==", "https://h/?token=[REDACTED]"),
        ("https://h/?token=a?b", "https://h/?token=[REDACTED]"),
        ("https://h/?a/token=b", "https://h/?a/token=[REDACTED]"),
        ("https://h/p;jsessionid=a;v=1?x=y", "https://h/p;jsessionid=[REDACTED];v=1?x=y"),
        ("https://h/#access_token=a&x=y", "https://h/#access_token=[REDACTED]&x=y"),
        ("https://h/#/cb?access_token=a", "https://h/#/cb?access_token=[REDACTED]"),
        ("https://h/p;token=a?x=y", "https://h/p;token=[REDACTED]?x=y"),
        ("/v1?token=a", "/v1?token=[REDACTED]"),
        (
            "https://h/?next=https%3A%2F%2Fi%2F%3Ftoken%3Da%26x%3Dy",
            "https://h/?next=https://i/?token=[REDACTED]%26x=y",
        ),
        ("https://h/?next=https://u:p@i/", "https://h/?next=https://[REDACTED]@i/"),
        ('https://h/?v=%7B"password":"a"%7D', "https://h/?v=%7B%22password%22:%22[REDACTED]%22%7D"),
    ],
)
def test_url(url, shown):
    assert redact_url(url) == shown
    assert redact_url(shown) == shown


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1/users",
        "https://api.example.com:8443/v1?page=2&per_page=10#top",
        "https://h/users/@me",
        "https://h:8080/a@b",
        "https://[::1]:80/a@b",
        "https://h/?mail=a@b.test&time=10:30",
        "https://h/?token=&x",
        "https://h/?token",
        "https://h/?a=b=c==",
        "https://h/v1/token/x",
        "",
        "?",
        "@",
    ],
)
def test_url_without_secrets_is_unchanged(url):
    assert redact_url(url) == ("[REDACTED]@" if url == "@" else url)


def test_plain_url_is_the_very_same_object():
    url = "https://api.example.com/" + "v1"
    assert redact_url(url) is url


def test_url_of_another_type():
    class Url:
        def __str__(self):
            return "https://u:p@h/"

    class Broken:
        def __str__(self):
            raise RuntimeError

    assert redact_url(b"https://h/?token=a") == "https://h/?token=[REDACTED]"
    assert redact_url(Url()) == "https://[REDACTED]@h/"
    assert redact_url(Broken()) == REDACTED


def test_values_in_values_end_somewhere():
    assert "s3cr3t" not in redact_url("https://h/?" + "a=" * 50_000 + "token=s3cr3t")
    deep = "token=s3cr3t"
    for _ in range(6):
        deep = "next=" + quote(deep, safe="")
    assert "s3cr3t" not in redact_url(f"https://h/?{deep}")


# -- texts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer xyz", "Bearer [REDACTED]"),
        ("sent 'bearer x.y-z=='", "sent 'bearer [REDACTED]'"),
        ('{"h": "Bearer YWI="}', '{"h": "Bearer [REDACTED]"}'),
        ("Basic dTpw", "Basic [REDACTED]"),
        ("(Basic dXNlcjpwYXNzd29yZA==)", "(Basic [REDACTED])"),
        ("Basic dXNlcjpwYXNzd29yZA", "Basic [REDACTED]"),
        ("password=a&x=b", "password=[REDACTED]&x=b"),
        ("password = a", "password = [REDACTED]"),
        ("password: a", "password: [REDACTED]"),
        ("--token=a -p", "--token=[REDACTED] -p"),
        ("f(password='a', b=2)", "f(password='[REDACTED]', b=2)"),
        ("f(token=a), b", "f(token=[REDACTED]), b"),
        ("{'token': 'a', 'b': 2}", "{'token': '[REDACTED]', 'b': 2}"),
        (r'"{\"token\": \"a\", \"b\": 2}"', r'"{\"token\": \"[REDACTED]\", \"b\": 2}"'),
        ('{"token":"a\\"b", "c', '{"token":"[REDACTED]", "c'),
        ('{"token":"a', '{"token":"[REDACTED]'),
        ("{b'cookie': b'a=b'}", "{b'cookie': b'[REDACTED]'}"),
        ("[('password', 'a'), ('b', 'c')]", "[('password', '[REDACTED]'), ('b', 'c')]"),
        ('[["a", "b"], ["token", "c"]]', '[["a", "b"], ["token", "[REDACTED]"]]'),
        ("credentials={'u': ['a', {'b': 'c'}]} x", "credentials=[REDACTED] x"),
        ("auth=('u', 'p'), timeout=3", "auth=[REDACTED], timeout=3"),
        ("token=[a", "token=[REDACTED]"),
        ("token={}x}y z", "token=[REDACTED] z"),
        ("Authorization: Digest a=b, c=d\r\nHost: h", "Authorization: [REDACTED]\r\nHost: h"),
        ('Set-Cookie: a="b"; Path=/\nx: y', "Set-Cookie: [REDACTED]\nx: y"),
        ("-H 'Authorization: Token a b' -v", "-H 'Authorization: [REDACTED]' -v"),
        ("auth: token: a", "auth: token: [REDACTED]"),
        ("invalid credentials: password: a", "invalid credentials: password: [REDACTED]"),
        ("credentials:\n  password: a", "credentials:\n  password: [REDACTED]"),
        ("see https://u:p@h/?token=a.", "see https://[REDACTED]@h/?token=[REDACTED]"),
        ("<a href='https://h/?token=a'>", "<a href='https://h/?token=[REDACTED]'>"),
        ("url: /v1?key=a (Caused by x)", "url: /v1?key=[REDACTED] (Caused by x)"),
        ("acc%65ss_token=a", "acc%65ss_token=[REDACTED]"),
        ("token => 'a'", "token => '[REDACTED]'"),
        ("user[password]=a&b=c", "user[password]=[REDACTED]&b=c"),
        ("token=a'b c", "token=[REDACTED] c"),
    ],
)
def test_text(text, shown):
    assert redact_text(text) == shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic authentication failed",
        "Bearer token missing",
        'Bearer realm="api", error="invalid_token"',
        "HTTPConnectionPool(host='auth', port=8080): Read timed out. (read timeout=5)",
        "http://auth:8080/v1 answered 500",
        "POST https://a.test/oauth/token: status 401 Unauthorized",
        "GET http://a.test/v1/password: the circuit breaker is open",
        "http://token.secret:8080/ and http://u@auth:8080"[:30],
        "Expecting value: line 1 column 1 (char 0)",
        "password=None, token: null",
        "['password', 'email']",
        "max_tokens=5, key=a, keyboard: qwerty, author: ada",
        "time 10:30 = half past ten",
        "the token expired",
    ],
)
def test_text_without_secrets_is_unchanged(text):
    assert redact_text(text) == text


def test_text_of_another_type():
    assert redact_text(ValueError("token=a")) == "token=[REDACTED]"


@pytest.mark.parametrize(
    "part", ["a", "a=", '"', "\\", "'a'", "[", "{(", "token=", "://", "a.", ");"]
)
def test_long_texts_take_linear_time(part):
    redact_text(part * (60_000 // len(part)) + " token=s3cr3t")
    redact_sensitive_data(part * (60_000 // len(part)))


# -- headers


def test_headers():
    headers = OrderedDict(
        [
            ("Authorization", "Bearer abc"),
            ("Accept", "*/*"),
            ("Location", "https://h/?token=abc"),
            ("X-Own", "abc"),
            ("cookie", None),
        ]
    )
    before = copy.deepcopy(headers)
    assert redact_headers(headers, extra=["x_own"]) == {
        "Authorization": REDACTED,
        "Accept": "*/*",
        "Location": "https://h/?token=[REDACTED]",
        "X-Own": REDACTED,
        "cookie": None,
    }
    assert headers == before


def test_headers_as_pairs_of_bytes():
    assert redact_headers([(b"Cookie", b"a=b"), (b"accept", b"*/*")]) == {
        "Cookie": REDACTED,
        "accept": b"*/*",
    }


@pytest.mark.parametrize("headers", [None, 5, ["x"], object()])
def test_headers_of_another_type(headers):
    assert redact_headers(headers) == {}


# -- data


def test_shape_is_kept():
    point = namedtuple("point", "x y")
    data = {
        "list": [1, 2.5, None, True, "text"],
        "tuple": ("a", {"password": "pw"}),
        "set": {"a", "b"},
        "frozen": frozenset(["a"]),
        "named": point("x", "Bearer abc"),
        "bytes": b"\xff\x00",
        "pairs": [("token", "abc"), ("page", "2")],
        "login": {"credentials": {"user": "u", "deep": ["s"]}, "token": None},
        5: "five",
    }
    before = copy.deepcopy(data)
    assert redact_sensitive_data(data) == {
        "list": [1, 2.5, None, True, "text"],
        "tuple": ("a", {"password": REDACTED}),
        "set": {"a", "b"},
        "frozen": frozenset(["a"]),
        "named": point("x", "Bearer [REDACTED]"),
        "bytes": b"\xff\x00",
        "pairs": [("token", REDACTED), ("page", "2")],
        "login": {"credentials": REDACTED, "token": None},
        5: "five",
    }
    assert data == before


def test_extra_names():
    data = {"Own-Key": "a", "ownkey": "b", "own": "c"}
    assert redact_sensitive_data(data, extra=("own_key",)) == {
        "Own-Key": REDACTED,
        "ownkey": REDACTED,
        "own": "c",
    }
    assert redact_sensitive_data({"own": "c"}, extra="own") == {"own": REDACTED}
    assert redact_sensitive_data('{"own": "c"}', extra="own") == '{"own": "[REDACTED]"}'
    assert redact_sensitive_data("a=b&own=c", extra="own") == "a=b&own=[REDACTED]"


def test_pairs_written_as_objects():
    har = {"headers": [{"name": "Cookie", "value": "a=b"}, {"name": "Accept", "value": "*/*"}]}
    shown = redact_sensitive_data(har)["headers"]
    assert shown == [{"name": "Cookie", "value": REDACTED}, {"name": "Accept", "value": "*/*"}]
    assert redact_sensitive_data({"key": "token", "value": "a"})["value"] == REDACTED


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"token": "a", "n": 1}', '{"token": "[REDACTED]", "n": 1}'),
        ('{"n":  1}', '{"n":  1}'),
        ('[{"a": {"client_secret": ["x"]}}]', '[{"a": {"client_secret": "[REDACTED]"}}]'),
        ('{"body": "{\\"token\\": \\"a\\"}"}', '{"body": "{\\"token\\": \\"[REDACTED]\\"}"}'),
        ('{"a": {"token": "s"}, "a": 1}', '{"a": 1}'),
        ('{"a": 1}\n{"token": "s"}', '{"a": 1}\n{"token": "[REDACTED]"}'),
        ('{"token": "s", ', '{"token": "[REDACTED]", '),
        ("password=p w&user=u", "password=[REDACTED]&user=u"),
        ("p%61ssword=p&user=u", "p%61ssword=[REDACTED]&user=u"),
        ("password=a\"b'c&user=u", "password=[REDACTED]&user=u"),
        ("user=u", "user=u"),
        ("just text", "just text"),
    ],
)
def test_bodies(body, shown):
    assert redact_sensitive_data(body) == shown
    assert redact_sensitive_data(body.encode()) == shown.encode()
    assert redact_sensitive_data(bytearray(body.encode())) == bytearray(shown.encode())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_json_in_other_encodings(encoding):
    shown = redact_sensitive_data('{"token": "abc"}'.encode(encoding))
    assert json.loads(shown) == {"token": REDACTED}


def test_binary_data_is_unchanged():
    data = bytes(range(256)) * 4
    assert redact_sensitive_data(data) is data
    assert redact_sensitive_data(b"\x00\x01\xd8\x00") == b"\x00\x01\xd8\x00"


def test_cycles_end():
    data = {"token": "abc", "list": []}
    data["self"] = data
    data["list"].append(data["list"])
    assert redact_sensitive_data(data) == {"token": REDACTED, "list": [REDACTED], "self": REDACTED}


def test_depth_is_bounded():
    data = "s3cr3t"
    for _ in range(5000):
        data = [data]
    assert "s3cr3t" not in str(redact_sensitive_data(data))
    assert "s3cr3t" not in redact_sensitive_data('{"token":' * 100_000 + '"s3cr3t"')


def test_shared_parts_are_walked_once():
    data = ["x"]
    for _ in range(38):
        data = [data, data]
    assert redact_sensitive_data(data)[0][1]


def test_never_raises():
    class Broken(dict):
        def items(self):
            raise RuntimeError

    assert redact_sensitive_data({"a": Broken()}) == REDACTED
    assert redact_sensitive_data({"a": 1}, extra=5) == REDACTED


def test_iterators_and_files_are_handed_through():
    unread = iter(["a"])
    assert redact_sensitive_data([unread])[0] is unread
    assert next(unread) == "a"


# -- properties

SECRET = st.text("abcXYZ019._~+/-", min_size=1).map(lambda text: "s3cr3t" + text)
ANY_SECRET = st.text(min_size=0).map(lambda text: "s3cr3t" + text)
SENSITIVE_NAME = st.sampled_from(SENSITIVE)
HARMLESS_NAME = st.sampled_from([name for name in HARMLESS if name not in ("name", "value")])
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text("abc xyzäöü,.-()!")
)
HARMLESS_DATA = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(HARMLESS_NAME, inner, max_size=4),
        st.tuples(inner, inner, inner),
    ),
    max_leaves=12,
)


def planted(secret):
    """Data with the secret under sensitive names only."""
    holder = st.one_of(
        st.builds(lambda name, value: {name: value}, SENSITIVE_NAME, secret),
        st.builds(lambda name, value: {name: [{"x": value}]}, SENSITIVE_NAME, secret),
        st.builds(lambda name, value: [(name, value)], SENSITIVE_NAME, secret),
    )
    return st.recursive(
        holder,
        lambda inner: st.one_of(
            st.lists(st.one_of(inner, PLAIN), min_size=1, max_size=3),
            st.dictionaries(HARMLESS_NAME, inner, min_size=1, max_size=3),
            inner.map(json.dumps),
        ),
        max_leaves=6,
    )


@settings(deadline=None)
@given(planted(ANY_SECRET))
def test_a_planted_secret_never_appears(data):
    before = repr(data)
    assert "s3cr3t" not in repr(redact_sensitive_data(data))
    assert "s3cr3t" not in repr(redact_sensitive_data([json.dumps(data).encode()]))
    assert repr(data) == before


@settings(deadline=None)
@given(planted(SECRET))
def test_a_planted_secret_never_appears_in_texts_of_data(data):
    assert "s3cr3t" not in redact_text(f"cannot send {data!r}")
    assert "s3cr3t" not in redact_text(f"cannot send {json.dumps(data)}")


@settings(deadline=None)
@given(HARMLESS_DATA)
def test_harmless_data_is_unchanged(data):
    assert redact_sensitive_data(data) == data
    assert redact_sensitive_data(json.dumps(data)) == json.dumps(data)


TELLING = """
    = : & ? ; , ' " \\ [ ] { } ( ) / @ :// https://h/ https://u:p@h/ Bearer Basic dTpw token
    password key code Authorization Cookie None [REDACTED] %3D %26 %22 %5C => b' token= "token":
"""
TEXT_PARTS = st.lists(
    st.text(max_size=6) | st.sampled_from([*TELLING.split(), " ", "\n", "\t"]), max_size=12
).map("".join)
ANY_DATA = st.recursive(
    TEXT_PARTS | PLAIN | st.binary(max_size=20),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(TEXT_PARTS | SENSITIVE_NAME, inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(ANY_DATA)
def test_data_twice_is_data_once(data):
    once = redact_sensitive_data(data)
    assert redact_sensitive_data(once) == once


def test_what_stands_in_the_place_of_a_name_is_redacted_too():
    data = [['{"authorization": "s3cr3t"}', "x"]]
    assert "s3cr3t" not in repr(redact_sensitive_data(data))


@settings(deadline=None)
@given(TEXT_PARTS)
@example("TOKEN://&https://u:p@h/")  # what is hidden first stood before the start of a URL
def test_text_twice_is_text_once(text):
    once = redact_text(text)
    assert redact_text(once) == once


@settings(deadline=None)
@given(TEXT_PARTS)
def test_url_twice_is_url_once(text):
    once = redact_url(text)
    assert redact_url(once) == once


@settings(deadline=None)
@given(SENSITIVE_NAME, SECRET, st.dictionaries(HARMLESS_NAME, PLAIN, max_size=3))
def test_secrets_in_urls_forms_and_texts(name, secret, others):
    query = urlencode({**others, name: secret, "last": "1"})
    url = f"https://user:{secret}@api.example.com/v1?{query}#{query}"
    assert "s3cr3t" not in redact_url(url)
    assert "s3cr3t" not in redact_text(f"GET {url} failed: {url!r}")
    assert "s3cr3t" not in redact_text(f"failed with { ({**others, name: secret})!r}")
    assert "s3cr3t" not in redact_sensitive_data(query)
    assert "s3cr3t" not in str(redact_headers({**others, name: secret}))


@settings(deadline=None)
@given(SECRET)
def test_credentials_in_texts(secret):
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    assert secret not in redact_text(f"header was Bearer {secret} there")
    assert basic not in redact_text(f"header was Basic {basic} there")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/v1?appid=s%2Fe+c", "/v1?appid=[REDACTED]"),
        ("/v1?appid=s/e%20c", "/v1?appid=[REDACTED]"),
        ("key 's/e c' and its longer s/e c-2", "key '[REDACTED]' and its longer [REDACTED]"),
        ("an abc, not abcess", "an [REDACTED], not abcess"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_known_values_are_hidden_in_any_form(text, shown):
    assert redact_values(text, ["s/e c", "s/e c-2", "abc", ""]) == shown
    assert redact_values(shown, ["s/e c", "s/e c-2", "abc", ""]) == shown
