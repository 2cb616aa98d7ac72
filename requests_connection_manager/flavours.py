"""Which class of an error is raised, so that it is the HTTP library's own as well.

Holds :class:`Flavours`, the table that each driver fills in for its library. Knows the exception
tree, no HTTP library.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Tuple, Type

from .exceptions import ConnectionManagerError
from .outcome import Outcome

ErrorClass = Type[ConnectionManagerError]


class Flavours(NamedTuple):
    """Our errors as subclasses of one library's.

    :ivar refusals: those that no attempt led to.
    :ivar by_error: for retries that ended with a library's error, the most specific first.
    :ivar status: for retries that ended with a status.
    :ivar throttled: for retries that ended with a 429.
    :ivar other: for retries that ended with anything else.
    :ivar answers: for responses that were final, by our class for their status.
    :ivar broken: for bodies that broke off, by the library's error, the most specific first; the
        last is for those that ended too early without one.
    """

    refusals: Mapping[ErrorClass, ErrorClass]
    by_error: Tuple[Tuple[Type[Exception], ErrorClass], ...]
    status: ErrorClass
    throttled: ErrorClass
    other: ErrorClass
    answers: Mapping[ErrorClass, ErrorClass]
    broken: Tuple[Tuple[Type[Exception], ErrorClass], ...] = ()

    def pick(self, kind: ErrorClass, outcome: Optional[Outcome]) -> ErrorClass:
        """Return the class of ``kind`` that is also the library's own for this outcome."""
        if kind in self.refusals:
            return self.refusals[kind]
        if kind in self.answers:
            return self.answers[kind]
        if outcome is None:
            return self.other
        if outcome.error is None:
            return self.throttled if outcome.throttled else self.status
        for library, both in self.by_error:
            if isinstance(outcome.error, library):
                return both
        return self.other

    def pick_broken(self, error: Optional[Exception]) -> ErrorClass:
        """Return the class for a body that broke off, also the library's own for this error."""
        for library, both in self.broken:
            if isinstance(error, library):
                return both
        return self.broken[-1][1]
