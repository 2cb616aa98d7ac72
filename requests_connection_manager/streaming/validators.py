"""Which version of a file a response belongs to.

Holds the choice of a validator with which two parts can be told to be of one version (RFC 9110
sections 8.8 and 13.1.5). Pure: knows headers as a mapping that is looked up without regard to case,
no HTTP library and no files.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Mapping, Optional

# Visible ASCII only: what the grammar allows beyond it can't be sent back by every library.
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]+"')

# A file may be written twice within one second, and clocks differ: a date is a strong validator
# when the response was made well after it (section 8.8.2.2; RFC 7232 named this number).
_SETTLED_SECONDS = 60.0


def strong_validator(headers: Mapping[str, str]) -> Optional[str]:
    """Return what may be sent as ``If-Range`` to get more of the same version, or ``None``.

    That is a strong entity tag, else a ``Last-Modified`` that lies at least a minute before the
    ``Date`` of the response. With a weak entity tag there is none: it stands for what means the
    same, not for the same bytes, and rules the date out (section 13.1.5).

    >>> strong_validator({"ETag": '"v1"'})
    '"v1"'
    >>> strong_validator({"ETag": 'W/"v1"'}) is None
    True
    """
    etag = headers.get("ETag")
    if etag is not None:
        return etag.strip() if _STRONG_ETAG.fullmatch(etag.strip()) else None
    modified, made = _date(headers.get("Last-Modified")), _date(headers.get("Date"))
    if modified is None or made is None:
        return None
    settled = (made - modified).total_seconds() >= _SETTLED_SECONDS
    return headers["Last-Modified"].strip() if settled else None


def contradicts(headers: Mapping[str, str], validator: str) -> bool:
    """Tell whether a response names another version than that of ``validator``.

    One that names none does not: it answers an ``If-Range``, by which the server promised.

    >>> contradicts({"ETag": '"v2"'}, '"v1"'), contradicts({}, '"v1"')
    (True, False)
    """
    named = headers.get("ETag" if validator.startswith('"') else "Last-Modified")
    return named is not None and named.strip() != validator


def _date(text: Optional[str]) -> Optional[datetime]:
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


__all__ = ["contradicts", "strong_validator"]
