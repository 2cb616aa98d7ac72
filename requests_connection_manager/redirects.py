"""What a redirect to another origin must not take along.

Knows the configuration and names of headers, no HTTP library.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Set

from .endpoints import Configuration
from .redaction import is_sensitive_field

# requests and httpx strip and restore these themselves when they follow a redirect.
_LIBRARYS_OWN = frozenset({"authorization", "proxy-authorization", "cookie"})


def sensitive_names(headers: Iterable[str], configuration: Configuration) -> List[str]:
    """Return the names of those headers that must not reach another origin."""
    keys = _key_headers(configuration)
    return [
        name
        for name in list(headers)
        if name.lower() not in _LIBRARYS_OWN and (name.lower() in keys or is_sensitive_field(name))
    ]


def without_added_secrets(
    before: Mapping[str, Any], after: Mapping[str, str], configuration: Configuration
) -> Dict[str, str]:
    """Return ``after`` without the secrets that hooks put on a redirect to another origin.

    :param before: the headers of the redirect's request, looked up without regard to case.
    """
    keys = _key_headers(configuration)
    return {
        name: value
        for name, value in after.items()
        if before.get(name) == value or not (name.lower() in keys or is_sensitive_field(name))
    }


def _key_headers(configuration: Configuration) -> Set[str]:
    return {
        str(declared.get("api_key_header", "")).lower()
        for declared in (configuration.declared, *configuration.endpoints.values())
    }
