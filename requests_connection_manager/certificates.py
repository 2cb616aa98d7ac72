"""Which certificates are trusted, and whether an error is about one.

Holds :func:`context_for`, :func:`add_certificate` and :func:`is_verification`; knows no HTTP
library.
"""

from __future__ import annotations

import errno
import os
import ssl
from typing import List, Optional, Tuple, Union


def context_for(bundle: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the authorities in a file or a folder, and no others.

    :raises OSError: if there is no such file, or no certificate in it.
    """
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    _check_file(bundle)
    return ssl.create_default_context(cafile=bundle)


def add_certificate(context: ssl.SSLContext, cert: Union[str, Tuple[str, ...]]) -> None:
    """Let a context show a client certificate.

    :param cert: the file, or those of certificate and key, and the password of the key.
    :raises OSError: if there is no such file, or no certificate or key in it.
    """
    parts = (cert,) if isinstance(cert, str) else tuple(cert)
    for path in parts[:2]:
        _check_file(path)
    context.load_cert_chain(*parts)


def _check_file(path: str) -> None:
    # The errors of ssl do not name it.
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


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


__all__ = ["add_certificate", "context_for", "is_verification"]
