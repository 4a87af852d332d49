"""What a reader of a turn's events has on the screen: the events folded into text. Values only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Replayed:
    """The answer as its events leave it. `blocks` are finished ones, in order, each with its `html` and `end`."""

    text: str = ""
    reasoning: str = ""
    blocks: list[Mapping[str, object]] = field(default_factory=list)
    switches: list[Mapping[str, object]] = field(default_factory=list)
    provider: str | None = None
    model: str | None = None

    @property
    def html(self) -> str:
        return "".join(str(block["html"]) for block in self.blocks)


def replay(events: Iterable[Mapping[str, object]]) -> Replayed:
    """Fold the JSON objects of a turn's events. Text is joined once, so this is linear."""
    answer = Replayed()
    pieces: list[str] = []
    reasoning: list[str] = []
    for event in events:
        match event["type"]:
            case "token" if event.get("channel") == "reasoning":
                reasoning.append(event["content"])
            case "token":
                pieces.append(event["content"])
                made = event.get("metadata") or {}
                answer.provider = made.get("provider", answer.provider)
                answer.model = made.get("model", answer.model)
            case "block":
                answer.blocks[event["index"]:] = [event]  # after a switch an index may come again; the later one counts
            case "provider_switch":
                kept = event["discardFrom"]
                pieces = ["".join(pieces)[:kept]]
                reasoning = []
                answer.blocks = [block for block in answer.blocks if block["end"] <= kept]
                answer.switches.append(event)
    answer.text = "".join(pieces)
    answer.reasoning = "".join(reasoning)
    return answer
