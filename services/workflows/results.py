"""What a node leaves behind, and what keeps it: values, and the small interface of the checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from services.events import wire
from services.llm.deltas import Usage
from services.workflows.verdicts import Verdict, from_payload


@dataclass(frozen=True, slots=True)
class NodeResult:
    """A finished node: its prose, its verdict, and how it was made."""

    node: str
    agent: str
    text: str
    verdict: Verdict
    provider: str
    model: str
    usage: tuple[Usage, ...] = ()
    duration_ms: int = 0
    reason: str = "stop"

    def payload(self) -> dict[str, object]:
        """As plain JSON values, for the checkpoint."""
        return {
            "node": self.node, "agent": self.agent, "text": self.text, "verdict": self.verdict.payload(), "provider": self.provider,
            "model": self.model, "usage": [asdict(usage) for usage in self.usage], "durationMs": self.duration_ms, "reason": self.reason,
        }  # fmt: skip

    def counted(self) -> list[dict[str, object]]:
        """What it cost, as it is shown."""
        return [wire(usage) | {"cost": usage.cost} for usage in self.usage]

    @classmethod
    def from_payload(cls, payload: Mapping[str, object]) -> "NodeResult":
        """Back from `payload`."""
        return cls(
            str(payload["node"]), str(payload["agent"]), str(payload["text"]), from_payload(payload["verdict"]), str(payload["provider"]),
            str(payload["model"]), tuple(Usage(**usage) for usage in payload["usage"]), int(payload["durationMs"]), str(payload["reason"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Missing:
    """A view that is not there. `text` is what its agent had written, when it was cut at the budget."""

    node: str
    agent: str
    reason: str
    text: str = ""


class Checkpoints(Protocol):
    """Where finished nodes are kept. `save` returns when the result is durable; it is called before anybody hears of it."""

    def load(self, run_id: str) -> Mapping[str, NodeResult]: ...

    def save(self, run_id: str, result: NodeResult) -> None: ...


class MemoryCheckpoints:
    """Checkpoints that last as long as this object; they survive the engine, not the process."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, NodeResult]] = {}

    def load(self, run_id: str) -> Mapping[str, NodeResult]:
        return dict(self._runs.get(run_id, {}))

    def save(self, run_id: str, result: NodeResult) -> None:
        self._runs.setdefault(run_id, {})[result.node] = result


def spent(usage: Sequence[Usage]) -> tuple[int, float]:
    """Tokens and known cost of so much usage."""
    return sum(u.prompt_tokens + u.completion_tokens for u in usage), sum(u.cost or 0.0 for u in usage)
