import gc
import json
import time

import gevent
import pytest

from services.cancellation import Cancellation, Cancelled
from services.llm.deltas import Began, Content, Finished, Usage
from services.workflows.agents import Agents
from services.workflows.budget import Budget
from services.workflows.catalogue import WORKFLOWS
from services.workflows.desk import Desk
from services.workflows.engine import Engine
from services.workflows.execution import WorkflowFailure
from services.workflows.results import NodeResult
from tests.workflows.conftest import Rig
from tests.workflows.fakes import PROSE, FakeLLM, LLMFailed, Say, answer, failure, switched, verdict

TASKS = {node.id: node.task for node in WORKFLOWS["investmentResearch"].nodes}
VIEW = PROSE + verdict()


def script(default: Say, **special: Say):
    """A say for each node named, the default for the rest."""
    by_task = {TASKS[node]: say for node, say in special.items()}
    return FakeLLM(lambda task, request: by_task.get(task, default))


# -- the graph --


def test_a_run_takes_its_critical_path_and_three_agents_work_at_once(rig):
    rig.llm = FakeLLM(lambda task, request: answer(VIEW, seconds=0.6))
    started = time.monotonic()
    rig.run()
    assert time.monotonic() - started < 2.4  # three steps of 0.6 s and room for a busy machine; one after another takes 3
    first_end = rig.kinds().index("agent.completed")
    assert rig.kinds()[:first_end].count("agent.started") == 3
    assert rig.llm.most == 3


def test_the_answer_streams_as_deltas_and_is_the_last_agents_text(rig):
    rig.llm = script(answer(VIEW), advisor=answer("Buy a little, and hold it."))
    assert rig.run() == "Buy a little, and hold it."
    assert isinstance(rig.last, Finished)
    assert sum(u.prompt_tokens + u.completion_tokens for u in rig.last.usage) == 5 * 200
    assert rig.last.usage == tuple(rig.trail.usage)


def test_a_node_starts_only_when_its_inputs_are_there(rig):
    rig.run()
    order = [(p["eventType"], p["data"]["nodeId"]) for _, p in rig.events if p.get("eventType") in ("agent.started", "agent.completed")]
    assert order.index(("agent.started", "riskManager")) > max(order.index(("agent.completed", n)) for n in ("analyst", "trader", "economist"))
    assert order[-2:] == [("agent.started", "advisor"), ("agent.completed", "advisor")]


def test_later_agents_read_what_earlier_ones_said(rig):
    rig.llm = script(answer(VIEW), trader=answer("Levels hold at 150." + verdict(-0.3)))
    rig.run()
    risk = next(r for r, task in zip(rig.llm.requests, rig.llm.calls) if task == TASKS["riskManager"])
    assert "Levels hold at 150." in risk.messages[-1]["content"]


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_workflow_of_the_catalogue_runs(rig, workflow):
    rig.workflow, rig.symbols = workflow, ("AAPL", "KO")
    rig.run()
    assert rig.kinds()[0] == "workflow_detected" and rig.kinds()[-1] == "workflow.completed"
    assert all(node["state"] == "done" for node in rig.state.to_dict()["nodes"])


def test_progress_counts_finished_nodes_and_never_falls(rig):
    rig.run()
    progress = [p["progress"] for e, p in rig.events if e == "workflow_update"]
    assert progress == sorted(progress) and progress[0] == 0 and progress[-1] == 1
    assert set(progress) == {0, 0.2, 0.4, 0.6, 0.8, 1}


def test_the_cap_of_a_run_and_of_the_server_hold():
    for caps in ({"per_run": 1}, {"per_server": 1}):
        rig = Rig(llm=FakeLLM(lambda task, request: answer(VIEW, seconds=0.02)), **caps)
        rig.run()
        assert rig.llm.most == 1


def test_an_agent_that_waits_for_a_place_says_so(rig):
    rig.llm, rig.per_server = FakeLLM(lambda task, request: answer(VIEW, seconds=0.02)), 1
    rig.run()
    assert any("free place" in update["message"] for update in rig.of("agent.progress"))


# -- what agents write --


def test_prose_streams_and_the_verdict_never_shows(rig):
    rig.llm = FakeLLM(lambda task, request: answer(VIEW, pieces=60, seconds=0.05))
    rig.run()
    assert rig.shown("analyst") == PROSE
    assert "stance" not in "".join(json.dumps(update) for update in rig.of("agent.token"))


