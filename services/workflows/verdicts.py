"""What agents conclude, as values, and what it comes to together: computed here, never asked of a model. No I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace


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
    """The views together. `agreement` is 0..1; `because` says what the confidence was lowered for.

    `by_symbol` is the mean stance on each symbol, where views are about one symbol each.
    """

    stance: float
    confidence: int
    agreement: float | None
    voices: int
    abstained: int
    missing: int
    because: tuple[str, ...] = ()
    by_symbol: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return label(self.stance) if self.voices else "abstained"

    @property
    def favoured(self) -> str | None:
        """The symbol with the best stance, where several were judged and one is ahead."""
        ranked = sorted(self.by_symbol, key=self.by_symbol.get, reverse=True)
        if len(ranked) < 2 or self.by_symbol[ranked[0]] - self.by_symbol[ranked[1]] < 0.1:
            return None
        return ranked[0]

    def payload(self) -> dict[str, object]:
        """As it travels in events and history."""
        return {
            "stance": round(self.stance, 2),
            "label": self.label,
            "confidence": self.confidence,
            "agreement": self.agreement,
            "voices": self.voices,
            "abstained": self.voices == 0,
            "abstentions": self.abstained,
            "missing": self.missing,
            "because": list(self.because),
            "bySymbol": dict(self.by_symbol),
            "favoured": self.favoured,
        }


View = tuple[Verdict, str | None]  # a verdict, and the one symbol it is about


def overall(views: Sequence[View], missing: int = 0, data_age_days: float | None = None) -> Overall:
    """Weigh the views: computed, never asked of a model.

    The stance is the mean, weighted by confidence. Agreement is 1 minus the weighted mean distance of each view from the
    mean of those about the same thing: to like one share and not another is no contradiction. Confidence is the mean
    confidence × (0.5 + agreement / 2) × the root of the share of agents that have a view × the freshness of the data
    (1 up to a week old, 0.9 a month, 0.75 a year, 0.6 older).
    """
    voices = [view for view in views if not view[0].abstained]
    silent = len(views) - len(voices)
    if not voices:
        return Overall(0.0, 0, None, 0, silent, missing, ("no agent has a view",))
    means = {about: _mean([verdict for verdict, other in voices if other == about]) for _, about in voices}
    total = sum(_weight(verdict) for verdict, _ in voices)
    distance = sum(abs(verdict.stance - means[about]) * _weight(verdict) for verdict, about in voices) / total
    agreement = 1 - min(1.0, distance)
    share, fresh = len(voices) / (len(views) + missing), freshness(data_age_days)
    confidence = sum(verdict.confidence for verdict, _ in voices) / len(voices) * (0.5 + agreement / 2) * math.sqrt(share) * fresh
    because = (
        ("the views differ", agreement < 0.7),
        ("views are missing", missing > 0),
        ("not every specialist has a view", silent > 0),
        ("the data is old", fresh < 1),
    )
    return Overall(
        _mean([verdict for verdict, _ in voices]), round(confidence), round(agreement, 2), len(voices), silent, missing,
        tuple(words for words, holds in because if holds), {about: round(mean, 2) for about, mean in means.items() if about},
    )  # fmt: skip


def _weight(verdict: Verdict) -> int:
    return max(verdict.confidence, 1)


def _mean(verdicts: Sequence[Verdict]) -> float:
    return sum(verdict.stance * _weight(verdict) for verdict in verdicts) / sum(map(_weight, verdicts))


def freshness(days: float | None) -> float:
    """How much data of that age still says about today; without a date, nothing is taken off."""
    if days is None:
        return 1.0
    return next((worth for limit, worth in ((7, 1.0), (31, 0.9), (366, 0.75)) if days <= limit), 0.6)
