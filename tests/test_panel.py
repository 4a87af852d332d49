"""blueprints/panel.py: a run as its panel says it."""

from blueprints.panel import duration, panel, stages, verdict_words


def node(id: str, *needs: str, state: str = "done", **more: object) -> dict:
    return {"id": id, "agent": id, "name": id.title(), "task": f"task of {id}", "needs": list(needs), "state": state, "text": "", **more}


def run(*nodes: dict, **more: object) -> dict:
    return {"workflowId": "w", "name": "Research", "state": "running", "reason": "asked", "nodes": list(nodes), **more}


def test_nodes_that_can_work_together_stand_together() -> None:
    columns = stages([node("a"), node("t"), node("r", "a", "t"), node("v", "a", "r")])
    assert [[each["id"] for each in column] for column in columns] == [["a", "t"], ["r"], ["v"]]


def test_it_says_how_far_a_run_is_and_afterwards_what_it_took() -> None:
    running = panel(run(node("a"), node("t", state="running")))
    assert (running["summary"], running["total"]) == ("two agents, two at once", "1 of 2 done")
    result = {"durationMs": 14_040, "tokens": 3120, "cost": 0.004, "verdict": {"label": "positive", "confidence": 61, "because": ["the data is old"]}}
    over = panel(run(node("a"), state="done", result=result))
    assert over["total"] == "14.0 s · 3,120 tokens · $0.004"
    assert over["verdict"] == "Together: positive, confidence 61 (the data is old)"


def test_an_agent_shows_its_view_its_failure_or_its_task() -> None:
    verdict = {"stance": -0.4, "label": "negative", "confidence": 58, "summary": "Trend broken", "abstained": False}
    done, failed, waiting = panel(run(
        node("a", result={"verdict": verdict, "durationMs": 4100}, text="**Bold** <b>x</b>"),
        node("t", state="failed", message="No answer in time"), node("r", state="waiting"),
    ))["stages"][0]
    assert (done["summary"], done["stance"], done["took"], done["verdict"]) == ("Trend broken", -0.4, "4.1 s", "negative, confidence 58")
    assert done["html"] == "<p><strong>Bold</strong> &lt;b&gt;x&lt;/b&gt;</p>\n"
    assert (failed["summary"], failed["took"], failed["stance"]) == ("No answer in time", "failed", None)
    assert (waiting["summary"], waiting["took"]) == ("task of r", "")


def test_who_abstains_has_no_view() -> None:
    assert verdict_words({"abstained": True, "confidence": 0}) == "no view"
    assert verdict_words({}) == ""


def test_times_are_said_as_a_person_reads_them() -> None:
    assert [duration(value) for value in (0.4, 99, 100, 4_060)] == ["0 ms", "99 ms", "0.1 s", "4.1 s"]


def test_a_debate_has_two_voices_whose_words_stand_open() -> None:
    verdict = {"stance": 0.4, "label": "positive", "confidence": 58, "summary": "Cheap", "abstained": False}
    shown = panel(run(node("bull", result={"verdict": verdict}), node("bear"), node("advisor", "bull", "bear"), workflow="marketDebate"))
    bull, bear = shown["stages"][0]
    assert shown["kind"] == "debate" and panel(run(node("a")))["kind"] == ""
    assert (bull["speaker"], bear["speaker"], shown["stages"][1][0]["speaker"]) == ("bull", "bear", "")
    assert bull["summary"] == "task of bull"


def test_ids_of_evidence_are_not_shown_in_what_agents_say() -> None:
    verdict = {"stance": 0.4, "summary": "Growing [AAPL:cagr]", "abstained": False}
    agent = panel(run(node("a", result={"verdict": verdict}, text="It grows (AAPL:cagr).")))["stages"][0][0]
    assert (agent["summary"], agent["html"]) == ("Growing", "<p>It grows.</p>\n")