def test_a_completed_agent_tells_its_verdict_and_only_real_evidence(rig):
    rig.run()
    data = rig.of("agent.completed", "analyst")[0]["data"]
    assert data["verdict"] == {
        "stance": 0.4, "label": "positive", "confidence": 60, "horizon": "1y", "summary": "Looks fine", "evidenceIds": ["AAPL:cagr"],
        "risks": ["rates"], "invalidation": "it falls", "abstained": False,
    }
    assert data["provider"] == "fake" and data["usage"][0]["promptTokens"] == 100 and data["durationMs"] >= 0


def test_a_provider_that_restarts_takes_its_text_back(rig):
    deltas = (
        Began("fake", "f", 1), Content("The wrong beginning of "), switched(0), Began("spare", "s", 2), Content(VIEW),
        Finished("spare", "s", "stop", (Usage("spare", "s", 5, 5),), ()),
    )
    rig.llm = script(answer(VIEW), analyst=Say(deltas, between=0.01))
    rig.run()
    assert rig.shown("analyst") == PROSE
    assert rig.of("agent.progress", "analyst")[1]["data"]["discardFrom"] == 0
    assert rig.of("agent.completed", "analyst")[0]["data"]["provider"] == "spare"


BROKEN = 'Down it goes.\n\n```json\n{"stance": "purple", "confidence": }\n```'


def test_a_broken_verdict_is_asked_for_once_more(rig):
    rig.llm = FakeLLM(lambda task, request: answer(verdict(-0.5, 70)) if task == "repair" else answer(BROKEN))
    rig.run()
    assert rig.llm.calls.count("repair") == 4
    assert rig.of("agent.completed", "trader")[0]["data"]["verdict"]["stance"] == -0.5
    assert rig.shown("trader") == "Down it goes."
    assert len(rig.of("agent.completed", "trader")[0]["data"]["usage"]) == 2


@pytest.mark.parametrize("repair", [answer("Still no object."), failure(), answer(""), answer(BROKEN)])
def test_an_agent_that_gives_no_verdict_abstains_and_its_prose_stays(rig, repair):
    rig.llm = FakeLLM(lambda task, request: repair if task == "repair" else answer(BROKEN))
    rig.run()
    assert rig.of("agent.completed", "trader")[0]["data"]["verdict"]["abstained"] is True
    assert rig.shown("trader") == "Down it goes."
    assert rig.of("workflow.completed")[0]["data"]["verdict"]["voices"] == 0


def test_prose_instead_of_a_verdict_costs_no_further_call(rig):
    rig.llm = FakeLLM(lambda task, request: answer("Only prose, and no object."))
    rig.run()
    assert len(rig.llm.calls) == 5
    assert rig.shown("trader") == "Only prose, and no object."
    assert rig.of("agent.completed", "trader")[0]["data"]["verdict"]["abstained"] is True


def test_half_an_object_is_read_as_far_as_it_goes(rig):
    cut = 'Down it goes.\n\n```json\n{"stance": -0.5, "confidence": 70, "summary": "Falls", "risks": ["ra'
    rig.llm = script(answer(VIEW), trader=answer(cut))
    rig.run()
    data = rig.of("agent.completed", "trader")[0]["data"]
    assert (data["verdict"]["stance"], data["verdict"]["confidence"], rig.shown("trader")) == (-0.5, 70, "Down it goes.")
    assert "repair" not in rig.llm.calls


def test_another_language_is_understood(rig):
    german = 'Der Trend hält.\n\n```json\n{"haltung": "sehr positiv", "konfidenz": "70 %", "fazit": "Trend hält", "risiken": ["Zinsen"]}\n```'
    rig.llm = script(answer(VIEW), analyst=answer(german))
    rig.run()
    data = rig.of("agent.completed", "analyst")[0]["data"]["verdict"]
    assert (data["label"], data["confidence"], data["risks"]) == ("strongly positive", 70, ["Zinsen"])


def test_a_megabyte_is_not_read_to_its_end(rig):
    rig.llm = script(answer(VIEW), trader=answer("word " * 200_000, pieces=1000))
    started = time.monotonic()
    rig.run()
    assert time.monotonic() - started < 3
    assert len(rig.shown("trader")) < 30_000
    assert rig.of("agent.completed", "trader")[0]["data"]["usage"][0]["estimated"] is True


# -- failures --


