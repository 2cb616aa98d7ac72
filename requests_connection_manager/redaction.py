"""What must never be shown: secrets in headers, URLs, bodies and texts.

Holds the one rule for which names are sensitive and the functions that put :data:`REDACTED` in the
place of their values. Knows nothing of HTTP libraries and writes no logs. In doubt it hides too
much rather than too little; nothing here raises, and no input is changed.

Every function may be called from any thread. Applying one twice gives what applying it once gives.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from functools import lru_cache, partial
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Set, Tuple
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from ._lazy_regex import lazy_regex

REDACTED = "[REDACTED]"
"""What stands in the place of a secret."""

_MAX_DEPTH = 40
_MAX_NAME = 200
_MAX_ENCODED = 3  # values in values of a query
_MAX_PASSES = 8
_SHORT = 6  # a secret of fewer characters may be a part of an innocent word

# -- names ---------------------------------------------------------------------------------------

# One word each: of "refreshToken", "REFRESH_TOKEN" and "x-refresh-token" the last is "token".
_WORD = lazy_regex(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Words written together ("clientsecret", "jsessionid") count by an ending that is long enough to
# end no innocent word.
_SECRET_WORD = lazy_regex(
    r"[a-z]*(?:authorization|cookie|credentials?|passwd|password|secret|sess(?:ion)?id|signature"
    r"|token|(?:access|api|auth|private|secret)key)"
    r"|cookies|csrf|jwt|otp|passcode|passphrase|passwords|pwd|secrets|sig|totp|xsrf"
)
# Sensitive only as the last word: "x-auth" is, "auth_type" isn't.
_SECRET_HEAD = lazy_regex(r"assertion|auth|authentication|pass")
# Two words that are a secret together. A "key" is one by the word before it: "api_key" is,
# "primary_key" and "cache-key" aren't; nor are "tokens" alone: "max_tokens".
_SECRET_PAIR = lazy_regex(
    r"(?:access|account|admin|api|app|application|auth|client|consumer|encryption|functions|hmac"
    r"|license|master|private|secret|service|session|shared|signing|ssh|storage|subscription"
    r"|webhook) keys?"
    r"|(?:access|api|auth|id|refresh) tokens"
    r"|(?:auth|authorization|device) code|code verifier|session id"
)
# What tells about a secret without being one: "token_type", "password_policy", "token_expires_in".
_ABOUT = lazy_regex(
    r"algorithm|at|bucket|budget|count|enabled|endpoint|expiration|expires|expiry|in|length"
    r"|lifetime|limit|methods?|name|policy|required|size|status|supported|ttl|types?|usage|version"
)
# Sensitive in the query of a URL only: "?key=" is Google's API key, "?code=" an OAuth code.
_QUERY_ONLY = frozenset(["code", "key", "samlresponse", "ticket"])


def is_sensitive_field(name: object) -> bool:
    """Return whether a header, field or parameter of this name holds a secret.

    The name is split into words, at separators and at camelCase borders; substrings do not count.

    :param name: ``str`` or ``bytes``; anything else is not sensitive.

    >>> [is_sensitive_field(name) for name in ("Set-Cookie", "accessToken", b"X-Api-Key", "sig")]
    [True, True, True, True]
    >>> [is_sensitive_field(name) for name in ("max_tokens", "Idempotency-Key", "author", "key")]
    [False, False, False, False]
    """
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    if not isinstance(name, str):
        return False
    # Names come from servers, too: a huge one shall not stay in the cache.
    return _is_sensitive(name) if len(name) <= _MAX_NAME else _is_sensitive.__wrapped__(name)


@lru_cache(maxsize=4096)
def _is_sensitive(name: str) -> bool:
    words = _words(name)
    if not words or _ABOUT.fullmatch(words[-1]):
        return False
    # Case borders may mislead: "APIkey", "PassWord".
    caseless = _WORD.findall(name.lower())
    return (
        any(map(_SECRET_WORD.fullmatch, (*words, *caseless)))
        or _SECRET_HEAD.fullmatch(words[-1]) is not None
        or any(map(_is_secret_pair, words, words[1:]))
    )


def _words(name: str) -> List[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_secret_pair(first: str, second: str) -> bool:
    return _SECRET_PAIR.fullmatch(f"{first} {second}") is not None


def is_sensitive_parameter(name: str) -> bool:
    """Tell whether a parameter of a URL's query holds a secret by its name."""
    return name.lower() in _QUERY_ONLY or is_sensitive_field(name)


