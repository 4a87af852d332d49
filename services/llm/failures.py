"""What can go wrong at a provider, and what follows from it: the table that the plan and the circuits read."""

from dataclasses import dataclass
from enum import Enum, auto


class Again(Enum):
    """Whether the same provider is asked once more."""

    NEVER = auto()
    FAST = auto()
    JITTER = auto()  # after a short random pause, so that many do not come back at the same instant
    IF_ALONE = auto()  # only where no other provider could answer
    AFTER_WAIT = auto()  # the same, and only when it says that it takes at most two seconds
    ADJUSTED = auto()  # once without the parameter or value it refused


class Next(Enum):
    """Whether another provider is asked."""

    YES = auto()
    NO = auto()
    LARGER = auto()  # only one with a larger window
    IF_ALLOWED = auto()  # only where the settings allow it


class Trip(Enum):
    """What it means for the circuit."""

    NONE = auto()
    COUNTS = auto()
    UNTIL = auto()  # open until Retry-After, else 5 s doubling to 60 s
    LONG = auto()  # open for ten minutes
    CONFIGURATION = auto()  # open until somebody changes the settings
    MODEL = auto()  # this model only


@dataclass(frozen=True, slots=True)
class Policy:
    again: Again
    onward: Next
    trip: Trip
    message: str
    retryable: bool = True


_BUSY = "The model provider is busy at the moment. Please try again shortly."
_DOWN = "The model provider could not be reached. Please try again shortly."
_BROKEN = "The answer broke off before it was complete. Please try again."
_LATE = "The model provider did not answer in time. Please try again."
_LIMITED = "The model provider's rate limit is reached. Please try again shortly."
_LONG = "This is too long for the model. Please shorten the message or start a new conversation."
_FILTERED = "The model provider's content filter refused this message."
_GONE = "This model is not available. Please choose another."
_OPERATOR = "The model provider is not set up correctly. The operator of this server has to look at it."

POLICIES: dict[str, Policy] = {
    "connect": Policy(Again.FAST, Next.YES, Trip.COUNTS, _DOWN),
    "timeout": Policy(Again.NEVER, Next.YES, Trip.COUNTS, _LATE),
    "server_error": Policy(Again.JITTER, Next.YES, Trip.COUNTS, _BUSY),
    "request_timeout": Policy(Again.FAST, Next.YES, Trip.COUNTS, _BUSY),
    "conflict": Policy(Again.FAST, Next.YES, Trip.NONE, _BUSY),
    "rate_limited": Policy(Again.AFTER_WAIT, Next.YES, Trip.UNTIL, _LIMITED),
    "quota": Policy(Again.NEVER, Next.YES, Trip.LONG, _OPERATOR, False),
    "auth": Policy(Again.NEVER, Next.YES, Trip.CONFIGURATION, _OPERATOR, False),
    "refused_address": Policy(Again.NEVER, Next.YES, Trip.LONG, _OPERATOR, False),
    "not_configured": Policy(Again.NEVER, Next.YES, Trip.LONG, "No model provider is set up on this server.", False),
    "model_not_found": Policy(Again.NEVER, Next.YES, Trip.MODEL, _GONE, False),
    "context_length": Policy(Again.NEVER, Next.LARGER, Trip.NONE, _LONG, False),
    "content_filter": Policy(Again.NEVER, Next.IF_ALLOWED, Trip.NONE, _FILTERED, False),
    "unsupported": Policy(Again.ADJUSTED, Next.NO, Trip.NONE, "The model provider cannot do what was asked for.", False),
    "invalid": Policy(Again.NEVER, Next.NO, Trip.NONE, "The model provider refused this request.", False),
    "bad_response": Policy(Again.NEVER, Next.YES, Trip.COUNTS, _DOWN),
    "cut": Policy(Again.IF_ALONE, Next.YES, Trip.COUNTS, _BROKEN),
    "stall": Policy(Again.IF_ALONE, Next.YES, Trip.COUNTS, _BROKEN),
    "deadline": Policy(Again.NEVER, Next.NO, Trip.NONE, "The answer took too long and was ended."),
}
CREDENTIAL_ONLY = frozenset({"rate_limited", "quota", "auth"})  # another key of the same provider may well work


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, classified. It holds no text of the provider, so that it may be logged as it is."""

    kind: str
    status: int | None = None
    retry_after: float | None = None
    param: str = ""
    of_value: bool = False  # it is a value of `param` that is refused, not the parameter
    limit: int | None = None  # tokens that would fit, or may be asked for, where the provider said so

    @property
    def policy(self) -> Policy:
        return POLICIES[self.kind]