def test_a_failed_optional_agent_is_a_missing_view_and_said_so(rig):
    rig.llm = script(answer(VIEW), trader=failure("Groq did not answer."), advisor=answer("Buy."))
    assert rig.run() == "*Partial answer. Missing or unfinished: the trader's view.*\n\nBuy."
    assert rig.of("agent.failed", "trader")[0]["message"] == "Groq did not answer."
    completed = rig.of("workflow.completed")[0]["data"]
    assert completed["partial"] is True and completed["missing"] == [{"node": "trader", "agent": "trader", "reason": "Groq did not answer."}]
    advisor = next(r for r, task in zip(rig.llm.requests, rig.llm.calls) if task == TASKS["advisor"])
    assert "trader (Groq did not answer.)" in advisor.messages[-1]["content"]


def test_the_opening_of_a_partial_answer_survives_a_restart_of_its_provider(rig):
    deltas = (Began("fake", "f", 1), Content("Wrong"), switched(0), Began("spare", "s", 2), Content("Right."), Finished("spare", "s", "stop", (), ()))
    rig.llm = script(answer(VIEW), trader=failure(), advisor=Say(deltas))
    assert rig.run() == "*Partial answer. Missing or unfinished: the trader's view.*\n\nRight."


def test_a_failed_required_agent_ends_the_run_with_a_clear_error_and_stops_the_others(rig):
    rig.llm = script(answer(VIEW, seconds=5), analyst=failure("Every provider is down."))
    started = time.monotonic()
    with pytest.raises(WorkflowFailure, match="The analyst is needed .* Every provider is down."):
        rig.run()
    assert time.monotonic() - started < 0.5
    assert rig.kinds()[-1] == "workflow.failed" and rig.llm.open == 0


def test_every_agent_failing_is_an_error_not_an_answer(rig):
    rig.workflow, rig.llm = "marketOpportunity", FakeLLM(lambda task, request: failure("No provider answered."))
    with pytest.raises(WorkflowFailure, match="None of the 3 specialists could answer. No provider answered."):
        rig.run()


def test_an_agent_that_says_nothing_failed(rig):
    rig.llm = script(answer(VIEW), economist=answer(""))
    rig.run()
    assert rig.of("agent.failed", "economist")[0]["data"]["code"] == "empty_answer"


def test_an_agent_that_breaks_is_a_missing_view_and_its_words_stay_out_of_the_log(rig, caplog):
    rig.llm = script(answer(VIEW), economist=Say((RuntimeError("sk-secret"),)))
    rig.run()
    assert rig.of("agent.failed", "economist")[0]["message"] == "An internal error ended this part."
    assert "RuntimeError" in caplog.text and "sk-secret" not in caplog.text


def test_a_failing_last_agent_ends_the_run_with_its_error(rig):
    rig.llm = script(answer(VIEW), advisor=Say((Began("fake", "f", 1), Content("Bu"), LLMFailed("All providers failed."))))
    with pytest.raises(LLMFailed):
        rig.run()
    assert rig.kinds()[-1] == "workflow.failed" and rig.text == "Bu"


def test_an_agent_over_its_time_is_a_missing_view(rig):
    from dataclasses import replace

    flow = WORKFLOWS["investmentResearch"]
    slow = replace(flow, nodes=tuple(replace(n, timeout=0.05) if n.id == "trader" else n for n in flow.nodes))
    rig.llm = script(answer(VIEW), trader=answer(VIEW, seconds=5))
    plain = rig.job
    rig.job = lambda: replace(plain(), workflow=slow)
    rig.run()
    assert rig.of("agent.failed", "trader")[0]["data"]["code"] == "timeout"
    assert rig.llm.open == 0


# -- budgets --


def test_near_the_budget_optional_agents_are_left_out(rig):
    rig.llm, rig.budget = FakeLLM(lambda task, request: answer(VIEW, tokens=300)), Budget(tokens=2_200)
    rig.run()
    assert [update["agent"] for update in rig.of("agent.skipped")] == ["riskManager"]
    assert "80%" in rig.of("agent.skipped")[0]["message"]
    assert rig.text.startswith("*Partial answer. Missing or unfinished: the risk manager's view.*")


def test_at_the_cost_limit_the_answer_is_written_from_what_is_there(rig):
    rig.llm, rig.budget = FakeLLM(lambda task, request: answer(VIEW, cost=0.05)), Budget(cost=0.15)
    rig.run()
    assert rig.text.startswith("*Partial answer: the budget of this run is spent.")
    assert rig.of("workflow.completed")[0]["data"]["partial"] is True


