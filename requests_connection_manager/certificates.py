"""Which certificates are trusted, and whether an error is about one.

Holds :func:`context_for` and :func:`is_verification`; knows no HTTP library.
"""

from __future__ import annotations

import os
import ssl
from typing import List, Optional


def context_for(bundle: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the authorities in a file or a folder, and no others."""
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def is_verification(error: BaseException) -> bool:
    """Tell whether the server's certificate was refused, then or by what led to ``error``.

    >>> is_verification(ssl.SSLCertVerificationError()), is_verification(OSError())
    (True, False)
    """
    # Chains can be circles: ``raise error.origin from error`` makes one.
    seen: List[BaseException] = []
    found: Optional[BaseException] = error
    while found is not None and found not in seen:
        if isinstance(found, ssl.CertificateError):
            return True
        seen.append(found)
        found = found.__cause__ or found.__context__
    return False


__all__ = ["context_for", "is_verification"]
