"""The state of one call, from its first hop to its last.

Holds :class:`Call`, which the faces create and every hop of a redirect or an auth flow shares.
Knows no HTTP library.
"""

from __future__ import annotations

from typing import Any, FrozenSet, List, Mapping, Optional, Tuple

from urllib3.util.retry import Retry as UrllibRetry

from .endpoints import Configuration, Policy
from .events import AttemptFinished
from .origins import Origin
from .policies.deadline import Deadline
from .settings import Settings

NO_NAMES: FrozenSet[str] = frozenset()


class Call:
    """What belongs to one call of the user, whatever number of hops and attempts it takes.

    :ivar configuration: the snapshot of the settings with which the call began.
    :ivar overrides: the checked settings of this call alone.
    :ivar explicit: lower-case names of the headers that the call itself gave; names of query
        parameters have a ``?`` before them.
    :ivar from_netrc: the ``Authorization`` of the first hop comes from netrc.
    :ivar first_origin: where manager-wide credentials may go.
    :ivar deadline: when all of it must be over.
    :ivar stream: the caller reads the body.
    :ivar attempts: the history, over all hops.
    :ivar owner: the manager whose call it is.
    :ivar timeout_given: the caller gave a timeout; otherwise each hop has that of its own URL.
    :ivar sent: the first hop is under way; a further ``send`` is a redirect's or somebody else's.
    :ivar redirecting: the next ``send`` is a redirect's.
    :ivar origin: the origin of the latest hop.
    :ivar target: where its latest request leads; only httpx's faces remember it.
    :ivar crew: the batch that the call belongs to, which can end it.
    :ivar auth_used: the auth object with which the call began, where it is an endpoint's.
    :ivar before_auth: the headers before an auth flow added its own; only httpx's faces set it.
    :ivar expected: the request with which the call began: sending it again joins the call.
    :ivar spent_body: a body that was sent and can't be sent again.
    :ivar preparing: the request of the call is being prepared; what is sent meanwhile is not its.
    :ivar members: the requests of the call so far: sending one of them again joins the call.
    :ivar answering: hooks of an endpoint's auth are at work; what they send needs no more auth.
    :ivar carried: lower-case names of the headers that listeners put on attempts so far.
    :ivar anonymous: no credentials of any level go with it.
    :ivar late: its time was found to be up, by a clock or by a timer that is a moment ahead.
    """

    __slots__ = (
        "_key",
        "anonymous",
        "answering",
        "attempts",
        "auth_used",
        "before_auth",
        "carried",
        "configuration",
        "crew",
        "deadline",
        "expected",
        "explicit",
        "finished",
        "first_origin",
        "from_netrc",
        "late",
        "members",
        "origin",
        "overrides",
        "owner",
        "preparing",
        "redirecting",
        "sent",
        "spent_body",
        "stream",
        "target",
        "timeout_given",
        "user_trace",
    )

    def __init__(
        self,
        configuration: Configuration,
        overrides: Mapping[str, Any],
        first_origin: Optional[Origin] = None,
    ) -> None:
        self.configuration = configuration
        self.overrides = overrides
        self.explicit = NO_NAMES
        self.from_netrc = False
        self.first_origin = first_origin
        self.deadline: Optional[Deadline] = None
        self.stream = False
        self.attempts: List[AttemptFinished] = []
        self.spent_body: Any = None
        self.finished = False
        self.owner: object = None
        self.timeout_given = True
        self.sent = False
        self.redirecting = False
        self.origin: Optional[Origin] = None
        self.target: Any = None
        self.crew: Any = None
        self.auth_used: Any = None
        self.before_auth: Any = None
        self.expected: Any = None
        self.preparing = False
        self.members: List[Any] = []
        self.answering = False
        self.anonymous = False
        self.late = False
        self.carried = NO_NAMES
        self.user_trace: Any = None
        self._key: Optional[str] = None

    def settings_for(self, policy: Policy) -> Tuple[Settings, UrllibRetry]:
        """Return the settings and the retry policy of a hop, this call's own included."""
        if not self.overrides:
            return policy.settings, policy.retry
        settings = policy.settings.merged(self.overrides)
        return settings, settings.retry()

    def idempotency_key(self) -> str:
        """Return the key of this call, the same on every attempt."""
        if self._key is None:
            import uuid  # only here: it loads the platform module

            self._key = str(uuid.uuid4())
        return self._key
