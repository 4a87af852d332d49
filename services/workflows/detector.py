"""Which workflow a message asks for, if any, and why. No I/O: the same message gives the same answer.

What is certain is decided by rules (a workflow named outright, a refusal, "just …", an order to trade); the rest by a
small linear model over concepts, trained by scripts/train_detector.py, with "none" as one of its classes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.workflows import lexicon
from services.workflows.catalogue import WORKFLOWS
from services.workflows.features import Phrases, Reading, read, window

WEIGHTS_FILE = Path(__file__).with_name("detector.json")
PHRASES = Phrases(
    lexicon.CONCEPTS
    | {"#negation": lexicon.NEGATION, "#brief": lexicon.BRIEF, "#trade": lexicon.TRADE_OBJECTS, "#start": lexicon.STARTERS}
    | {f"@{workflow}": names for workflow, names in lexicon.NAMES.items()}
)
_MODEL = json.loads(WEIGHTS_FILE.read_text(encoding="utf-8")) if WEIGHTS_FILE.exists() else {"classes": [], "weights": {}}
UNCERTAIN = 0.15  # so close to the threshold, a model may be asked (arbiter.py)


@dataclass(frozen=True, slots=True)
class Detection:
    """What a message would start. `workflow` is None for a direct answer; `confidence` (0..1) is in that decision.

    `alternatives` are the next likely workflows; `uncertain` says that a model's opinion could change the decision.
    """

    workflow: str | None
    confidence: float
    reason: str
    symbols: tuple[str, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()
    uncertain: bool = False

    def payload(self) -> dict[str, object]:
        """The JSON object of `POST /api/workflows/detect`."""
        return {
            "workflow": self.workflow,
            "name": WORKFLOWS[self.workflow].name if self.workflow else None,
            "confidence": round(self.confidence, 3),
            "reason": self.reason,
            "symbols": list(self.symbols),
            "alternatives": [
                {"workflow": id, "name": WORKFLOWS[id].name, "confidence": round(confidence, 3)} for id, confidence in self.alternatives
            ],
        }


def detect(message: str, symbols: Sequence[str] = ()) -> Detection:
    """Decide what a message starts; `symbols` are those it names or is asked about."""
    reading = read(window(message), len(set(symbols)), PHRASES)
    decision = certain(reading) or _likely(reading)
    return replace(decision, symbols=tuple(dict.fromkeys(symbols)))


def chosen(workflow: str, symbols: Sequence[str] = ()) -> Detection:
    """The decision when the person has made it: `off` or a workflow's id."""
    if workflow == "off":
        return Detection(None, 1.0, "Workflows are off for this question.", tuple(symbols))
    return Detection(workflow, 1.0, f"{WORKFLOWS[workflow].name} was chosen.", tuple(symbols))


def certain(reading: Reading) -> Detection | None:
    """The rules, the strongest first. A refusal outranks the workflow it names."""
    said = reading.labels
    if "#negation" in said:
        return Detection(None, 0.97, f"You ask for an answer without one (“{reading.quote('#negation')}”).")
    named = next((label for label in said if label.startswith("@")), None)
    if named and ("#start" in said or "workflow" in reading.words):
        return Detection(named[1:], 0.98, f"You ask for it by name (“{reading.quote(named)}”).")
    if _is_trade(reading):
        return Detection(None, 0.95, "An order to trade. Tickertape places no orders; it answers about them.")
    if "#brief" in said:
        return Detection(None, 0.93, f"You ask for something short (“{reading.quote('#brief')}”).")
    return None


def _is_trade(reading: Reading) -> bool:
    """An imperative to trade: the verb opens the message, and no question of whether to stands beside it."""
    rest = (word for word in reading.words if word not in lexicon.POLITE)
    if next(rest, "") not in lexicon.TRADE_VERBS:
        return False
    amount = any(word[0].isdigit() for word in reading.words)
    doubts = {"should", "compare", "or", "debate"} | ({"rating"} if "order" not in reading.labels else set())
    undecided = doubts & reading.labels.keys()
    return (amount or "#trade" in reading.labels) and not undecided


def _likely(reading: Reading) -> Detection:
    """The linear model's decision."""
    probabilities = _probabilities(reading)
    none, flows = probabilities.pop("none"), sorted(probabilities.items(), key=lambda pair: -pair[1])
    (best, chance), threshold = flows[0], _MODEL["threshold"]
    others = tuple((id, p) for id, p in flows[1:4] if p >= 0.05)
    uncertain = abs(chance - threshold) < UNCERTAIN
    if chance >= threshold:
        return Detection(best, chance, _why(best, reading), alternatives=others, uncertain=uncertain)
    near = ((best, chance), *others) if chance >= 0.05 else others
    return Detection(None, max(none, 1 - chance), _why_not(reading), alternatives=near[:3], uncertain=uncertain)


def _probabilities(reading: Reading) -> dict[str, float]:
    weights, scores = _MODEL["weights"], list(_MODEL["bias"])
    for feature in reading.features:
        for index, weight in enumerate(weights.get(feature, ())):
            scores[index] += weight
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return {name: power / sum(powers) for name, power in zip(_MODEL["classes"], powers)}


# What a person reads as the reason: a sentence, and the concepts whose words are quoted with it.
_WHY: dict[str, tuple[str, tuple[str, ...]]] = {
    "investmentResearch": ("A decision about an investment is better seen from several sides", ("should", "rating", "study", "invest")),
    "assetComparison": ("You set assets side by side", ("compare", "or", "and")),
    "portfolioAnalysis": ("You ask about holdings as a whole", ("portfolio", "balance")),
    "riskAssessment": ("You ask what can be lost", ("loss", "risk", "protect")),
    "marketOpportunity": ("You look for where to invest", ("chance", "seek", "field")),
    "macroImpact": ("You ask what the economy does to investments", ("macro", "effect")),
    "marketDebate": ("You ask for both sides", ("debate",)),
}
_WHY_NOT: tuple[tuple[str, str], ...] = (
    ("elsewhere", "It is not about investments."),
    ("talk", "A remark, not a question for specialists."),
    ("learn", "An explanation: one answer is enough."),
    ("lookup", "A single fact to look up: one answer is enough."),
)


def _why(workflow: str, reading: Reading) -> str:
    sentence, concepts = _WHY[workflow]
    quotes = [reading.quote(concept) for concept in concepts if concept in reading.labels][:2]
    return f"{sentence} ({', '.join(f'“{quote}”' for quote in quotes)})." if quotes else f"{sentence}."


def _why_not(reading: Reading) -> str:
    return next((why for concept, why in _WHY_NOT if concept in reading.labels), "Nothing in it asks for more than one answer.")
