"""Where a body that is read while it is sent can be brought back to.

Holds :func:`position_of`, the one rule by which a stream counts as seekable. Knows no HTTP library.
"""

from __future__ import annotations

from typing import Any, Optional


def position_of(stream: Any) -> Optional[int]:
    """Return where a stream stands, if it can be brought back there; else ``None``.

    >>> import io
    >>> position_of(io.BytesIO(b"abc")), position_of(iter(b"abc"))
    (0, None)
    """
    if not hasattr(stream, "seek"):
        return None
    seekable = getattr(stream, "seekable", None)
    try:
        if callable(seekable) and not seekable():
            return None
        return int(stream.tell())
    except (AttributeError, OSError, TypeError, ValueError):
        return None


__all__ = ["position_of"]
