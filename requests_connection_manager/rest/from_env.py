"""A client's configuration from environment variables with a common prefix.

Holds :func:`settings_from_env`, which reads and checks; what the values mean is known to the client
that gets them. Knows no HTTP library. Values of secrets are in no message.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from ..base_url import check_base_url
from ..redaction import redact_text

_PREFIX = re.compile(r"[A-Za-z](?:[A-Za-z0-9_]*[A-Za-z0-9])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_MAX_SHOWN = 60
_MAX_DIGITS = 9

# Whoever gives one of these has decided about credentials.
_CREDENTIALS = frozenset(
    {"auth", "api_key", "api_key_header", "api_key_query", "bearer_token", "oauth2_token"}
    | {"basic_auth"}
)


def settings_from_env(
    prefix: str,
    *,
    given: Optional[Mapping[str, Any]] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> Dict[str, Any]:
    """Return the options of a client that environment variables and a caller give.

    For the prefix ``ACME`` these are read: ``ACME_BASE_URL``, ``ACME_API_KEY``,
    ``ACME_API_KEY_HEADER`` or ``ACME_API_KEY_QUERY``, ``ACME_BEARER_TOKEN`` (or ``ACME_TOKEN``),
    ``ACME_USERNAME`` and ``ACME_PASSWORD``, ``ACME_TIMEOUT`` and ``ACME_TOTAL_TIMEOUT`` (seconds),
    ``ACME_MAX_RETRIES``, ``ACME_VERIFY`` (``true`` or ``false``), ``ACME_CA_BUNDLE`` (a path),
    ``ACME_API_VERSION`` and ``ACME_PROXY``. A secret may also be in a file, as Docker and
    Kubernetes mount it: ``ACME_API_KEY_FILE`` is the path of one; so with ``BEARER_TOKEN``,
    ``TOKEN``, ``USERNAME`` and ``PASSWORD``. Other variables are ignored.

    :param prefix: letters, digits and underscores, without the last underscore. Case counts.
    :param given: options of the caller. They win: what they name is not read, and one credential
        among them stands for all.
    :param environ: read in place of ``os.environ``.
    :raises TypeError: if ``prefix`` is no ``str``.
    :raises ValueError: for a prefix that is none; for a variable that is missing, empty or can't be
        understood, or that contradicts another, naming it. No secret is shown.

    Safe from any thread, as long as nobody changes the environment.

    >>> environ = {"ACME_BASE_URL": "https://api.example.com", "ACME_TIMEOUT": "5"}
    >>> settings_from_env("ACME", given={"max_retries": 1}, environ=environ)
    {'base_url': 'https://api.example.com', 'timeout': 5.0, 'max_retries': 1}
    >>> settings_from_env("ACME", environ={"ACME_TOKEN": "abc"})
    Traceback (most recent call last):
    ...
    ValueError: ACME_BASE_URL is not set: it names the API, such as 'https://api.example.com/v1'
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str such as 'ACME', not {type(prefix).__name__}")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"prefix must be one such as 'ACME', not {prefix!r}")
    options = dict(given or {})
    variables = _Variables(prefix, os.environ if environ is None else environ)
    return {**_settings(variables, frozenset(options)), **options}


