"""The state of a run, folded from its events: the same for a live run, after a reload, on another worker, in history."""

from collections.abc import Iterable, Mapping

_NODE_STATES = {
    "agent.started": "running", "agent.completed": "completed", "agent.failed": "failed", "agent.skipped": "skipped",
}  # fmt: skip
_RUN_STATES = {"workflow.started": "running", "workflow.completed": "completed", "workflow.failed": "failed"}


class RunState:
    """What is known of one run. Feed it `workflow_detected`, `workflow_update` and the turn's last event, in order."""

    def __init__(self) -> None:
        self._run: dict[str, object] = {"workflowId": None, "state": "waiting", "progress": 0.0}
        self._nodes: list[dict[str, object]] = []

    @classmethod
    def of(cls, events: Iterable[tuple[str, Mapping[str, object]]]) -> "RunState":
        """The state after these events; those that say nothing of a workflow are passed over."""
        state = cls()
        for event, payload in events:
            state.apply(event, payload)
        return state

    def apply(self, event: str, payload: Mapping[str, object]) -> None:
        """Take one more event into account."""
        if event == "workflow_detected":
            self._detected(payload)
        elif event == "workflow_update":
            self._updated(payload)
        elif event in ("chat_completed", "error"):
            self._ended(event, payload)

    def to_dict(self, *, texts: bool = True) -> dict[str, object]:
        """The run with its nodes, as JSON values; without `texts`, only their length is told."""
        nodes = [node if texts else {**{k: v for k, v in node.items() if k != "text"}, "characters": len(node["text"])} for node in self._nodes]
        return {**self._run, "nodes": [dict(node) for node in nodes]}

    def _detected(self, payload: Mapping[str, object]) -> None:
        kept = ("workflowId", "workflow", "name", "message", "reason", "estimatedTime")
        self._run.update({key: payload[key] for key in kept if key in payload})
        if not self._nodes:
            self._nodes = [{**step, "state": "waiting", "text": ""} for step in payload["agents"]]

    def _updated(self, payload: Mapping[str, object]) -> None:
        kind, data = str(payload["eventType"]), payload.get("data") or {}
        self._run["progress"] = payload["progress"]
        self._run["workflowId"] = payload["workflowId"]
        if kind.startswith("workflow."):
            self._run["state"] = _RUN_STATES[kind]
            self._run[f"{_RUN_STATES[kind]}At"] = payload["timestamp"]
            if kind != "workflow.started":
                self._run |= {"result": dict(data), "resultMessage": payload["message"]}
        elif (step := payload["stepIndex"]) < len(self._nodes):
            self._node(self._nodes[step], kind, payload, data)

    def _node(self, node: dict[str, object], kind: str, payload: Mapping[str, object], data: Mapping[str, object]) -> None:
        if kind in _NODE_STATES:
            node["state"] = _NODE_STATES[kind]
            node["endedAt" if kind != "agent.started" else "startedAt"] = payload["timestamp"]
        if kind == "agent.token":
            node["text"] += data["content"]
            return
        if kind == "agent.started":
            node["text"] = ""
            for key in ("result", "endedAt"):
                node.pop(key, None)
        elif kind == "agent.completed":
            node["text"] = data.get("text", node["text"])
            node["result"] = {key: value for key, value in data.items() if key not in ("text", "node")}
        elif "discardFrom" in data:
            node["text"] = node["text"][: data["discardFrom"]]
        node["message"] = payload["message"]

    def _ended(self, event: str, payload: Mapping[str, object]) -> None:
        """The turn is over. What was at work when it was stopped stays as it was, and is called stopped."""
        if self._run["state"] in ("waiting", "running"):
            self._run["state"] = "failed" if event == "error" else "stopped"
            for node in self._nodes:
                if node["state"] in ("running", "waiting"):
                    node["state"] = "stopped" if node["state"] == "running" else "not started"
