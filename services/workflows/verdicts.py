"""What agents conclude, as values, and what it comes to together: computed here, never asked of a model. No I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, slots=True)
class Verdict:
    """One view. `stance` runs from -1 (against) to 1 (for), `confidence` from 0 to 100.

    Who abstained has no view: stance and confidence are 0 and count for nothing.
    """

    stance: float
    confidence: int
    horizon: str = ""
    summary: str = ""
    evidence_ids: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    invalidation: str = ""
    abstained: bool = False

    @property
    def label(self) -> str:
        """The stance in words."""
        return "abstained" if self.abstained else label(self.stance)

    def payload(self) -> dict[str, object]:
        """As it travels in events and history."""
        return {
            "stance": round(self.stance, 2),
            "label": self.label,
            "confidence": self.confidence,
            "horizon": self.horizon,
            "summary": self.summary,
            "evidenceIds": list(self.evidence_ids),
            "risks": list(self.risks),
            "invalidation": self.invalidation,
            "abstained": self.abstained,
        }

    def citing(self, known: Iterable[str]) -> "Verdict":
        """The same verdict, citing only evidence that exists."""
        ids = set(known)
        return replace(self, evidence_ids=tuple(id for id in self.evidence_ids if id in ids))


def abstention(summary: str) -> Verdict:
    """No view, and why."""
    return Verdict(0.0, 0, summary=summary, abstained=True)


def from_payload(payload: Mapping[str, object]) -> Verdict:
    """A verdict back from its payload."""
    return Verdict(
        float(payload["stance"]), int(payload["confidence"]), str(payload["horizon"]), str(payload["summary"]),
        tuple(payload["evidenceIds"]), tuple(payload["risks"]), str(payload["invalidation"]), bool(payload["abstained"]),
    )


def label(stance: float) -> str:
    """A stance in words."""
    for limit, word in ((-0.6, "strongly negative"), (-0.2, "negative"), (0.2, "neutral"), (0.6, "positive")):
        if stance < limit:
            return word
    return "strongly positive"


@dataclass(frozen=True, slots=True)
class Overall:
    """The views together. `agreement` is 0..1; the confidence says what it was lowered for."""

    stance: float
    confidence: int
    agreement: float | None
    voices: int
    abstained: int
    missing: int
    because: tuple[str, ...] = ()

    def payload(self) -> dict[str, object]:
        words = label(self.stance) if self.voices else "abstained"
        return {**asdict(self), "because": list(self.because), "label": words, "stance": round(self.stance, 2), "abstained": self.voices == 0,
                "abstentions": self.abstained}


def overall(views: Sequence[Verdict], missing: int = 0, data_age_days: float | None = None) -> Overall:
    """Weigh the views: computed, never asked of a model.

    The stance is the mean, weighted by confidence. Agreement is 1 minus the weighted mean distance from it.
    Confidence is the mean confidence × (0.5 + agreement / 2) × the root of the share of agents that have a view
    × the freshness of the data (1 up to a week old, 0.9 a month, 0.75 a year, 0.6 older).
    """
    voices = [view for view in views if not view.abstained]
    silent = len(views) - len(voices)
    if not voices:
        return Overall(0.0, 0, None, 0, silent, missing, ("no agent has a view",))
    weights = [max(view.confidence, 1) for view in voices]
    total = sum(weights)
    stance = sum(view.stance * weight for view, weight in zip(voices, weights)) / total
    agreement = 1 - min(1.0, sum(abs(view.stance - stance) * weight for view, weight in zip(voices, weights)) / total)
    share = len(voices) / (len(voices) + silent + missing)
    fresh = freshness(data_age_days)
    mean = sum(view.confidence for view in voices) / len(voices)
    confidence = mean * (0.5 + agreement / 2) * math.sqrt(share) * fresh
    because = tuple(
        words
        for words, holds in (("the views differ", agreement < 0.7), ("views are missing", share < 1), ("the data is old", fresh < 1))
        if holds
    )
    return Overall(stance, round(confidence), round(agreement, 2), len(voices), silent, missing, because)


def freshness(days: float | None) -> float:
    """How much data of that age still says about today; without a date, nothing is taken off."""
    if days is None:
        return 1.0
    return next((worth for limit, worth in ((7, 1.0), (31, 0.9), (366, 0.75)) if days <= limit), 0.6)
