"""What a redirect to another origin must not take along.

Knows the configuration and names of headers, no HTTP library.
"""

from __future__ import annotations

from typing import Iterable, List

from .endpoints import Configuration
from .redaction import is_sensitive_field

# requests and httpx strip and restore these themselves when they follow a redirect.
_LIBRARYS_OWN = frozenset({"authorization", "proxy-authorization", "cookie"})


def sensitive_names(headers: Iterable[str], configuration: Configuration) -> List[str]:
    """Return the names of those headers that must not reach another origin."""
    keys = {
        str(declared.get("api_key_header", "")).lower()
        for declared in (configuration.declared, *configuration.endpoints.values())
    }
    return [
        name
        for name in list(headers)
        if name.lower() not in _LIBRARYS_OWN and (name.lower() in keys or is_sensitive_field(name))
    ]
