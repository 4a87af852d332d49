"""A finished answer as it is shown: its blocks, its figures marked with their evidence, its pictures. Values only.

The page shows this when an answer ends and in history; both come from here, so they are the same.
"""

from collections.abc import Mapping

from services.market.charts import chart_html
from services.market.evidence import EvidencePack, Mark
from services.market.grounding import check
from services.market.marking import cited, numbered, text_rule
from services.market.references import hiding
from services.render import render


def checked(text: str, pack: EvidencePack, question: str) -> dict[str, object]:
    """What history keeps of the evidence: the pack, a mark for each figure of the answer, and the ids it uses as its notes are numbered."""
    marks = check(text, pack, question)
    numbers = numbered(cited(text, marks), (item.id for item in pack.items))
    return pack.as_dict() | {"marks": [mark.as_dict() for mark in marks], "cited": list(numbers)}


def answer_html(text: str, evidence: Mapping[str, object] | None) -> str:
    """The answer's HTML. `evidence` is what `checked` gave, None for an answer without data."""
    if not evidence:
        return plain_html(text)
    marks = [Mark(mark["start"], mark["end"], mark["text"], mark["evidenceId"], mark["reason"]) for mark in evidence["marks"]]
    numbers = {id: number for number, id in enumerate(evidence.get("cited", ()), 1)}
    pictures = chart_html(EvidencePack.from_dict(evidence)) if text else []
    return render(text, text_rule=text_rule(text, marks, numbers)) + "".join(picture.html for picture in pictures)


def plain_html(text: str) -> str:
    """A text's HTML without the evidence behind it, such as an agent's part: ids it names are not shown."""
    return render(text, text_rule=hiding)


def told(evidence: Mapping[str, object] | None) -> dict[str, object] | None:
    """`evidence` as `chat_completed` and the API tell it: the items with their shown values, the marks, the notes and the ids in their numbers' order."""
    if not evidence:
        return None
    return EvidencePack.from_dict(evidence).completed() | {"marks": evidence["marks"], "cited": list(evidence.get("cited", ()))}