def _settings(variables: _Variables, given: FrozenSet[str]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for option, (name, understand) in _PLAIN.items():
        value = None if option in given else variables.get(name)
        if value is not None:
            found[option] = understand(variables.full(name), value)
    if "base_url" not in found and "base_url" not in given:
        raise ValueError(
            f"{variables.full('BASE_URL')} is not set: it names the API, such as"
            " 'https://api.example.com/v1'"
        )
    if given.isdisjoint({"verify", "ssl_context"}):
        found.update(_verification(variables))
    if given.isdisjoint(_CREDENTIALS):
        found.update(_credentials(variables))
    return found


class _Variables:
    """The variables of one prefix."""

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._environ = environ

    def full(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    def get(self, name: str) -> Optional[str]:
        """Return the value of a variable; ``None`` if it is not set."""
        value = self._environ.get(self.full(name))
        if value is not None and not value.strip():
            raise ValueError(f"{self.full(name)} is set, but empty: give it a value or unset it")
        return value

    def secret(self, name: str) -> Optional[str]:
        """Return a secret, of the variable or of the file that another one names."""
        value, path = self.get(name), self.get(f"{name}_FILE")
        full = self.full(name)
        if path is not None:
            if value is not None:
                raise ValueError(f"{full} and {full}_FILE are both set: give one of them")
            full = f"{full}_FILE"
            value = _content(full, path)
        if value is not None and not value.isprintable():
            raise ValueError(
                f"{full} holds a character that is not printable, such as a line break"
            )
        return value


def _content(full: str, path: str) -> str:
    try:
        # Some editors begin a file with a mark, which is no part of a secret.
        with open(path, encoding="utf-8-sig") as file:
            text = file.read().rstrip("\r\n")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ValueError(f"{full} names a file that can't be read: {path}: {why}") from error
    except ValueError:
        text = None
    if text is None:  # its error would quote the content
        raise ValueError(f"{full} names a file that is no text in UTF-8: {path}")
    if not text.strip():
        raise ValueError(f"{full} names a file that is empty: {path}")
    return text


# -- credentials ---------------------------------------------------------------------------------


def _credentials(variables: _Variables) -> Dict[str, Any]:
    key = _api_key(variables)
    token = _bearer_token(variables)
    basic = _basic_auth(variables)
    if "bearer_token" in token and "basic_auth" in basic:
        raise ValueError(
            f"{_either(variables, 'BEARER_TOKEN', 'TOKEN')} and {variables.full('USERNAME')} are"
            " both set, and both make the Authorization header: give one of them"
        )
    header = key.get("api_key_header", "")
    if header.lower() == "authorization" and (token or basic):
        raise ValueError(
            f"{variables.full('API_KEY_HEADER')} is the Authorization header, which another"
            " credential makes too: give one of them"
        )
    return {**key, **token, **basic}


def _api_key(variables: _Variables) -> Dict[str, str]:
    key = variables.secret("API_KEY")
    names = {"api_key_header": "API_KEY_HEADER", "api_key_query": "API_KEY_QUERY"}
    places = {option: (name, variables.get(name)) for option, name in names.items()}
    found = {option: place for option, (_, place) in places.items() if place is not None}
    full = [variables.full(name) for name, place in places.values() if place is not None]
    if len(found) == 2:
        raise ValueError(f"{' and '.join(full)} are both set: the key is sent in one place")
    if found and key is None:
        missing = variables.full("API_KEY")
        raise ValueError(f"{full[0]} says where the key is sent, but {missing} is not set")
    header = found.get("api_key_header")
    if header is not None and not _TOKEN.fullmatch(header):
        raise _wrong(full[0], header, "the name of a header")
    return {} if key is None else {"api_key": key, **found}


def _bearer_token(variables: _Variables) -> Dict[str, str]:
    token, alias = variables.secret("BEARER_TOKEN"), variables.secret("TOKEN")
    if token is not None and alias is not None and token != alias:
        full = variables.full
        raise ValueError(f"{full('BEARER_TOKEN')} and {full('TOKEN')} differ: give one of them")
    token = alias if token is None else token
    return {} if token is None else {"bearer_token": token}


def _basic_auth(variables: _Variables) -> Dict[str, Tuple[str, str]]:
    username, password = variables.secret("USERNAME"), variables.secret("PASSWORD")
    if username is None and password is None:
        return {}
    if username is None or password is None:
        there, missing = ("PASSWORD", "USERNAME") if username is None else ("USERNAME", "PASSWORD")
        raise ValueError(
            f"{variables.full(there)} is set, but {variables.full(missing)} is not: basic"
            " authentication needs both"
        )
    if ":" in username:  # RFC 7617 section 2
        raise ValueError(f"{variables.full('USERNAME')} must not hold a colon")
    return {"basic_auth": (username, password)}


def _either(variables: _Variables, name: str, other: str) -> str:
    return variables.full(name if variables.secret(name) is not None else other)


# -- the others ----------------------------------------------------------------------------------


def _verification(variables: _Variables) -> Dict[str, Any]:
    word, bundle = variables.get("VERIFY"), variables.get("CA_BUNDLE")
    verify = None if word is None else _bool(variables.full("VERIFY"), word)
    if bundle is None:
        return {} if verify is None else {"verify": verify}
    full = variables.full("CA_BUNDLE")
    if verify is False:
        raise ValueError(f"{full} says whom to trust, but {variables.full('VERIFY')} is off")
    if not os.path.exists(bundle):
        raise ValueError(f"{full} names a file that does not exist: {bundle}")
    return {"verify": bundle}


def _bool(full: str, value: str) -> bool:
    word = value.strip().lower()
    if word not in _WORDS:
        bundle = full.replace("_VERIFY", "_CA_BUNDLE")
        raise _wrong(full, value, f"true or false (the path of a CA bundle goes into {bundle})")
    return _WORDS[word]


def _seconds(full: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise _wrong(full, value, "a number of seconds above 0")
    return seconds


def _count(full: str, value: str) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise _wrong(full, value, "a whole number from 0")
    return int(text)


def _url(full: str, value: str) -> str:
    try:
        return check_base_url(value.strip())
    except ValueError as error:
        raise ValueError(f"{full}: {error}") from None


def _proxy(full: str, value: str) -> str:
    url = value.strip()
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:  # its password may be anywhere in it
        schemes = ", ".join(_PROXY_SCHEMES)
        raise ValueError(f"{full} must be the URL of a proxy, with one of the schemes {schemes}")
    return url


def _text(full: str, value: str) -> str:
    return value.strip()


def _wrong(full: str, value: str, wanted: str) -> ValueError:
    shown = redact_text(repr(value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"))
    return ValueError(f"{full} must be {wanted}, not {shown}")


_PLAIN: Mapping[str, Tuple[str, Callable[[str, str], Any]]] = {
    "base_url": ("BASE_URL", _url),
    "timeout": ("TIMEOUT", _seconds),
    "total_timeout": ("TOTAL_TIMEOUT", _seconds),
    "max_retries": ("MAX_RETRIES", _count),
    "api_version": ("API_VERSION", _text),
    "proxy": ("PROXY", _proxy),
}


__all__ = ["settings_from_env"]
