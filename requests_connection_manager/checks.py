"""Checks of what constructors take beside the settings: pools, TLS and clocks.

Knows the settings, no HTTP library.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any, Mapping, Tuple

from .settings import unknown_setting

logger = logging.getLogger("requests_connection_manager")


def refuse_unknown(unknown: Mapping[str, Any], constructor: Any) -> None:
    """Refuse keywords that a constructor does not take, naming the nearest that it does."""
    for name in unknown:
        import inspect

        known = [one for one in inspect.signature(constructor).parameters if one != "self"]
        raise TypeError(unknown_setting(name, known[:-1], "manager"))


def check_pools(pool_connections: Any, pool_maxsize: Any) -> Tuple[int, int]:
    """Return the pool sizes, checked."""
    for name, value in (("pool_connections", pool_connections), ("pool_maxsize", pool_maxsize)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int of at least 1, not {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be an int of at least 1, not {value!r}")
    return pool_connections, pool_maxsize


_CLOCK = ("monotonic", "time", "sleep", "asleep")


def check_clock(clock: Any) -> None:
    """Refuse what can't be asked for the time."""
    if clock is not None and not all(callable(getattr(clock, one, None)) for one in _CLOCK):
        raise TypeError(f"clock must have the methods {', '.join(_CLOCK)}, not {clock!r}")


def check_tls(verify: Any, cert: Any, ssl_context: Any) -> None:
    """Refuse contradictory TLS settings, and say aloud when verification is off."""
    if not isinstance(verify, (bool, str, ssl.SSLContext)):
        raise TypeError(f"verify must be True, False or the path of a CA bundle, not {verify!r}")
    if cert is not None and not _is_cert(cert):
        raise TypeError(f"cert must be a path or a (certificate, key) tuple of paths, not {cert!r}")
    if ssl_context is not None:
        if not isinstance(ssl_context, ssl.SSLContext):
            raise TypeError(f"ssl_context must be an ssl.SSLContext, not {ssl_context!r}")
        if verify is not True or cert is not None:
            other = "verify" if verify is not True else "cert"
            raise ValueError(
                f"ssl_context together with {other} is contradictory: the context is used as it "
                f"is; load what {other} names into the context, or leave the context out"
            )
    elif verify is False:
        logger.warning("verify=False: TLS certificates are not verified, anyone can read along")


def _is_cert(cert: Any) -> bool:
    if isinstance(cert, str):
        return True
    return isinstance(cert, tuple) and len(cert) in (2, 3) and isinstance(cert[0], str)
