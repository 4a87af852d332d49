"""A finished answer as it is shown: its blocks, its figures marked with their evidence, its pictures. Values only.

The page shows this when an answer ends and in history; both come from here, so they are the same.
"""

from collections.abc import Mapping

from services.market.charts import chart_html
from services.market.evidence import EvidencePack, Mark
from services.market.grounding import check
from services.market.marking import text_rule
from services.render import render


def checked(text: str, pack: EvidencePack, question: str) -> dict[str, object]:
    """What history keeps of the evidence: the pack, and a mark for each figure of the answer."""
    return pack.as_dict() | {"marks": [mark.as_dict() for mark in check(text, pack, question)]}


def answer_html(text: str, evidence: Mapping[str, object] | None) -> str:
    """The answer's HTML. `evidence` is what `checked` gave, None for an answer without data."""
    if not evidence:
        return render(text)
    marks = [Mark(mark["start"], mark["end"], mark["text"], mark["evidenceId"], mark["reason"]) for mark in evidence["marks"]]
    pictures = chart_html(EvidencePack.from_dict(evidence)) if text else []
    return render(text, text_rule=text_rule(text, marks)) + "".join(picture.html for picture in pictures)


def told(evidence: Mapping[str, object] | None) -> dict[str, object] | None:
    """`evidence` as `chat_completed` and the API tell it: the items with their shown values, the marks and the notes."""
    if not evidence:
        return None
    return EvidencePack.from_dict(evidence).completed() | {"marks": evidence["marks"]}
