"""A workflow's run as its panel shows it: the same words as static/js/views/workflow.js says while it runs. Pure."""

import re
from collections.abc import Mapping, Sequence

from services.market.references import hidden
from services.presentation import plain_html

Json = Mapping[str, object]

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PER_CENT = re.compile(r"(?<=\d) %")  # a sign that never stands alone on a line
DEBATE = "marketDebate"
SPEAKERS = ("bull", "bear")  # who speaks in a debate: their words stand open, in turns; the others judge
STATES = {"waiting": "", "running": "working", "done": "", "failed": "failed", "skipped": "skipped", "stopped": "stopped"}


def panel(run: Json) -> dict[str, object]:
    """What partials/workflow.html draws, from a run's state (`RunState.to_dict`)."""
    nodes = run["nodes"]
    columns = stages(nodes)
    return {
        "name": run["name"], "state": run["state"], "why": run.get("reason") or "",
        "kind": "debate" if run.get("workflow") == DEBATE else "", "stages": [[_agent(node) for node in column] for column in columns],
        "summary": _summary(len(nodes), max(map(len, columns), default=0)), "total": _total(run, nodes), "verdict": _overall(run),
    }


def stages(nodes: Sequence[Json]) -> list[list[Json]]:
    """Nodes that can work together stand together: each one column after the last of those it needs."""
    depth: dict[str, int] = {}
    for node in nodes:  # the catalogue lists a node after what it needs
        depth[node["id"]] = 1 + max((depth.get(need, -1) for need in node["needs"]), default=-1)
    return [[node for node in nodes if depth[node["id"]] == column] for column in range(max(depth.values(), default=-1) + 1)]


def duration(milliseconds: float) -> str:
    """A time as a person reads it: 12 ms, 0.4 s."""
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 100 else f"{round(milliseconds)} ms"


def _agent(node: Json) -> dict[str, object]:
    result = node.get("result") or {}
    verdict = result.get("verdict") or {}
    speaks = node["agent"] in SPEAKERS
    took = result.get("durationMs")
    state = node["state"]
    said = (verdict.get("summary") if not speaks else None) or (node.get("message") if state in ("failed", "skipped") else None) or node["task"]
    known = bool(verdict) and not verdict.get("abstained")
    return {
        "id": node["id"], "speaker": node["agent"] if speaks else "", "name": node["name"], "state": state, "took": duration(took) if took is not None else STATES[state],
        "summary": PER_CENT.sub("\N{NO-BREAK SPACE}%", hidden(str(said))), "stance": verdict["stance"] if known else None, "verdict": verdict_words(verdict),
        "html": plain_html(str(node.get("text") or "")),
    }


def verdict_words(verdict: Json) -> str:
    """`positive, confidence 58`, `no view`, or nothing."""
    if not verdict:
        return ""
    return "no view" if verdict.get("abstained") else f"{verdict.get('label', '')}, confidence {verdict.get('confidence', 0)}".lstrip(", ")


def _overall(run: Json) -> str:
    verdict = (run.get("result") or {}).get("verdict") or {}
    if not verdict or verdict.get("abstained"):
        return ""
    because = verdict.get("because") or []
    return f"Together: {verdict_words(verdict)}" + (f" ({', '.join(because)})" if because else "")


def _summary(agents: int, together: int) -> str:
    at_once = f", {_number(together)} at once" if together > 1 else ""
    return f"{_number(agents)} agents{at_once}"


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _total(run: Json, nodes: Sequence[Json]) -> str:
    """How far it is; when it is over, what it took."""
    result = run.get("result") or {}
    if "durationMs" not in result:
        done = sum(node["state"] == "done" for node in nodes)
        return str(result.get("message") or f"{done} of {len(nodes)} done")
    parts = [duration(result["durationMs"])]
    if result.get("tokens"):
        parts.append(f"{result['tokens']:,} tokens")
    if result.get("cost"):
        parts.append(f"${result['cost']:.3f}")
    return " · ".join(parts)
