"""The workflows, as data: who works, on what, and who waits for whom. Adding one is adding an entry to WORKFLOWS."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

MAX_SYMBOL_NODES = 6  # a comparison of more than this reads as a table, not as an argument


@dataclass(frozen=True, slots=True)
class Agent:
    """A specialist. `assistant` is the voice that speaks where no model does; `prompt` its file in prompts/."""

    id: str
    name: str
    assistant: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Node:
    """One agent's part in a workflow.

    `needs` are the nodes whose results it reads. `timeout` is its longest run in seconds and `typical` its usual one.
    A failed optional node is a missing view; a failed required one ends the run. A node with `per_symbol` becomes
    one node for each symbol of the question.
    """

    id: str
    agent: str
    task: str
    needs: tuple[str, ...] = ()
    timeout: float = 90.0
    typical: float = 8.0
    required: bool = False
    per_symbol: bool = False
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph of nodes. The one node that nobody needs comes last: its words are the answer."""

    id: str
    name: str
    description: str
    message: str
    nodes: tuple[Node, ...]

    @property
    def last(self) -> Node:
        """The node that writes the answer."""
        needed = {need for node in self.nodes for need in node.needs}
        return next(node for node in self.nodes if node.id not in needed)

    def expanded(self, symbols: Sequence[str]) -> "Workflow":
        """This workflow for these symbols: each `per_symbol` node once a symbol (once alone, when there is none)."""
        copies = {node.id: _copies(node, symbols) for node in self.nodes}
        nodes = [
            replace(copy, needs=tuple(c.id for need in node.needs for c in copies[need]))
            for node in self.nodes
            for copy in copies[node.id]
        ]
        return replace(self, nodes=tuple(nodes))

    def estimated_seconds(self) -> float:
        """The length of the critical path at each node's usual pace."""
        ends: dict[str, float] = {}
        for node in in_order(self):
            ends[node.id] = node.typical + max((ends[need] for need in node.needs), default=0.0)
        return max(ends.values())

    def describe(self) -> dict[str, object]:
        """The workflow as `GET /api/workflows` tells it."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "agents": outline(self.nodes),
            "estimatedTime": self.estimated_seconds(),
        }


def _copies(node: Node, symbols: Sequence[str]) -> list[Node]:
    if not node.per_symbol or not symbols:
        return [node]
    return [
        replace(node, id=f"{node.id}:{symbol}", task=f"{node.task}: {symbol}", symbol=symbol)
        for symbol in dict.fromkeys(symbols[:MAX_SYMBOL_NODES])
    ]


def outline(nodes: Iterable[Node]) -> list[dict[str, object]]:
    """The nodes as the page draws them; an index in this list is the `stepIndex` of every event."""
    return [
        {
            "id": node.id,
            "agent": node.agent,
            "name": AGENTS[node.agent].name,
            "task": node.task,
            "needs": list(node.needs),
            "required": node.required,
        }
        for node in nodes
    ]


AGENTS: Mapping[str, Agent] = {
    agent.id: agent
    for agent in (
        Agent("analyst", "Analyst", "analyst", "analyst"),
        Agent("trader", "Trader", "trader", "trader"),
        Agent("economist", "Economist", "economist", "economist"),
        Agent("riskManager", "Risk manager", "riskManager", "riskManager"),
        Agent("advisor", "Advisor", "advisor", "advisor"),
        Agent("bull", "Bull", "analyst", "bull"),
        Agent("bear", "Bear", "riskManager", "bear"),
    )
}

WORKFLOWS: Mapping[str, Workflow] = {
    workflow.id: workflow
    for workflow in (
        Workflow(
            "investmentResearch",
            "Investment research",
            "Whether to invest: business and trend, levels and momentum, the economy, then risk, then one judgement.",
            "Three specialists look at this at once, a risk manager checks them, and an advisor draws the conclusion.",
            (
                Node("analyst", "analyst", "Trend, returns and quality of the investment", required=True),
                Node("trader", "trader", "Levels, momentum and timing"),
                Node("economist", "economist", "What rates, inflation and growth mean for it"),
                Node("riskManager", "riskManager", "What could be lost, and how much to hold", ("analyst", "trader", "economist")),
                Node("advisor", "advisor", "Weigh the views and answer", ("analyst", "trader", "economist", "riskManager"), required=True),
            ),
        ),
        Workflow(
            "assetComparison",
            "Asset comparison",
            "Two or more investments side by side: an analyst for each, levels, risk, then a choice.",
            "Each asset gets its own analyst; a trader and a risk manager set them side by side.",
            (
                Node("analyst", "analyst", "Trend, returns and quality", per_symbol=True),
                Node("trader", "trader", "Relative strength, momentum and levels"),
                Node("riskManager", "riskManager", "Compare the risks and how they move together", ("analyst", "trader")),
                Node("advisor", "advisor", "Choose between them and say for whom", ("analyst", "trader", "riskManager"), required=True),
            ),
        ),
        Workflow(
            "portfolioAnalysis",
            "Portfolio analysis",
            "A portfolio as a whole: what it earns, how it moves together, what the economy does to it, what to change.",
            "Three specialists read your portfolio at once, then an advisor says what to change.",
            (
                Node("analyst", "analyst", "Holdings, weights and what drives the return"),
                Node("riskManager", "riskManager", "Concentration, correlation and losses to expect", required=True),
                Node("economist", "economist", "Which economy it is built for"),
                Node("advisor", "advisor", "Say what to keep, change and watch", ("analyst", "riskManager", "economist"), required=True),
            ),
        ),
        Workflow(
            "riskAssessment",
            "Risk assessment",
            "What can be lost and how to limit it: measures of risk, the economy, hedges and stops, a plain answer.",
            "A risk manager and an economist measure the danger, a trader plans the protection.",
            (
                Node("riskManager", "riskManager", "Losses, drawdown and what moves them", required=True),
                Node("economist", "economist", "Which scenarios would hurt"),
                Node("trader", "trader", "Stops, sizes and hedges", ("riskManager", "economist")),
                Node("advisor", "advisor", "Say how much risk this is and what to do", ("riskManager", "economist", "trader"), required=True),
            ),
        ),
        Workflow(
            "marketOpportunity",
            "Market opportunity",
            "Where to look now: momentum and levels, the economy, then what could spoil it.",
            "A trader and an economist look for openings, a risk manager tests them.",
            (
                Node("trader", "trader", "Where strength and set-ups are"),
                Node("economist", "economist", "What this phase of the economy favours"),
                Node("riskManager", "riskManager", "What would spoil each idea", ("trader", "economist")),
                Node("advisor", "advisor", "Rank the ideas and say what to wait for", ("trader", "economist", "riskManager"), required=True),
            ),
        ),
        Workflow(
            "macroImpact",
            "Macro impact",
            "What rates, inflation, growth or politics do to investments: the scenario first, then prices and risk.",
            "An economist sets out the scenario; an analyst and a risk manager work out what it does.",
            (
                Node("economist", "economist", "The scenario and how it spreads", required=True),
                Node("analyst", "analyst", "Who gains and who loses", ("economist",)),
                Node("riskManager", "riskManager", "How large the loss could be", ("economist",)),
                Node("advisor", "advisor", "Say what it means for the question", ("economist", "analyst", "riskManager"), required=True),
            ),
        ),
        Workflow(
            "marketDebate",
            "Market debate",
            "The case for and the case against, each answering the other, then a judgement.",
            "A bull and a bear argue, answer each other, and an advisor judges.",
            (
                Node("bull", "bull", "The case for", required=True),
                Node("bear", "bear", "The case against", required=True),
                Node("bullRebuttal", "bull", "Answer the case against", ("bull", "bear")),
                Node("bearRebuttal", "bear", "Answer the case for", ("bull", "bear")),
                Node("economist", "economist", "Which side the economy favours", ("bullRebuttal", "bearRebuttal")),
                Node("advisor", "advisor", "Judge the debate", ("bull", "bear", "bullRebuttal", "bearRebuttal", "economist"), required=True),
            ),
        ),
    )
}


class CatalogueError(ValueError):
    """A workflow that cannot run. Raised at start, so that no turn ever meets it."""


def validate(workflows: Iterable[Workflow], agents: Mapping[str, Agent] = AGENTS) -> None:
    """Refuse unknown agents, doubled and unknown ids, cycles, limits that are none, and nodes the answer never reads."""
    for workflow in workflows:
        _validate_nodes(workflow, agents)
        in_order(workflow)
        _validate_reach(workflow)


def _validate_nodes(workflow: Workflow, agents: Mapping[str, Agent]) -> None:
    ids = [node.id for node in workflow.nodes]
    if not ids:
        raise CatalogueError(f"{workflow.id}: has no node")
    if len(set(ids)) < len(ids):
        raise CatalogueError(f"{workflow.id}: two nodes share an id")
    for node in workflow.nodes:
        if node.agent not in agents:
            raise CatalogueError(f"{workflow.id}: {node.id} names an unknown agent, {node.agent}")
        if unknown := set(node.needs) - set(ids):
            raise CatalogueError(f"{workflow.id}: {node.id} needs unknown nodes, {', '.join(sorted(unknown))}")
        if node.timeout <= 0:
            raise CatalogueError(f"{workflow.id}: {node.id} has no time to run")


def in_order(workflow: Workflow) -> list[Node]:
    """The nodes, each after all it needs. Raises CatalogueError on a cycle."""
    waiting = {node.id: node for node in workflow.nodes}
    ordered: list[Node] = []
    while waiting:
        ready = [node for node in waiting.values() if not any(need in waiting for need in node.needs)]
        if not ready:
            raise CatalogueError(f"{workflow.id}: these nodes wait for each other, {', '.join(waiting)}")
        for node in ready:
            ordered.append(waiting.pop(node.id))
    return ordered


def _validate_reach(workflow: Workflow) -> None:
    """Exactly one node comes last, is required, stands alone, and reads, through others or not, every node."""
    needed = {need for node in workflow.nodes for need in node.needs}
    ends = [node for node in workflow.nodes if node.id not in needed]
    if len(ends) != 1:
        raise CatalogueError(f"{workflow.id}: nobody reads {', '.join(node.id for node in ends)}; one node must come last")
    if not ends[0].required or ends[0].per_symbol:
        raise CatalogueError(f"{workflow.id}: {ends[0].id} writes the answer; it must be required and stand once")
