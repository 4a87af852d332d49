"""The desk without a model: each agent's part, its verdict and the conclusion, computed from the evidence pack."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from services.llm.deltas import Began, Content, Delta, Finished
from services.workflows.catalogue import AGENTS
from services.workflows.jobs import Assignment, Pack
from services.workflows.verdicts import Overall, Verdict, abstention, label

WriteReport = Callable[[str, str, Mapping[str, object], Pack], Iterable[str] | None]  # question, assistant, context, pack
OFFLINE, DESK = "offline", "desk"
DISCLAIMER = "*No model wrote this"  # how every computed text begins, the market desk's too
Point = tuple[float, float, str, str]  # what a measure says (-1 to 1), its weight, in words, its evidence id
Measures = dict[str, dict[str, tuple[float, str]]]  # symbol -> measure -> (value, evidence id)

# The rules of a stance: measure, how much it counts, and the values at which it says -1 and +1; between them it is linear.
_RULES: dict[str, tuple[tuple[str, float, float, float], ...]] = {
    "analyst": (("cagr", 2, -0.05, 0.15), ("sharpe", 2, -0.3, 1.0), ("total_return", 1, -0.3, 0.5), ("alpha", 1, -0.1, 0.1)),
    "trader": (("above_sma200", 2, -0.1, 0.1), ("momentum_3m", 2, -0.15, 0.15), ("momentum_12m", 1, -0.3, 0.3), ("rsi14", 1, 75, 35)),
    "riskManager": (("volatility", 2, 0.45, 0.15), ("max_drawdown", 2, -0.6, -0.15), ("beta", 1, 1.8, 0.6), ("var95_historical", 1, -0.04, -0.01)),
}
_RULES["advisor"] = _RULES["analyst"] + _RULES["riskManager"]
_NAMES = {
    "cagr": "growth a year", "sharpe": "Sharpe ratio", "total_return": "total return", "alpha": "alpha", "above_sma200": "distance from the 200-day average",
    "momentum_3m": "momentum over 3 months", "momentum_12m": "momentum over 12 months", "rsi14": "RSI", "volatility": "volatility a year", "max_drawdown": "largest drawdown", "beta": "beta",
    "var95_historical": "one-day VaR at 95 %",
}  # fmt: skip
_FRACTIONS = {"cagr", "total_return", "alpha", "above_sma200", "momentum_3m", "momentum_12m", "volatility", "max_drawdown", "var95_historical"}


class Desk:
    """Writes what agents write, without a model. `write_report` is the market desk's report in an assistant's voice."""

    def __init__(self, write_report: WriteReport | None = None) -> None:
        self._write_report = write_report

    def report(self, task: Assignment) -> Iterator[str]:
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

    def _written(self, task: Assignment, assistant: str) -> Iterable[str]:
        """The market desk's report, about one symbol where the node has one."""
        if self._write_report is None or task.pack is None:
            return ()
        pack = narrowed(task.pack, task.node.symbol) if task.node.symbol else task.pack
        return self._write_report(task.question, assistant, task.context, pack) or ()

    def verdict(self, task: Assignment) -> Verdict:
        """One agent's verdict, by the rules of its assistant. No data, or an assistant without rules: it abstains.

        Each measure says from -1 to 1 where it lies between two values; the stance is their weighted mean over all
        symbols. Confidence is 30 plus up to 40 for measures that point the same way: rules never know more than that.
        """
        agent = AGENTS[task.node.agent]
        points = _weighed(task, agent.assistant)
        if agent.id in ("bull", "bear"):
            points = [point for point in _weighed(task, "advisor") if (point[0] > 0) == (agent.id == "bull")]
        if not points:
            return abstention("No data for this view" if agent.assistant in _RULES else "Shows the series; the rules judge none of them")
        total = sum(weight for _, weight, *_ in points)
        stance = sum(says * weight for says, weight, *_ in points) / total
        spread = sum(abs(says - stance) * weight for says, weight, *_ in points) / total
        strongest = max(points, key=lambda point: abs(point[0]) * point[1])
        return Verdict(
            round(stance, 2), round(30 + 40 * (1 - min(1.0, spread))), str(task.context.get("timeframe", "")),
            strongest[2], tuple(point[3] for point in points),
            tuple(point[2] for point in points if point[0] < -0.3)[:3], "The measures turn: these rules read prices, nothing else.",
        )  # fmt: skip

    def synthesis(self, task: Assignment, overall: Overall) -> Iterator[Delta]:
        """The conclusion as a stream of deltas, like any answer."""
        yield Began(OFFLINE, DESK, 1)
        yield from map(Content, _weighed_views(task, overall))
        yield from map(Content, self._closing(task))
        yield Finished(OFFLINE, DESK, "stop", (), ())

    def _closing(self, task: Assignment) -> Iterator[str]:
        """The market desk's report in the advisor's voice, behind the views; its first lines, which say who wrote it, are said already."""
        report = "".join(self._written(task, "advisor"))
        yield report.split("\n\n", 1)[-1] if report.startswith(DISCLAIMER) else report
        if not report:
            yield "There is no data about this here. Name a symbol, such as AAPL, KO or MSFT, or add a market source.\n"


