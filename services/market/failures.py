"""Why a source gave nothing: typed, so that the chain can decide, and said, so that the person can.

A message never holds a key, an address or a source's own text.
"""


class SourceFailure(Exception):
    """Base. `reason` is stable; `rest` is how many seconds to leave the source alone."""

    reason = "failed"
    rest = 0.0

    def __init__(self, message: str, *, rest: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        if rest is not None:
            self.rest = rest


class NoData(SourceFailure):
    """The source answered, and has nothing for this symbol or these dates."""

    reason = "no_data"


class Stale(SourceFailure):
    """What there is ends before what was asked for."""

    reason = "stale"


class SourceLimited(SourceFailure):
    """The source's quota is used up."""

    reason = "rate_limited"
    rest = 60.0


class NotConfigured(SourceFailure):
    """No key, or not switched on."""

    reason = "not_configured"


class Blocked(SourceFailure):
    """The source refuses us: key, region or consent page."""

    reason = "blocked"
    rest = 600.0


class Malformed(SourceFailure):
    """An answer that is not what the source promises, such as HTML with status 200."""

    reason = "malformed"
    rest = 30.0


class TimedOut(SourceFailure):
    """Nothing whole within the time limit."""

    reason = "timed_out"
    rest = 30.0


class Unreachable(SourceFailure):
    """No connection, or the source's own error."""

    reason = "unreachable"
    rest = 30.0
