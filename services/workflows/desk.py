"""The desk without a model: each agent's part, its verdict and the conclusion, computed from the evidence pack."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from services.llm.deltas import Attempt, Began, Content, Delta, Finished
from services.workflows.catalogue import AGENTS
from services.workflows.prompting import Pack
from services.workflows.verdicts import Overall, Verdict, abstention, label

if TYPE_CHECKING:
    from services.workflows.agents import Assignment

WriteReport = Callable[[str, str, Mapping[str, object], Pack], Iterable[str]]  # question, assistant, context, pack
Measures = dict[str, dict[str, tuple[float, str]]]  # symbol -> measure -> (value, evidence id)

# The rules of a stance: measure, how much it counts, and the values at which it says -1 and +1; between them it is linear.
_RULES: dict[str, tuple[tuple[str, float, float, float], ...]] = {
    "analyst": (("cagr", 2, -0.05, 0.15), ("sharpe", 2, -0.3, 1.0), ("total_return", 1, -0.3, 0.5), ("alpha", 1, -0.1, 0.1)),
    "trader": (("trend", 2, -0.1, 0.1), ("momentum_3m", 2, -0.15, 0.15), ("momentum_12m", 1, -0.3, 0.3), ("rsi14", 1, 75, 35)),
    "riskManager": (("volatility", 2, 0.45, 0.15), ("max_drawdown", 2, -0.6, -0.15), ("beta", 1, 1.8, 0.6), ("var95_historical", 1, -0.04, -0.01)),
}
_RULES["advisor"] = _RULES["analyst"] + _RULES["riskManager"]
_NAMES = {
    "cagr": "growth a year", "sharpe": "Sharpe ratio", "total_return": "total return", "alpha": "alpha", "trend": "distance from the 200-day average",
    "momentum_3m": "momentum over 3 months", "momentum_12m": "momentum over 12 months", "rsi14": "RSI", "volatility": "volatility a year", "max_drawdown": "largest drawdown", "beta": "beta",
    "var95_historical": "one-day VaR at 95 %",
}  # fmt: skip
_FRACTIONS = {"cagr", "total_return", "alpha", "trend", "momentum_3m", "momentum_12m", "volatility", "max_drawdown", "var95_historical"}


class Desk:
    """Writes what agents write, without a model. `write_report` is the market desk's report in an assistant's voice."""

    def __init__(self, write_report: WriteReport | None = None) -> None:
        self._write_report = write_report

    def report(self, task: "Assignment") -> Iterator[str]:
        """One agent's prose."""
        agent = AGENTS[task.node.agent]
        if agent.id in ("bull", "bear"):
            yield from _argument(task, for_it=agent.id == "bull")
            return
        written = False
        for piece in self._written(task, agent.assistant):
            written = True
            yield piece
        if not written:
            yield from _points(task, agent.assistant)

    def _written(self, task: "Assignment", assistant: str) -> Iterable[str]:
        """The market desk's report, about one symbol where the node has one."""
        if self._write_report is None or task.pack is None:
            return ()
        if task.node.symbol is None:
            return self._write_report(task.question, assistant, task.context, task.pack)
        context = {**task.context, "symbols": [task.node.symbol]}
        return self._write_report(task.node.symbol, assistant, context, narrowed(task.pack, task.node.symbol))

    def verdict(self, task: "Assignment") -> Verdict:
        """One agent's verdict, by the rules of its assistant. No data, or an assistant without rules: it abstains.

        Each measure says from -1 to 1 where it lies between two values; the stance is their weighted mean over all
        symbols. Confidence is 30 plus up to 40 for measures that point the same way: rules never know more than that.
        """
        agent = AGENTS[task.node.agent]
        points = _weighed(task, agent.assistant)
        if agent.id in ("bull", "bear"):
            points = [point for point in _weighed(task, "advisor") if (point[0] > 0) == (agent.id == "bull")]
        if not points:
            return abstention("No measures for this view")
        total = sum(weight for _, weight, *_ in points)
        stance = sum(says * weight for says, weight, *_ in points) / total
        spread = sum(abs(says - stance) * weight for says, weight, *_ in points) / total
        strongest = max(points, key=lambda point: abs(point[0]) * point[1])
        return Verdict(
            round(stance, 2), round(30 + 40 * (1 - min(1.0, spread))), str(task.context.get("timeframe", "")),
            f"{label(stance).capitalize()}: {strongest[2]}", tuple(point[3] for point in points),
            tuple(point[2] for point in points if point[0] < -0.3)[:3], "The measures turn: these rules read prices, nothing else.",
        )  # fmt: skip

    def synthesis(self, task: "Assignment", overall: Overall) -> Iterator[Delta]:
        """The conclusion as a stream of deltas, like any answer."""
        yield Began("offline", "desk", 1)
        length = 0
        for piece in _conclusion(task, overall):
            length += len(piece)
            yield Content(piece)
        yield Finished("offline", "desk", "stop", (), (Attempt("offline", "desk", "ok", 0, 0, 0),))


