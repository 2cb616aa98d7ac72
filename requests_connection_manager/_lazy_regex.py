"""Regular expressions that are compiled when they are first used.

Compiling those of ``redaction`` and ``patterns`` takes as long as a twentieth of importing the
package, and most programs never need most of them. Knows ``re`` only.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, Pattern, cast


class _Uncompiled:
    """Stands in for a pattern; each method is looked up once and then kept."""

    def __init__(self, source: Any, flags: int) -> None:
        self._source = source
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        # re keeps compiled patterns itself, so asking for a second method compiles nothing.
        value = getattr(re.compile(self._source, self._flags), name)
        self.__dict__[name] = value
        return value


def lazy_regex(source: AnyStr, flags: int = 0) -> Pattern[AnyStr]:
    """Return what behaves like ``re.compile(source, flags)`` when its methods are called.

    >>> lazy_regex("a+").match("aab").group()
    'aa'
    """
    return cast("Pattern[AnyStr]", _Uncompiled(source, flags))