def narrowed(pack: Pack, symbol: str) -> Pack:
    """The same evidence about one symbol only."""
    return replace(
        pack,
        items=tuple(item for item in pack.items if item.symbol in (None, symbol) and not item.id.startswith("portfolio:")),
        instruments=tuple(instrument for instrument in pack.instruments if instrument.symbol == symbol),
        weights={},
    )


def measures(pack: Pack | None) -> Measures:
    """The pack's numbers by symbol and measure."""
    found: Measures = {}
    for item in pack.items if pack is not None else ():
        if item.symbol and item.value is not None:
            found.setdefault(item.symbol, {})[item.measure] = (item.value, item.id)
    return found


def score(pack: Pack, assistants: Sequence[str]) -> dict[str, float]:
    """Each symbol's mean over the rules of these assistants, for those with any measure."""
    scores = {}
    for symbol, of in measures(pack).items():
        points = [point for assistant in assistants for point in _said(symbol, of, assistant)]
        if points:
            scores[symbol] = sum(says * weight for says, weight, *_ in points) / sum(weight for _, weight, *_ in points)
    return scores


def _weighed(task: Assignment, assistant: str) -> list[Point]:
    found = measures(task.pack)
    return [point for symbol, of in found.items() if task.node.symbol in (None, symbol) for point in _said(symbol, of, assistant)]


def _said(symbol: str, of: Mapping[str, tuple[float, str]], assistant: str) -> Iterator[Point]:
    """What one symbol's measures say by an assistant's rules."""
    for name, weight, low, high in _RULES.get(assistant, ()):
        if name in of:
            value, id = of[name]
            says = max(-1.0, min(1.0, 2 * (value - low) / (high - low) - 1))
            yield says, weight, f"{symbol} {_NAMES[name]} {_shown(name, value)}", id


def _shown(name: str, value: float) -> str:
    return (f"{value * 100:.1f} %" if name in _FRACTIONS else f"{value:.2f}").replace("-", "−")


def _points(task: Assignment, assistant: str) -> Iterator[str]:
    points = _weighed(task, assistant)
    yield "No model wrote this: it is computed from the data.\n\n"
    for says, _, words, _ in points:
        yield f"- {words}: {label(says)}\n"
    if not points:
        yield "There is no data here for this view, so it abstains.\n"


def _argument(task: Assignment, for_it: bool) -> Iterator[str]:
    """One side of a debate: the measures that speak for it, the strongest first, or an honest concession."""
    points = sorted(_weighed(task, "advisor"), key=lambda point: -abs(point[0]) * point[1])
    mine = [words for says, _, words, _ in points if (says > 0) == for_it]
    theirs = [words for says, _, words, _ in points if (says > 0) != for_it]
    yield f"The case {'for' if for_it else 'against'}. No model wrote this: it is computed from the data.\n\n"
    if task.views and theirs:
        yield f"The other side's strongest point stands: {theirs[0]}.\n\n"
    for words in mine[:4]:
        yield f"- {words}\n"
    if not mine:
        yield "No measure in the data speaks for this side.\n"


def _weighed_views(task: Assignment, overall: Overall) -> Iterator[str]:
    """What the specialists' measures come to together, and each of them in a line."""
    yield f"{DISCLAIMER}: the built-in desk weighed the specialists' measures by fixed rules.*\n\n"
    if not overall.voices:
        yield "**No view.** None of the specialists had data to judge by.\n\n"
    else:
        conclusion = f"{overall.favoured} comes out ahead" if overall.favoured else overall.label.capitalize()
        yield f"**{conclusion}, confidence {overall.confidence}.** "
        yield f"{_agreement(overall)}{_lowered(overall)}\n\n"
    for result in task.views:
        yield f"- **{_title(result.node, result.agent)}**, {result.verdict.label}: {result.verdict.summary}\n"
    yield "\n"


def _agreement(overall: Overall) -> str:
    if overall.voices == 1:
        return "Only one specialist has a view."
    agreement = overall.agreement or 0.0
    words = "agree" if agreement >= 0.85 else "mostly agree" if agreement >= 0.6 else "contradict each other"
    return f"The specialists who have a view {words}."


def _lowered(overall: Overall) -> str:
    if not overall.because:
        return ""
    *most, last = overall.because
    return f" The confidence is lower because {', '.join(most)}{' and ' if most else ''}{last}."


def _title(node: str, agent: str) -> str:
    name = AGENTS[agent].name
    if ":" in node:
        return f"{name}, {node.split(':', 1)[1]}"
    return f"{name}, answering" if node.endswith("Rebuttal") else name
