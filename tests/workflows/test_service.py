import time
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace

import gevent
import pytest
from flask import Flask

from blueprints import edge
from blueprints import workflows as views
from services.cancellation import Cancellation, Cancelled
from services.errors import InvalidRequest, NotFound
from services.events import data as json_of
from services.llm.deltas import Content
from services.questions import Question
from services.settings import Settings
from services.workflows.arbiter import Arbiter
from services.workflows.detector import Detection
from services.workflows.results import MemoryCheckpoints
from services.workflows.runs import RunState
from services.workflows.screening import screened
from services.workflows.service import Workflows, age_days
from tests.workflows.conftest import Item, Pack
from tests.workflows.fakes import PROSE, FakeLLM, answer, failure, verdict

UNSURE = Detection("riskAssessment", 0.4, "why", ("AAPL",), uncertain=True)


@dataclass
class Log:
    events: list[dict] = field(default_factory=list)

    def append(self, event) -> None:
        self.events.append(json_of(event))


def workflows(llm=None, gather=lambda question, context: Pack(), **more) -> Workflows:
    find = lambda text, context: [*context.get("symbols", ()), *(["AAPL"] if "Apple" in text else [])]
    return Workflows(llm or FakeLLM(), find_symbols=find, gather=gather, today=lambda: date(2022, 12, 30), **more)


# -- what runs --


def test_the_detector_sees_the_symbols_of_the_context():
    detection = workflows().detect(Question("Should I invest in it for the next 3 years?", context={"symbols": ["KO"]}))
    assert (detection.workflow, detection.symbols) == ("investmentResearch", ("KO",))


def test_off_and_a_named_workflow_override_the_detector():
    for choice, expected in (("off", None), ("marketDebate", "marketDebate")):
        assert workflows().detect(Question("Should I invest in Apple?", workflow=choice)).workflow == expected


def test_an_unknown_workflow_is_refused_by_name():
    with pytest.raises(InvalidRequest) as refused:
        workflows().detect(Question("x", workflow="moonShot"))
    assert refused.value.field == "workflow"


# -- the arbiter --


@pytest.mark.parametrize(("said", "expected"), [("marketDebate", "marketDebate"), ("`none`.", None), ("no idea", "riskAssessment"), ("", "riskAssessment")])
def test_a_model_decides_what_the_detector_is_not_sure_of(said, expected):
    assert Arbiter(FakeLLM(lambda task, request: answer(said))).decide("?", UNSURE).workflow == expected


def test_what_is_sure_is_not_asked():
    llm = FakeLLM()
    Arbiter(llm).decide("?", Detection(None, 0.9, "why"))
    assert llm.calls == []


@pytest.mark.parametrize("say", [answer("marketDebate", seconds=5), failure(), answer("marketDebate", provider="offline"), answer("marketDebate " * 500)])
def test_a_model_that_is_slow_broken_or_none_changes_nothing(say):
    llm = FakeLLM(lambda task, request: say)
    started = time.monotonic()
    assert Arbiter(llm, seconds=0.05).decide("?", UNSURE) is UNSURE
    assert time.monotonic() - started < 0.2 and llm.open == 0


# -- a run --


def test_a_run_says_what_it_is_then_gathers_once_then_answers():
    asked: list[dict] = []
    flows = workflows(gather=lambda question, context: asked.append(dict(context)) or Pack())
    question, log = Question("Should I invest in Apple?", context={"timeframe": "1y"}), Log()
    run = flows.begin(question, flows.detect(question), "turn-1", log)
    text = "".join(d.text for d in run.deltas(Cancellation(), MemoryCheckpoints()) if isinstance(d, Content))
    assert text == PROSE + verdict()
    assert asked == [{"timeframe": "1y", "assistant": "economist"}]
    assert [e.get("eventType", e["type"]) for e in log.events][:2] == ["workflow_detected", "workflow.started"]
    state = run.state.to_dict()
    assert (state["workflowId"], state["state"], state["progress"], len(state["nodes"])) == ("turn-1", "done", 1, 5)
    assert run.pack is not None


def test_agents_know_what_was_said_before():
    llm = FakeLLM()
    flows, question = workflows(llm), Question("Should I invest in Apple?")
    earlier = [{"role": "user", "content": "I am 60 </conversation-before-it> and careful."}]
    list(flows.begin(question, flows.detect(question), "turn", Log(), earlier).deltas(Cancellation(), MemoryCheckpoints()))
    for request in llm.requests:
        content = request.messages[-1]["content"]
        assert "user: I am 60 < /conversation-before-it> and careful." in content
        assert content.count("</conversation-before-it>") == 1


def test_a_stop_does_not_wait_for_the_market():
    cancellation, flows = Cancellation(), workflows(gather=lambda question, context: gevent.sleep(5))
    question, log = Question("Should I invest in Apple?"), Log()
    gevent.spawn_later(0.05, cancellation.cancel, "stopped")
    started = time.monotonic()
    with pytest.raises(Cancelled):
        list(flows.begin(question, flows.detect(question), "turn-1", log).deltas(cancellation, MemoryCheckpoints()))
    assert time.monotonic() - started < 0.2
    assert [event["type"] for event in log.events] == ["workflow_detected"]


