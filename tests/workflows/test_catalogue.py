from dataclasses import replace

import pytest

from services.workflows.catalogue import AGENTS, WORKFLOWS, CatalogueError, Node, Workflow, in_order, outline, validate


def workflow(*nodes: Node) -> Workflow:
    return Workflow("test", "Test", "", "", nodes)


def test_the_catalogue_is_valid():
    validate(WORKFLOWS.values())


def test_the_catalogue_has_the_seven_workflows():
    assert list(WORKFLOWS) == [
        "investmentResearch", "assetComparison", "portfolioAnalysis", "riskAssessment",
        "marketOpportunity", "macroImpact", "marketDebate",
    ]


END = Node("end", "advisor", "", ("a",), required=True)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((), "no node"),
        ((Node("a", "astrologer", ""), END), "unknown agent, astrologer"),
        ((Node("a", "analyst", "", ("z",)), END), "unknown nodes, z"),
        ((Node("a", "analyst", ""), Node("a", "trader", ""), END), "share an id"),
        ((Node("a", "analyst", "", ("b",)), Node("b", "trader", "", ("a",)), END), "wait for each other"),
        ((Node("a", "analyst", "", ("a",)), END), "wait for each other"),
        ((Node("a", "analyst", ""), Node("b", "trader", ""), END), "nobody reads b, end"),
        ((Node("a", "analyst", ""), replace(END, required=False)), "must be required"),
        ((Node("a", "analyst", "", timeout=0), END), "no time to run"),
    ],
)
def test_a_workflow_that_cannot_run_is_refused(nodes, words):
    with pytest.raises(CatalogueError, match=words):
        validate([workflow(*nodes)])


def test_nodes_come_after_what_they_need():
    for flow in WORKFLOWS.values():
        seen: set[str] = set()
        for node in in_order(flow):
            assert set(node.needs) <= seen
            seen.add(node.id)


def test_a_comparison_has_an_analyst_for_each_symbol():
    flow = WORKFLOWS["assetComparison"].expanded(["AAPL", "KO", "AAPL"])
    assert [node.id for node in flow.nodes] == ["analyst:AAPL", "analyst:KO", "trader", "riskManager", "advisor"]
    assert flow.last.needs == ("analyst:AAPL", "analyst:KO", "trader", "riskManager")
    validate([flow])


def test_a_comparison_without_symbols_still_runs():
    flow = WORKFLOWS["assetComparison"].expanded([])
    assert flow == WORKFLOWS["assetComparison"]


def test_two_hundred_symbols_do_not_start_two_hundred_analysts():
    flow = WORKFLOWS["assetComparison"].expanded([f"S{n}" for n in range(200)])
    assert len(flow.nodes) == 9


def test_the_estimate_is_the_critical_path():
    assert WORKFLOWS["investmentResearch"].estimated_seconds() == 24
    assert WORKFLOWS["portfolioAnalysis"].estimated_seconds() == 16


def test_the_outline_names_every_agent():
    for flow in WORKFLOWS.values():
        assert all(AGENTS[step["agent"]].name == step["name"] for step in outline(flow.nodes))