def narrowed(pack: Pack, symbol: str) -> Pack:
    """The same evidence about one symbol only."""
    return replace(
        pack,
        items=tuple(item for item in pack.items if item.symbol in (None, symbol)),
        instruments=tuple(instrument for instrument in pack.instruments if instrument.symbol == symbol),
        weights={},
    )


def measures(pack: Pack | None) -> Measures:
    """The pack's numbers by symbol and measure; trend is the price's distance from its 200-day average."""
    found: Measures = {}
    for item in pack.items if pack is not None else ():
        if item.symbol and item.value is not None:
            found.setdefault(item.symbol, {})[item.measure] = (item.value, item.id)
    for of in found.values():
        if "close" in of and of.get("sma200", (0, ""))[0] > 0:
            of["trend"] = (of["close"][0] / of["sma200"][0] - 1, of["sma200"][1])
    return found


def _weighed(task: "Assignment", assistant: str) -> list[tuple[float, float, str, str]]:
    """Each measure as (what it says, its weight, in words, its evidence id)."""
    points = []
    for symbol, of in measures(task.pack).items():
        if task.node.symbol not in (None, symbol):
            continue
        for name, weight, low, high in _RULES.get(assistant, ()):
            if name in of:
                value, id = of[name]
                says = max(-1.0, min(1.0, 2 * (value - low) / (high - low) - 1))
                points.append((says, weight, f"{symbol} {_NAMES[name]} {_shown(name, value)}", id))
    return points


def _shown(name: str, value: float) -> str:
    return f"{value * 100:.1f} %" if name in _FRACTIONS else f"{value:.2f}"


def _points(task: "Assignment", assistant: str) -> Iterator[str]:
    points = _weighed(task, assistant)
    yield "Computed from the data, without a model.\n\n"
    for says, _, words, id in points:
        yield f"- {words} [{id}]: {label(says)}\n"
    if not points:
        yield "There is no data here for this view, so it abstains.\n"


def _argument(task: "Assignment", for_it: bool) -> Iterator[str]:
    """One side of a debate: the measures that speak for it, the strongest first, or an honest concession."""
    points = sorted(_weighed(task, "advisor"), key=lambda point: -abs(point[0]) * point[1])
    mine = [point for point in points if (point[0] > 0) == for_it]
    theirs = [point for point in points if (point[0] > 0) != for_it]
    yield f"The case {'for' if for_it else 'against'}, computed from the data, without a model.\n\n"
    if task.views and theirs:
        yield f"The other side's strongest point stands: {theirs[0][2]} [{theirs[0][3]}].\n\n"
    for _, _, words, id in mine[:4]:
        yield f"- {words} [{id}]\n"
    if not mine:
        yield "No measure in the data speaks for this side.\n"


def _conclusion(task: "Assignment", overall: Overall) -> Iterator[str]:
    yield "No model wrote this: the built-in desk computed it from the specialists' measures, by fixed rules.\n\n"
    if not overall.voices:
        yield "**No view.** None of the specialists had data to judge by.\n\n"
    else:
        yield f"**{label(overall.stance).capitalize()}, confidence {overall.confidence} of 100**"
        yield f", agreement {overall.agreement:.2f} between {overall.voices} view{'s' if overall.voices > 1 else ''}"
        yield f" (lowered because {' and '.join(overall.because)}).\n\n" if overall.because else ".\n\n"
    for result in task.views:
        summary = result.verdict.summary or "no summary"
        cited = "".join(f" [{id}]" for id in result.verdict.evidence_ids[:3])
        yield f"- **{_title(result.node, result.agent)}** ({result.verdict.label}): {summary}{cited}\n"
    risks = list(dict.fromkeys(risk for result in task.views for risk in result.verdict.risks))
    if risks:
        yield "\nWhat speaks against it most:\n\n"
        yield from (f"- {risk}\n" for risk in risks[:4])
    yield "\nThe rules read past prices only: they know no news, no business and no plans of yours. With a model's key, specialists in words take their place.\n"


def _title(node: str, agent: str) -> str:
    name = AGENTS[agent].name
    if ":" in node:
        return f"{name}, {node.split(':', 1)[1]}"
    return f"{name}, rebuttal" if node.endswith("Rebuttal") else name