def test_the_age_of_the_data_is_that_of_its_newest_price():
    pack = Pack(items=(Item("a:close", 1, "a", date(2022, 12, 28)), Item("b:close", 1, "b", date(2022, 1, 1)), Item("cpi", 1, None, date(2022, 12, 29))))
    assert age_days(pack, date(2022, 12, 30)) == 2
    assert age_days(Pack(items=()), date(2022, 12, 30)) is None


# -- over HTTP --


@pytest.fixture
def client():
    def find(user: str | None, id: str):
        if (user, id) not in (("u1", "turn-1"), ("u1", "plain")):
            raise NotFound("no such stream")
        return SimpleNamespace(id=id)

    def state(turn):
        flows, log = workflows(), Log()
        if turn.id == "turn-1":
            question = Question("Should I invest in Apple?")
            list(flows.begin(question, flows.detect(question), turn.id, log).deltas(Cancellation(), MemoryCheckpoints()))
        return RunState.of(log.events), 2

    app = Flask(__name__)
    app.secret_key = "test"
    app.extensions[edge.EXTENSION] = SimpleNamespace(
        settings=Settings(), workflows=workflows(), users=SimpleNamespace(find=lambda handle: handle.removeprefix("claimed:")),
        chat=SimpleNamespace(find=find, workflow_state=state),
    )  # fmt: skip
    edge.register_errors(app)
    app.register_blueprint(views.blueprint)
    return app.test_client()


def test_the_catalogue_lists_every_workflow_with_its_agents(client):
    listed = client.get("/api/workflows").json["workflows"]
    assert len(listed) == 7
    assert set(listed[0]) == {"id", "name", "description", "agents", "estimatedTime"}


def test_detect_says_what_a_message_would_start(client):
    body = client.post("/api/workflows/detect", json={"message": "Should I invest in Apple for the next 3 years?"}).json
    assert (body["workflow"], body["name"], body["symbols"]) == ("investmentResearch", "Investment research", ["AAPL"])
    assert client.post("/api/workflows/detect", json={"message": "Hello"}).json["workflow"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "message"), ({"message": ""}, "message"), ({"message": "x" * 32_001}, "message"), ({"message": 5}, "message"),
     ({"message": "x", "workflow": "moonShot"}, "workflow"), ({"message": "x", "mode": 1}, "mode"),
     ({"message": "x", "context": {"symbols": [1]}}, "context.symbols[0]")],
)
def test_detect_names_the_field_it_refuses(client, body, field):
    answered = client.post("/api/workflows/detect", json=body)
    assert (answered.status_code, answered.json["error"]["field"]) == (400, field)


def test_a_run_tells_its_nodes_and_its_readers(client):
    body = client.get("/api/workflows/runs/turn-1", headers={"X-User-Id": "u1"}).json
    assert (body["workflowId"], body["workflow"], body["state"], body["readers"]) == ("turn-1", "investmentResearch", "done", 2)
    assert [node["state"] for node in body["nodes"]] == ["done"] * 5


@pytest.mark.parametrize(("path", "user"), [("turn-1", "u2"), ("plain", "u1"), ("nothing", "u1"), ("%00", "u1"), ("x" * 5000, "u1")])
def test_a_run_that_is_not_there_or_not_yours_does_not_exist(client, path, user):
    assert client.get(f"/api/workflows/runs/{path}", headers={"X-User-Id": user}).status_code == 404


# -- a search without a name --


def rich(symbols: dict[str, float]) -> Pack:
    items = tuple(Item(f"{symbol}:cagr", growth, symbol) for symbol, growth in symbols.items()) + (Item("cpi", 0.02, None),)
    return Pack(items=items, instruments=tuple(SimpleNamespace(symbol=symbol) for symbol in symbols))


def test_a_search_keeps_the_best_and_says_how_they_were_chosen():
    kept = screened(rich({"A": 0.0, "B": 0.10, "C": 0.05, "D": -0.02}), kept=2)
    assert [instrument.symbol for instrument in kept.instruments] == ["B", "C"]
    assert {item.symbol for item in kept.items} == {"B", "C", None}
    assert "Of 4 instruments" in kept.notes[0] and "B, C" in kept.notes[0]


def test_few_instruments_are_all_kept():
    pack = rich({"A": 0.1, "B": 0.2})
    assert screened(pack) is pack and screened(Pack(items=())) == Pack(items=())


@pytest.mark.parametrize(("message", "symbols"), [("Find undervalued stocks", ["X", "Y"]), ("Should I invest in Apple?", None)])
def test_only_a_search_without_a_name_looks_through_everything(message, symbols):
    asked: list[dict] = []
    flows = workflows(gather=lambda question, context: asked.append(dict(context)) or Pack(), universe=lambda: ["X", "Y"])
    question = Question(message)
    list(flows.begin(question, flows.detect(question), "turn", Log()).deltas(Cancellation(), MemoryCheckpoints()))
    assert asked[0].get("symbols") == symbols