def test_at_the_time_limit_agents_at_work_end_and_their_words_are_used(rig):
    rig.llm, rig.budget = script(answer(VIEW), trader=answer("Half a thought, " * 30, seconds=2, pieces=200)), Budget(seconds=0.4)
    started = time.monotonic()
    rig.run()
    assert time.monotonic() - started < 1.5
    failed = rig.of("agent.failed", "trader")[0]
    assert failed["data"]["code"] == "budget" and failed["data"]["kept"] > 0
    advisor = rig.llm.requests[-1].messages[-1]["content"]
    assert "<unfinished-view-of-trader>\nHalf a thought" in advisor


def test_tokens_of_agents_at_work_count_before_their_provider_says_so(rig):
    rig.llm, rig.budget = script(answer(VIEW), trader=answer("word " * 4_000, seconds=3, pieces=300)), Budget(tokens=3_000)
    started = time.monotonic()
    rig.run()
    assert time.monotonic() - started < 2.7
    assert rig.of("agent.failed", "trader")[0]["data"]["code"] == "budget"


def test_a_required_agent_cut_by_the_budget_does_not_end_the_run(rig):
    rig.llm, rig.budget = script(answer(VIEW, seconds=20), advisor=answer("Little is known.")), Budget(seconds=0.1)
    assert rig.run().endswith("Little is known.")


# -- resuming --


@pytest.mark.parametrize("survivors", range(1, 6))
def test_a_run_goes_on_after_each_node_and_finished_ones_are_not_asked_again(survivors):
    first = Rig(per_run=1)
    kept: list[NodeResult] = []
    save = first.checkpoints.save

    def save_and_die(run_id: str, result: NodeResult) -> None:
        kept.append(result)
        save(run_id, result)
        if len(kept) == survivors:
            first.cancellation.cancel("lost")  # what a killed worker looks like to the next: the rest never happened

    first.checkpoints.save = save_and_die
    with pytest.raises(Cancelled):
        first.run()
    again = Rig(run_id=first.run_id)
    for result in kept:  # as a database gives them back
        again.checkpoints.save(first.run_id, NodeResult.from_payload(json.loads(json.dumps(result.payload()))))
    again.run()
    assert len(again.llm.calls) == 5 - survivors
    assert again.text == VIEW
    assert len(again.of("agent.completed")) == 5
    assert [u["data"]["recalled"] for u in again.of("agent.completed")].count(True) == survivors
    assert sum(u.prompt_tokens for u in again.last.usage) == 500
    assert all(again.shown(n) == PROSE for n in ("analyst", "trader", "economist", "riskManager"))


def test_a_result_is_stored_before_it_is_announced(rig):
    seen: list[str] = []
    save = rig.checkpoints.save

    def slow_save(run_id: str, result: NodeResult) -> None:
        gevent.sleep(0.01)
        assert not rig.of("agent.completed", result.node)
        save(run_id, result)
        seen.append(result.node)

    rig.checkpoints.save = slow_save
    rig.run()
    assert sorted(seen) == sorted(TASKS)


# -- stopping --

PHASES = {"before the first agent": 0.0, "in parallel agents": 0.05, "between": 0.1, "in the fourth": 0.15, "in the answer": 0.25}


@pytest.mark.parametrize("seconds", PHASES.values(), ids=PHASES)
def test_a_stop_closes_every_stream_at_once_and_nothing_is_said_after(rig, seconds):
    rig.llm = FakeLLM(lambda task, request: answer(VIEW, seconds=0.1, pieces=20))
    stopped: dict[str, float] = {}

    def stop() -> None:
        stopped["events"], stopped["at"] = len(rig.events), time.monotonic()
        rig.cancellation.cancel("stopped")

    gevent.spawn_later(seconds, stop)
    with pytest.raises(Cancelled):
        rig.run()
    assert time.monotonic() - stopped["at"] < 0.1
    assert rig.llm.open == 0
    gevent.sleep(0.15)
    assert len(rig.trail.usage) == len(rig.llm.calls)  # what was begun was paid for
    late = rig.events[int(stopped["events"]) :]
    assert {payload.get("eventType") for _, payload in late} <= {"agent.token"}  # prose already written, kept
    assert "workflow.completed" not in rig.kinds()