def _key_form(name: object) -> str:
    """Return what ``extra`` names are compared by: separators and case do not count."""
    text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
    return "".join(char for char in text.lower() if char.isalnum())


# -- URLs ----------------------------------------------------------------------------------------

# Up to the last '@' before the path; without '//' only if nothing but userinfo stands there.
_USERINFO = lazy_regex(r"^([^:/?#@]*://|//|)[^/?#]*@")
# A password with an unencoded '/', '?' or '#' in it: no parser accepts it, error texts quote it.
_BROKEN_USERINFO = lazy_regex(r"^([^:/?#@]*://|//)[^/?#@:\[]*:(?![0-9]{0,5}(?:[/?#]|$))[^@]*@")
_PATH_PARAMETER = lazy_regex(r"(?<=;)([^;=]+)=([^;]+)")
_PARAMETER = lazy_regex(r"(?:^|(?<=[?&#;]))([^?&#;=]+)=([^&#]+)")
_QUERY_START = lazy_regex(r"[?#]")


def redact_url(url: str) -> str:
    """Return ``url`` without userinfo and without the values of sensitive parameters.

    Parameters are looked for in the query, the fragment and after ``;`` in the path. The very same
    object comes back, at once, if there can be none of these.

    >>> redact_url("https://user:pw@example.com/v1?page=2&api_key=abc#access_token=x")
    'https://[REDACTED]@example.com/v1?page=2&api_key=[REDACTED]#access_token=[REDACTED]'
    """
    return _redact_url(url if isinstance(url, str) else _text_of(url), 0)


def _text_of(value: object) -> str:
    try:
        return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else str(value)
    except Exception:
        return REDACTED  # what cannot be read cannot be shown


def _redact_url(url: str, depth: int) -> str:
    if "@" in url:
        url = _USERINFO.sub(rf"\1{REDACTED}@", _BROKEN_USERINFO.sub(rf"\1{REDACTED}@", url))
    if "=" not in url:
        return url
    start = _QUERY_START.search(url)
    end = start.start() if start else len(url)
    parameter = partial(_redact_parameter, depth=depth)
    path = _PATH_PARAMETER.sub(parameter, url[:end])
    return path + _PARAMETER.sub(parameter, url[end:])


def _redact_parameter(found: re.Match[str], depth: int) -> str:
    name, value = found.groups()
    if is_sensitive_parameter(unquote_plus(name)):
        return f"{name}={REDACTED}"
    return f"{name}={_redact_encoded(value, depth)}"


def _redact_encoded(value: str, depth: int) -> str:
    """Redact a value that is a URL or a text of its own, such as that of ``redirect_uri``."""
    inner = unquote(value) if "%" in value else value
    redacted = inner
    if "=" in inner or "%" in inner:
        if depth == _MAX_ENCODED:
            return REDACTED
        redacted = _PARAMETER.sub(partial(_redact_parameter, depth=depth + 1), inner)
    redacted = _redact_text(redacted, depth + 1)
    if redacted == inner:
        return value
    return redacted if inner == value else quote(redacted, safe="/:?=[]@")


# -- texts ---------------------------------------------------------------------------------------

