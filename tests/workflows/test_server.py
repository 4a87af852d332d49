"""Workflows on the real server, with a provider at the socket: pace, stop, and kill -9 after every node."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from services.workflows.catalogue import WORKFLOWS
from tests.support.fake_provider import DONE, END, FakeProvider, Received, Script, chunk, events, ok, stop, usage
from tests.support.fixtures import openai_at
from tests.support.server import Server
from tests.support.sse_client import Client, Frame, text_of
from tests.workflows.fakes import verdict

QUESTION = "Should I invest in Apple for the next 3 years?"
NODES = {node.task: node.id for node in WORKFLOWS["investmentResearch"].nodes}
ANSWER = "In short: hold what you have, and add slowly."


def node_of(request: Received) -> str:
    content = request.json()["messages"][-1]["content"]
    return NODES[content.rsplit("Your task: ", 1)[1].split(".")[0]]


def paced(seconds: dict[str, float], default: float = 0.2):
    """A model that takes so many seconds for each node's text, written evenly in ten pieces."""

    def script(request: Received) -> Script:
        node = node_of(request)
        text = ANSWER if node == "advisor" else f"The {node} looks at it calmly." + verdict()
        size = -(-len(text) // 10)
        yield ok()
        for at in range(0, len(text), size):
            yield seconds.get(node, default) / 10
            yield events(chunk(text[at : at + size]))
        yield events(stop(), usage()) + DONE + END

    return script


@pytest.fixture(scope="module")
def model() -> Iterator[FakeProvider]:
    with FakeProvider(paced({})) as fake:
        yield fake


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory, model: FakeProvider) -> Iterator[Client]:
    """A client of one server for all tests that leave it alive."""
    with Server(tmp_path_factory.mktemp("steady"), environ=openai_at(model)) as server:
        yield Client(server.url)


def updates(frames: list[Frame], kind: str) -> list[str]:
    return [frame.data["data"]["nodeId"] for frame in frames if frame.data.get("eventType") == kind]


def history_of(client: Client, frames: list[Frame]) -> dict:
    conversation = client.get(f"/api/conversations/{frames[0].data['conversationId']}")
    return next(m for m in conversation["messages"] if m["id"] == frames[0].data["messageId"])


def test_a_workflow_takes_its_critical_path_and_shows_three_agents_at_once(steady, model):
    model.default, client = paced({}, 0.6), steady
    started = time.monotonic()
    with client.ask(QUESTION) as connection:
        frames = list(connection.frames())
    assert time.monotonic() - started < 2.7  # three steps of 0.6 s and room for a busy machine; one after another takes 3
    kinds = [frame.data.get("eventType", frame.event) for frame in frames]
    assert kinds[: kinds.index("agent.completed")].count("agent.started") == 3
    assert (kinds[0], kinds[1], kinds[-1]) == ("chat_started", "workflow_detected", "chat_completed")
    assert text_of(frames) == history_of(client, frames)["content"] == ANSWER
    run = client.get(f"/api/workflows/runs/{frames[1].data['workflowId']}")
    assert (run["state"], run["readers"], [node["state"] for node in run["nodes"]]) == ("done", 0, ["done"] * 5)


def test_kill_9_after_each_node_loses_nothing_and_asks_nobody_twice(tmp_path_factory):
    """Two servers at a time, each killed again and again: there is much to wait for."""
    killing = [gevent.spawn(kill_after_each, tmp_path_factory.mktemp("killed"), kills) for kills in ((1, 2, 3), (4, 5))]
    try:
        gevent.joinall(killing, raise_error=True)
    finally:
        gevent.killall(killing)


def kill_after_each(folder: Path, kills: tuple[int, ...]) -> None:
    """For each number ask, kill the server once so many nodes are finished, and look at what the next one makes of it."""
    with FakeProvider(paced({"trader": 0.35, "economist": 0.5}, 0.2)) as model:
        with Server(folder, environ=openai_at(model)) as server:
            client = Client(server.url)
            for survivors in kills:
                model.forget()
                location, frames = ask_until(client, survivors)
                server.kill()
                server.start()
                assert_whole_after(client, model, survivors, location, frames)