def test_an_already_stopped_turn_asks_nobody(rig):
    rig.cancellation.cancel("stopped")
    with pytest.raises(Cancelled):
        rig.run()
    assert rig.llm.calls == [] and rig.kinds() == ["workflow_detected"]


def test_a_stop_while_waiting_for_a_place_gives_no_place_away(rig):
    rig.llm = FakeLLM(lambda task, request: answer(VIEW, seconds=0.5))
    rig.engine = Engine(Agents(rig.llm, Desk()), per_server=1)
    gevent.spawn_later(0.05, rig.cancellation.cancel, "stopped")
    with pytest.raises(Cancelled):
        rig.run()
    assert rig.engine.slots.counter == 1


def test_closing_the_answer_ends_its_agents(rig):
    rig.llm = FakeLLM(lambda task, request: answer(VIEW, seconds=0.05))
    deltas = Engine(Agents(rig.llm, Desk())).run(rig.job(), Cancellation(), rig.checkpoints)
    next(deltas)
    deltas.close()
    assert rig.llm.open == 0


# -- many --


def test_two_runs_at_once_never_hear_each_other():
    llm = FakeLLM(lambda task, request: answer(VIEW, seconds=0.05))
    engine = Engine(Agents(llm, Desk()))
    rigs = [Rig(llm=llm, engine=engine, run_id=f"run-{n}") for n in range(2)]
    gevent.joinall([gevent.spawn(rig.run) for rig in rigs], raise_error=True)
    for rig in rigs:
        assert {payload["workflowId"] for _, payload in rig.events} == {rig.run_id}
        assert len(rig.of("agent.completed")) == 5


def test_fifty_workflows_at_once_keep_the_loop_free_and_leave_nothing_behind():
    llm = FakeLLM(lambda task, request: answer(PROSE * 20 + verdict(), seconds=0.3, pieces=60))
    engine = Engine(Agents(llm, Desk()))
    stalls: list[float] = []

    def watch() -> None:
        while True:
            before = time.thread_time()  # of this process: what else the machine does is no stall of ours
            gevent.sleep(0.005)
            stalls.append(time.thread_time() - before)

    gc.collect()
    objects = len(gc.get_objects())
    watcher = gevent.spawn(watch)
    rigs = [Rig(llm=llm, engine=engine, run_id=f"run-{n}") for n in range(50)]
    gevent.joinall([gevent.spawn(rig.run) for rig in rigs], raise_error=True)
    watcher.kill()
    assert all(rig.kinds()[-1] == "workflow.completed" for rig in rigs)
    assert max(stalls) < 0.1
    assert llm.most <= 128 and llm.open == 0
    for kept in (llm.calls, llm.requests, rigs, stalls):
        kept.clear()
    gc.collect()
    assert len(gc.get_objects()) - objects < 5_000


# -- offline --


def test_without_a_model_the_desk_computes_every_part_and_says_so(rig):
    rig.llm = FakeLLM(lambda task, request: answer("never shown", provider="offline"))
    text = rig.run()
    assert text.startswith("*No model wrote this: the built-in desk")
    assert "never shown" not in text + rig.shown("analyst")
    assert rig.of("agent.completed", "economist")[0]["data"]["verdict"]["abstained"] is True
    analyst = rig.of("agent.completed", "analyst")[0]["data"]
    assert analyst["provider"] == "offline" and analyst["verdict"]["evidenceIds"] == ["AAPL:cagr"]
    assert rig.last.provider == "offline"


def test_a_model_that_dies_in_the_third_agent_leaves_the_rest_to_the_desk(rig):
    def dies(task, request):
        if len(rig.llm.calls) < 3:
            return answer(VIEW)
        return Say((Began("fake", "f", 1), Content("Half of a th"), switched(0, target="offline"), Began("offline", "o", 2), Content("no")))

    rig.llm = FakeLLM(dies)
    text = rig.run()
    assert "Half of a th" not in text and text.startswith("*No model wrote this")
    assert rig.kinds()[-1] == "workflow.completed"
    providers = [u["data"]["provider"] for u in rig.of("agent.completed")]
    assert providers.count("fake") == 2 and providers.count("offline") == 3
    said = [u["message"] for u in rig.of("agent.progress")]
    assert any(message.endswith("failed, the built-in desk goes on") for message in said) and not any("offline" in message for message in said)