_MAY_HIDE = lazy_regex(r"[=:@]|[\"'],|\b(?:bearer|basic)[ \t]", re.I)
_URL_IN_TEXT = lazy_regex(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://(?:[^\s\"'<>`]|'(?=[\w%&=~-]))+")
_BEARER = lazy_regex(r"\b(bearer[ \t]+)(?!\[REDACTED\])([^\s\"',;<>)\]}]+)", re.I)
_BASIC = lazy_regex(r"\b(basic[ \t]+)([A-Za-z0-9+/_-]+=*)", re.I)
# A whole word or something in quotes, and what separates it from its value.
_NAME_IN_TEXT = lazy_regex(
    r"(?:(?P<quote>\\{0,15}[\"'])|(?<![\w.%$-]))(?P<name>[\w.%$-]+(?:\[[\w.-]*\])*)(?(quote)(?P=quote))"
    r"[ \t]{0,8}(?P<sign>=>|[=:]|(?(quote),|(?!)))[ \t]{0,8}"
)
_QUOTED = lazy_regex(r"[bBrRuU]?(\\{0,15}[\"'])((?:(?!\1)(?:\\.|.))*)(?:\1)?", re.S)
_NOTHING = lazy_regex(r"(?:None|null|undefined)\b")
# To the next white space, '&' or quote, but without the punctuation of the sentence around it.
_BARE = lazy_regex(r"(?:(?![),;:\]}>.]{0,4}(?:[\s&]|[\"'](?!\w)|$))[^\s&])+")
_LINE = lazy_regex(r"[^\r\n]+")
# "('password', 'abc')", or such a list in a list.
_PAIR_START = lazy_regex(r"(?:\(|\[\[|[\])],[ ]?\[)[bBrRuU]?\Z")
_PORT = lazy_regex(r"[0-9]{1,5}(?!\w)")
_BRACKET = lazy_regex(r"[\[({\])}]")
# Each sensitive name contains one of these.
_STEM = lazy_regex(
    r"assertion|auth|co(?:de|okie)|credential|jwt|key|otp|pass|pwd|saml|se(?:cret|ss)|sig|srf|t(?:icket"
    r"|oken)"
)
_LINE_OWNER = lazy_regex(r"authorization|cookie", re.I)
_PROSE = lazy_regex(r"(?:auth\w*|error|realm|scope|tokens?)[:.=]*", re.I)


def redact_text(text: str) -> str:
    """Return ``text`` without the secrets that log lines and exception texts quote.

    These are: URLs inside (as :func:`redact_url`), ``Bearer`` and ``Basic`` credentials, and
    values after a sensitive name and ``=`` or ``:``, as in headers, dict and JSON texts, queries.

    >>> redact_text("401 for https://example.com/?token=abc (sent 'Bearer abc', password=hunter2)")
    "401 for https://example.com/?token=[REDACTED] (sent 'Bearer [REDACTED]', password=[REDACTED])"
    """
    text = text if isinstance(text, str) else _text_of(text)
    for _ in range(_MAX_PASSES):
        # What was hidden may have stood between a secret and the name or URL that tells of it.
        before, text = text, _redact_text(text, 0)
        if text == before:
            break
    return text


def redact_values(text: str, values: Iterable[str]) -> str:
    """Return ``text`` without secrets that are known, as they are or encoded for a URL.

    :param values: the secrets; a short one is hidden where it stands alone, not within a word.

    >>> redact_values("GET /v1?appid=s%2Fcret failed", ["s/cret"])
    'GET /v1?appid=[REDACTED] failed'
    """
    return redact_forms(text, secret_forms(values))


def secret_forms(values: Iterable[str]) -> Tuple[str, ...]:
    """Return the texts under which ``values`` may stand in another, for :func:`redact_forms`."""
    forms = {form for value in values if value for form in _forms(value)}
    # The longest first: one may be a part of another.
    return tuple(sorted(forms, key=len, reverse=True))


def redact_forms(text: str, forms: Iterable[str]) -> str:
    """Return ``text`` without the secrets whose forms :func:`secret_forms` collected."""
    for form in forms:
        if form in text:
            short = len(form) < _SHORT
            pattern = rf"(?<!\w){re.escape(form)}(?!\w)" if short else re.escape(form)
            text = re.sub(pattern, REDACTED, text)
    return text


def _forms(value: str) -> Tuple[str, ...]:
    plus = quote_plus(value, errors="replace")
    encoded = (quote(value, errors="replace"), quote(value, safe="", errors="replace"), plus)
    return (value, repr(value)[1:-1], *encoded, plus.replace("%2F", "/"))


def _redact_text(text: str, depth: int) -> str:
    if not _MAY_HIDE.search(text):
        return text
    if "://" in text:
        text = _URL_IN_TEXT.sub(lambda found: _redact_url(found.group(), depth), text)
    # The scans are slow, these looks ahead are not; "%" may hide a letter of a name.
    lower = text.lower()
    if "bearer" in lower or "basic" in lower:
        text = _BASIC.sub(_redact_basic, _BEARER.sub(_redact_bearer, text))
    return _redact_named(text) if "%" in text or _STEM.search(lower) else text


def _redact_bearer(found: re.Match[str]) -> str:
    return found.group() if _PROSE.fullmatch(found.group(2)) else found.group(1) + REDACTED


def _redact_basic(found: re.Match[str]) -> str:
    # "Basic authentication" is prose: credentials are base64 and have a colon (RFC 7617).
    encoded = found.group(2).rstrip("=").replace("-", "+").replace("_", "/")
    encoded = encoded[: len(encoded) - (len(encoded) % 4 == 1)]  # cut off in the middle
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        return found.group()
    return found.group(1) + REDACTED if b":" in decoded else found.group()


def _redact_named(text: str) -> str:
    kept: List[str] = []
    done = 0
    found = _NAME_IN_TEXT.search(text)
    while found is not None:
        end = found.end()
        if _is_sensitive_in_text(text, found):
            shown, end = _redact_value(text, found)
            kept += (text[done : found.end()], shown)
            done = end
        found = _NAME_IN_TEXT.search(text, end)
    return "".join((*kept, text[done:])) if kept else text


def _is_sensitive_in_text(text: str, found: re.Match[str]) -> bool:
    before = text[max(found.start() - 5, 0) : found.start()]
    if found.group("sign") == "," and not _PAIR_START.search(before):
        return False  # a list of names
    if before.endswith(("//", "@")) and _PORT.match(text, found.end()):
        return False  # a host: "http://auth:8080/"
    if before.endswith("/") and found.group().endswith(": ") and _ends_a_url(text, found.start()):
        return False  # what is said of a URL: "POST https://a.test/token: status 401"
    rule = is_sensitive_parameter if before.endswith(("?", "&")) else is_sensitive_field
    return rule(unquote(found.group("name")))


def _ends_a_url(text: str, end: int) -> bool:
    return "://" in text[text.rfind(" ", 0, end) + 1 : end]


def _redact_value(text: str, found: re.Match[str]) -> Tuple[str, int]:
    """Return what to show after a sensitive name, and where the text goes on."""
    start = found.end()
    nothing = _NOTHING.match(text, start)
    if nothing:
        return nothing.group(), nothing.end()
    quoted = _QUOTED.match(text, start)
    if quoted:
        left, right = text[start : quoted.start(2)], text[quoted.end(2) : quoted.end()]
        return left + REDACTED + right, quoted.end()
    end = _end_of_bare(text, found)
    return (REDACTED if end > start else ""), end


def _end_of_bare(text: str, found: re.Match[str]) -> int:
    start = found.end()
    if found.group("sign") == ":" and _LINE_OWNER.search(found.group("name")):
        # A header line ends with the line, or with the quote that it stands in.
        quote_before = text[max(found.start() - 1, 0) : found.start()]
        line = _LINE.match(text, start)
        end = line.end() if line else start
        closed = text.find(quote_before, start, end) if quote_before in ("'", '"') else -1
        return closed if closed >= 0 else end
    following = _NAME_IN_TEXT.match(text, start)
    if following and _is_sensitive_in_text(text, following):
        return start  # "invalid credentials: password: abc"
    if text[start : start + 1] in ("{", "[", "("):
        start = _end_of_group(text, start)
    bare = _BARE.match(text, start)
    return bare.end() if bare else start


def _end_of_group(text: str, start: int) -> int:
    """Return where the bracket at ``start`` is closed, the end of the text if it never is."""
    depth = 0
    for found in _BRACKET.finditer(text, start):
        depth += 1 if found.group() in "[({" else -1
        if depth == 0:
            return found.end()
    return len(text)


# -- headers and data ----------------------------------------------------------------------------


def redact_headers(headers: Any, extra: Iterable[str] = ()) -> Dict[str, Any]:
    """Return a plain dict of ``headers`` without the values of sensitive ones.

    :param headers: a mapping or pairs, names and values ``str`` or ``bytes``; of a name that comes
        twice the last value stays. Anything else gives ``{}``.
    :param extra: names that are sensitive as well; case, ``-`` and ``_`` do not count.

    >>> redact_headers({"Authorization": "Bearer abc", "Accept": "*/*"})
    {'Authorization': '[REDACTED]', 'Accept': '*/*'}
    """
    try:
        pairs = headers.items() if hasattr(headers, "items") else headers
        walk = _Walk(extra)
        return {_header_name(name): walk.member(name, value, 1) for name, value in pairs}
    except Exception:
        return {}


def _header_name(name: Any) -> str:
    return name if isinstance(name, str) else _text_of(name)


def redact_sensitive_data(data: Any, extra: Iterable[str] = ()) -> Any:
    """Return a copy of ``data`` in which the value of every sensitive name is ``"[REDACTED]"``.

    :param data: nested dicts, lists, tuples and sets; ``(name, value)`` pairs in these; ``str`` or
        ``bytes`` that hold JSON, a form or any text. Other objects are handed through as they are,
        iterators unread. ``None`` stays ``None`` under any name.
    :param extra: names that are sensitive as well; case, ``-`` and ``_`` do not count.

    :returns: The same shape. What is nested too deeply, contains itself or cannot be read is
        replaced as a whole. Never raises, never changes ``data``.

    >>> redact_sensitive_data({"user": "ada", "login": [{"password": "pw"}]})
    {'user': 'ada', 'login': [{'password': '[REDACTED]'}]}
    >>> redact_sensitive_data('{"accessToken": "abc", "n": 1}')
    '{"accessToken": "[REDACTED]", "n": 1}'
    >>> redact_sensitive_data(b"grant_type=password&password=pw")
    b'grant_type=password&password=[REDACTED]'
    """
    try:
        return _Walk(extra).value(data, 0)
    except Exception:
        return REDACTED


_FORM = lazy_regex(r"[\w.%+\[\]~$-]+=")


class _Walk:
    """One pass over one piece of data."""

    def __init__(self, extra: Iterable[str]) -> None:
        names = [extra] if isinstance(extra, (str, bytes)) else extra
        self._extra: FrozenSet[str] = frozenset(map(_key_form, names))
        self._above: Set[int] = set()
        # Shared parts are copied once, or "billions of laughs" would take for ever. The original
        # is kept with its copy: the id of a freed object may come back.
        self._copies: Dict[int, Tuple[Any, Any]] = {}

    def is_sensitive(self, name: object) -> bool:
        if is_sensitive_field(name):
            return True
        return (
            bool(self._extra) and isinstance(name, (str, bytes)) and _key_form(name) in self._extra
        )

    def member(self, name: object, value: Any, depth: int) -> Any:
        if value is not None and self.is_sensitive(name):
            return REDACTED
        return self.value(value, depth)

    def value(self, data: Any, depth: int) -> Any:
        if isinstance(data, str):
            return self._text(data, depth)
        if isinstance(data, (bytes, bytearray)):
            return self._bytes(data, depth)
        if isinstance(data, (Mapping, list, tuple, set, frozenset)):
            return self._container(data, depth)
        return data

    def _container(self, data: Any, depth: int) -> Any:
        if id(data) in self._copies:
            return self._copies[id(data)][1]
        if depth >= _MAX_DEPTH or id(data) in self._above:
            return REDACTED
        self._above.add(id(data))
        copy = self._copy(data, depth + 1)
        self._above.discard(id(data))
        self._copies[id(data)] = (data, copy)
        return copy

    def _copy(self, data: Any, depth: int) -> Any:
        if isinstance(data, Mapping):
            return self._mapping(data, depth)
        items = [self._item(item, depth) for item in data]
        if isinstance(data, tuple):
            return data._make(items) if hasattr(data, "_make") else tuple(items)
        return items if isinstance(data, list) else type(data)(items)

    def _mapping(self, data: Mapping[Any, Any], depth: int) -> Dict[Any, Any]:
        copy = {name: self.member(name, value, depth) for name, value in data.items()}
        # {"name": "Authorization", "value": "..."}, as HAR files and many APIs write pairs.
        if copy.get("value") is not None and self.is_sensitive(copy.get("name", copy.get("key"))):
            copy["value"] = REDACTED
        return copy

    def _item(self, item: Any, depth: int) -> Any:
        if type(item) in (tuple, list) and len(item) == 2 and isinstance(item[0], (str, bytes)):
            # The first may be no name at all, but a text of two.
            name, value = item
            return type(item)((self.value(name, depth), self.member(name, value, depth)))
        return self.value(item, depth)

    def _bytes(self, data: Any, depth: int) -> Any:
        encoding: str = json.detect_encoding(data)
        errors = "surrogateescape"
        try:
            text = data.decode(encoding, errors)
        except UnicodeError:  # no text, or not in an encoding that JSON may have
            encoding, text = "latin-1", data.decode("latin-1")
        redacted = self._text(text, depth)
        return data if redacted == text else type(data)(redacted.encode(encoding, errors))

    def _text(self, text: str, depth: int) -> str:
        if text.lstrip()[:1] in ("{", "[", '"'):
            redacted = self._json(text, depth)
            if redacted is not None:
                return redacted
        if _FORM.match(text) and "\n" not in text:
            text = "&".join(map(self._form_field, text.split("&")))
        return redact_text(text)

    def _form_field(self, field: str) -> str:
        name, _, value = field.partition("=")
        return f"{name}={REDACTED}" if value and self.is_sensitive(unquote_plus(name)) else field

    def _json(self, text: str, depth: int) -> Optional[str]:
        """Return JSON text redacted, the text itself if nothing is to hide, None for no JSON."""
        doubles: List[str] = []

        def take(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
            found = dict(pairs)
            doubles.extend(["x"] if len(found) != len(pairs) else [])
            return found

        try:
            data = json.loads(text, object_pairs_hook=take)
        except (ValueError, RecursionError):
            return None
        redacted = self.value(data, depth + 1)
        # Of a name that comes twice json keeps one value, so the text may show what data doesn't.
        return text if redacted == data and not doubles else json.dumps(redacted)
