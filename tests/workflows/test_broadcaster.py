import time

import gevent
import pytest

from services import signals
from services.events import data as json_of
from services.workflows.broadcaster import Broadcaster
from services.workflows.catalogue import WORKFLOWS
from services.workflows.jobs import Job
from services.workflows.runs import RunState

FLOW = WORKFLOWS["investmentResearch"]


class Log:
    def __init__(self) -> None:
        self.events: list[dict] = []

    def append(self, event) -> None:
        self.events.append(json_of(event))

    @property
    def kinds(self) -> list[str]:
        return [event.get("eventType", event["type"]) for event in self.events]


def job(run_id: str = "run") -> Job:
    return Job(run_id, FLOW, "?")


def said(event: type, step: int = 0, **fields) -> signals.AgentEvent:
    node = FLOW.nodes[step]
    return event(workflow_id="run", at=0.0, progress=0.2, step=step, node=node.id, agent=node.agent, task=node.task, **fields)


def tokens(text: str, step: int = 0) -> signals.AgentTokens:
    return said(signals.AgentTokens, step, text=text)


def test_tokens_of_one_write_are_one_event_an_agent():
    log, run = Log(), job()
    with Broadcaster(run, log, flush_seconds=0.01):
        for piece in ("a", "b", "c"):
            signals.announce(run, tokens(piece, 0))
            signals.announce(run, tokens(piece.upper(), 1))
        gevent.sleep(0.05)
        assert [(event["agent"], event["data"]["content"]) for event in log.events] == [("analyst", "abc"), ("trader", "ABC")]


def test_tokens_are_written_before_what_follows_them():
    log, run = Log(), job()
    with Broadcaster(run, log, flush_seconds=10):
        signals.announce(run, tokens("text"))
        signals.announce(run, said(signals.AgentSkipped, message="left out"))
    assert log.kinds == ["agent.token", "agent.skipped"]


def test_many_tokens_do_not_wait_for_the_clock():
    log, run = Log(), job()
    with Broadcaster(run, log, flush_seconds=10):
        signals.announce(run, tokens("x" * 2_000))
        assert log.kinds == ["agent.token"]


def test_leaving_writes_what_is_gathered_and_hears_no_more():
    log, run = Log(), job()
    with Broadcaster(run, log, flush_seconds=0.01):
        signals.announce(run, tokens("kept"))
    signals.announce(run, tokens("lost"))
    gevent.sleep(0.03)
    assert [event["data"]["content"] for event in log.events] == ["kept"]


def test_two_runs_and_two_apps_never_hear_each_other():
    logs, runs = [Log(), Log()], [job("run"), job("run")]  # the same id: only the sender tells them apart
    with Broadcaster(runs[0], logs[0]), Broadcaster(runs[1], logs[1]):
        signals.announce(runs[0], tokens("first"))
        signals.announce(runs[1], tokens("second"))
    assert [[event["data"]["content"] for event in log.events] for log in logs] == [["first"], ["second"]]


def test_every_signal_has_one_receiver_and_none_stays():
    run = job()
    with Broadcaster(run, Log()):
        assert all(len(list(signal.receivers_for(run))) == 1 for signal in signals.SIGNALS.values())
    assert not any(list(signal.receivers_for(run)) for signal in signals.SIGNALS.values())


def test_an_update_has_the_fields_of_the_contract():
    log, run = Log(), job()
    with Broadcaster(run, log):
        signals.announce(run, said(signals.AgentFailed, 1, code="timeout", message="Too slow", required=False))
    assert log.events == [{
        "type": "workflow_update", "workflowId": "run", "eventType": "agent.failed", "stepIndex": 1, "agent": "trader",
        "task": "Levels, momentum and timing", "message": "Too slow", "progress": 0.2,
        "data": {"nodeId": "trader", "code": "timeout", "required": False, "kept": 0}, "timestamp": "1970-01-01T00:00:00.000Z",
    }]  # fmt: skip


def test_what_is_detected_lists_the_agents():
    log, run = Log(), job()
    Broadcaster(run, log).detected(FLOW, "run", "because")
    event = log.events[0]
    assert (event["type"], event["workflow"], event["name"], event["estimatedTime"]) == ("workflow_detected", FLOW.id, FLOW.name, 24)
    assert event["agents"][3]["needs"] == ["analyst", "trader", "economist"]


def test_announcing_costs_little():
    run, event = job(), tokens("word ")
    with Broadcaster(run, Log(), flush_seconds=10):
        started = time.perf_counter()
        for _ in range(2_000):
            signals.announce(run, event)
        assert (time.perf_counter() - started) / 2_000 < 0.0002


# -- the state that is folded from the events --


def detected() -> dict:
    log = Log()
    Broadcaster(job(), log).detected(FLOW, "run", "because")
    return log.events[0]


def update(kind: str, step: int | None = None, **data) -> dict:
    return {"type": "workflow_update", "workflowId": "run", "eventType": kind, "stepIndex": step, "message": kind, "progress": 0.5, "data": data, "timestamp": "t"}


def nodes(*events: dict) -> list[dict]:
    return RunState.of([detected(), *events]).to_dict()["nodes"]


def test_without_a_workflow_there_is_no_state():
    assert not RunState.of([{"type": "token", "content": "x"}, {"type": "chat_completed"}])


def test_a_node_goes_from_waiting_to_done():
    assert nodes()[0]["state"] == "waiting"
    first = nodes(update("agent.started", 0), update("agent.token", 0, content="ab"), update("agent.token", 0, content="c"))[0]
    assert (first["state"], first["text"]) == ("running", "abc")
    done = nodes(update("agent.started", 0), update("agent.completed", 0, nodeId="analyst", verdict={"stance": 1}))[0]
    assert (done["state"], done["result"]) == ("done", {"verdict": {"stance": 1}})


@pytest.mark.parametrize(
    ("last", "text"),
    [(update("agent.progress", 0, discardFrom=1), "a"), (update("agent.started", 0), ""), (update("agent.completed", 0, text="whole"), "whole")],
)
def test_text_can_be_taken_back_and_given_again(last, text):
    assert nodes(update("agent.token", 0, content="abc"), last)[0]["text"] == text


@pytest.mark.parametrize(("last", "run", "node"), [({"type": "error"}, "failed", "stopped"), ({"type": "chat_completed"}, "stopped", "stopped")])
def test_a_turn_that_ended_leaves_nothing_running(last, run, node):
    state = RunState.of([detected(), update("workflow.started"), update("agent.started", 0), last]).to_dict()
    assert (state["state"], state["nodes"][0]["state"], state["nodes"][1]["state"]) == (run, node, "waiting")


def test_the_next_attempt_begins_anew():
    state = RunState.of([detected(), update("agent.token", 0, content="half"), detected(), update("workflow.started"), update("agent.completed", 0, text="whole")])
    assert (state.workflow, state.to_dict()["nodes"][0]["text"]) == ("investmentResearch", "whole")


def test_without_texts_only_their_length_is_told():
    state = RunState.of([detected(), update("agent.token", 0, content="abc")]).to_dict(texts=False)
    assert state["nodes"][0]["characters"] == 3 and "text" not in state["nodes"][0]
