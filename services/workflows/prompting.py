"""What the agents are asked: the files of prompts/, the evidence, and what other agents have said, as chat messages."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from services.workflows.catalogue import AGENTS
from services.workflows.jobs import Assignment, Pack
from services.workflows.verdicts import Overall

_FOLDER = Path(__file__).with_name("prompts")
MAX_VIEW = 6_000  # characters of one agent's prose that another reads
LAST_MESSAGES, MAX_EARLIER = 4, 1_200  # of the conversation before the question: messages, characters of each
Messages = list[dict[str, str]]


@cache
def prompt(name: str) -> str:
    """The text of prompts/<name>.md."""
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8").strip()


def view(task: Assignment) -> Messages:
    """One agent's view: prose first, then its verdict."""
    role = prompt(AGENTS[task.node.agent].prompt)
    return [_system(role, prompt("_rules"), prompt("_verdict")), _user(_brief(task), f"Your task: {task.node.task}.")]


def synthesis(task: Assignment, overall: Overall) -> Messages:
    """The last agent's answer to the person who asked."""
    weighed = json.dumps(overall.payload(), ensure_ascii=False)
    return [
        _system(prompt(AGENTS[task.node.agent].prompt), prompt("_rules"), prompt("_synthesis")),
        _user(_brief(task), _part("overall verdict, computed from the views", weighed), f"Your task: {task.node.task}. Write the answer now."),
    ]


def repair(task: Assignment, prose: str) -> Messages:
    """The verdict alone, of a text that came without one."""
    return [_system(prompt("_verdict"), "Answer with the JSON block alone."), _user(_part("text", prose[:MAX_VIEW]))]


def evidence_ids(pack: Pack | None) -> list[str]:
    """The ids that an agent may cite."""
    return [item.id for item in pack.items] if pack is not None else []


def _brief(task: Assignment) -> str:
    """All that an agent knows; outside words are fenced off as material."""
    parts = [_part("question", task.question)]
    if task.earlier:
        parts.insert(0, _part("conversation before it", _told(task.earlier)))
    if task.context:
        parts.append(_part("context", json.dumps(dict(task.context), ensure_ascii=False)))
    if task.node.symbol:
        parts.append(f"Look only at {task.node.symbol}; others do the rest.")
    parts.append(_part("evidence", _evidence(task.pack)))
    parts += [_part(f"view of {result.node}", _spoken(result.text, result.verdict.payload())) for result in task.views]
    parts += [_part(f"unfinished view of {gap.node}", gap.text[:MAX_VIEW]) for gap in task.missing if gap.text]
    if gaps := [f"{gap.node} ({gap.reason})" for gap in task.missing]:
        parts.append(f"These views are missing or unfinished: {'; '.join(gaps)}.")
    return "\n\n".join(parts)


def _told(earlier: Sequence[Mapping[str, str]]) -> str:
    """The newest messages, each shortened: enough to know what "it" is."""
    return "\n".join(f"{message['role']}: {message['content'][:MAX_EARLIER]}" for message in earlier[-LAST_MESSAGES:])


def _evidence(pack: Pack | None) -> str:
    text = pack.prompt_text() if pack is not None else ""
    return text or "No data was found. Say so, and abstain where the answer would need it."


def _spoken(text: str, verdict: Mapping[str, object]) -> str:
    return f"{text[:MAX_VIEW]}\nVerdict: {json.dumps(verdict, ensure_ascii=False)}"


def _part(name: str, text: str) -> str:
    """Material under its name. A closing tag inside it is taken apart, so that it ends where we end it."""
    tag = name.split(",")[0].replace(" ", "-").replace(":", "-")
    return f"<{tag}>\n{text.replace(f'</{tag}', f'< /{tag}')}\n</{tag}>"


def _system(*parts: str) -> dict[str, str]:
    return {"role": "system", "content": "\n\n".join(parts)}


def _user(*parts: str) -> dict[str, str]:
    return {"role": "user", "content": "\n\n".join(parts)}
