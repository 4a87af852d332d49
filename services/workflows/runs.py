"""The state of a run, folded from its events: the same for a live run, after a reload, on another worker, in history."""

from collections.abc import Iterable, Mapping

_NODE_STATES = {
    "agent.started": "running", "agent.completed": "done", "agent.failed": "failed", "agent.skipped": "skipped",
}  # fmt: skip
_RUN_STATES = {"workflow.started": "running", "workflow.completed": "done", "workflow.failed": "failed"}
_ABOUT = ("workflowId", "workflow", "name", "message", "reason", "estimatedTime")

Json = Mapping[str, object]


class RunState:
    """What is known of one run: feed it the turn's events, in order.

    A run and its nodes are waiting, running, done or failed; a node may be skipped, both may be stopped.
    """

    def __init__(self) -> None:
        self._run: dict[str, object] = {"workflowId": None, "workflow": None, "state": "waiting", "progress": 0.0}
        self._nodes: list[dict[str, object]] = []
        self._texts: list[list[str]] = []

    @classmethod
    def of(cls, events: Iterable[Json]) -> "RunState":
        """The state after these events; those that say nothing of a workflow are passed over."""
        state = cls()
        for event in events:
            state.apply(event)
        return state

    def __bool__(self) -> bool:
        """Whether there is a run at all."""
        return bool(self._nodes)

    @property
    def workflow(self) -> str | None:
        """The id of the workflow that runs."""
        return self._run["workflow"]

    @property
    def result(self) -> Json:
        """What the end of the run said of it; empty before."""
        return self._run.get("result", {})

    def apply(self, event: Json) -> None:
        """Take one more event into account."""
        kind = event["type"]
        if kind == "workflow_detected":
            self._detected(event)
        elif kind == "workflow_update" and self._nodes:
            self._updated(event)
        elif kind in ("chat_completed", "error"):
            self._ended("failed" if kind == "error" else "stopped")

    def to_dict(self, *, texts: bool = True) -> dict[str, object]:
        """The run with its nodes, as JSON values; without `texts`, only their length is told."""
        told = ["".join(pieces) for pieces in self._texts]
        nodes = [node | ({"text": text} if texts else {"characters": len(text)}) for node, text in zip(self._nodes, told)]
        return {**self._run, "nodes": nodes}

    def _detected(self, event: Json) -> None:
        """A run, or its next attempt, which tells again what the last one finished."""
        self._run = {key: event[key] for key in _ABOUT} | {"state": "waiting", "progress": 0.0}
        self._nodes = [{**step, "state": "waiting"} for step in event["agents"]]
        self._texts = [[] for _ in self._nodes]

    def _updated(self, event: Json) -> None:
        kind = str(event["eventType"])
        self._run["progress"] = event["progress"]
        if kind in _RUN_STATES:
            self._run["state"] = _RUN_STATES[kind]
            self._run["startedAt" if kind == "workflow.started" else "endedAt"] = event["timestamp"]
            if kind != "workflow.started":
                self._run["result"] = {"message": event["message"], **event["data"]}
                self._close("stopped")
        else:
            self._told(int(event["stepIndex"]), kind, event)

    def _told(self, step: int, kind: str, event: Json) -> None:
        """One event of a node."""
        node, data = self._nodes[step], event["data"]
        if kind == "agent.token":
            self._texts[step].append(data["content"])
            return
        node["message"] = event["message"]
        if kind == "agent.started":
            node |= {"state": "running", "startedAt": event["timestamp"]}
            self._texts[step] = []
        elif kind in _NODE_STATES:
            node |= {"state": _NODE_STATES[kind], "endedAt": event["timestamp"]}
            node["result"] = {key: value for key, value in data.items() if key not in ("nodeId", "text")}
        if "text" in data:
            self._texts[step] = [data["text"]]
        elif "discardFrom" in data:
            self._texts[step] = ["".join(self._texts[step])[: data["discardFrom"]]]

    def _ended(self, state: str) -> None:
        """The turn is over, and with it a run that had not ended by itself."""
        if self._nodes and self._run["state"] in ("waiting", "running"):
            self._run["state"] = state
            self._close("stopped")

    def _close(self, state: str) -> None:
        """What was at work is called stopped; what had not begun stays waiting."""
        for node in self._nodes:
            if node["state"] == "running":
                node["state"] = state