def assert_whole_after(client: Client, model: FakeProvider, survivors: int, location: str, frames: list[Frame]) -> None:
    finished = updates(frames, "agent.completed")
    with client.follow(location, "{}-{}".format(*frames[-1].id)) as again:
        frames += again.frames()
    calls = Counter(map(node_of, model.requests))
    assert all(calls[node] == 1 for node in finished), (survivors, calls)
    assert frames[-1].event == "chat_completed" and sum(frame.terminal for frame in frames) == 1
    assert [frame.id for frame in frames] == sorted({frame.id for frame in frames})
    assert text_of(frames) == history_of(client, frames)["content"] == ANSWER
    assert set(updates(frames, "agent.completed")) == set(NODES.values())


def ask_until(client: Client, finished: int) -> tuple[str, list[Frame]]:
    """Ask, and read until so many nodes are finished."""
    frames: list[Frame] = []
    connection = client.ask(QUESTION)
    for frame in connection.frames():
        frames.append(frame)
        if len(updates(frames, "agent.completed")) == finished:
            break
    return connection.headers["Location"], frames


PHASES = {"before the first token of an agent": 0.0, "in parallel agents": 0.3, "in the risk manager": 1.2, "in the answer": 2.0}


@pytest.fixture(scope="module")
def stopping(steady: Client, model: FakeProvider) -> dict[str, gevent.Greenlet]:
    """A run for each phase, all at the same time; they are told apart by what is asked."""
    model.forget()
    model.default = paced({}, 0.8)
    questions = {phase: QUESTION.replace("3 years", f"{years} years") for years, phase in enumerate(PHASES, start=3)}
    return {phase: gevent.spawn(assert_stops, steady, model, questions[phase], seconds) for phase, seconds in PHASES.items()}


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_closes_every_socket_and_nothing_comes_after(stopping, phase):
    stopping[phase].get(timeout=30)


def assert_stops(client: Client, model: FakeProvider, question: str, seconds: float) -> None:
    frames: list[Frame] = []

    def requests() -> list[Received]:
        return [request for request in model.requests if question in request.json()["messages"][-1]["content"]]

    with client.ask(question) as connection:
        reading = connection.frames()
        frames.append(next(reading))
        time.sleep(seconds)
        at = time.monotonic()
        client.stop(connection.headers["Location"])
        frames += reading
        assert time.monotonic() - at < 0.5
    time.sleep(0.3)
    assert all(request.done for request in requests())
    assert all(request.closed_at - at < 0.5 for request in requests() if request.closed_at)
    assert (frames[-1].event, frames[-1].data["finishReason"]) == ("chat_completed", "stopped")
    asked = len(requests())
    assert asked or not seconds, "the requests are told apart by the question"
    time.sleep(1)
    assert len(requests()) == asked
    with client.follow(connection.headers["Location"]) as whole:
        assert [frame.id for frame in whole.frames()] == [frame.id for frame in frames]


def test_without_any_key_a_whole_workflow_is_computed_in_a_second(server):
    client = Client(server.url)
    started = time.monotonic()
    with client.ask(QUESTION) as connection:
        frames = list(connection.frames())
    assert time.monotonic() - started < 3
    assert set(updates(frames, "agent.completed")) == set(NODES.values())
    assert text_of(frames).startswith("*No model wrote this")
    last = frames[-1].data
    assert last["provider"] == "offline" and last["usage"]["promptTokens"] == 0
    unmatched = [mark for mark in last["evidence"]["marks"] if mark["evidenceId"] is None]
    assert last["evidence"]["items"] and not unmatched


def test_two_runs_of_one_user_stay_apart(steady, model):
    model.default, client = paced({}), steady
    first, second = client.ask(QUESTION), client.ask("Bull and bear case for Microsoft", workflow="investmentResearch")
    for connection in (first, second):
        frames = list(connection.frames())
        assert {frame.data["workflowId"] for frame in frames if "workflowId" in frame.data} == {frames[0].data["streamId"]}
        assert len(updates(frames, "agent.completed")) == 5
