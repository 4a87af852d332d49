"""The embedded provider: no network, no key, no model. It computes and looks up, and says that it did."""

import re
from collections.abc import Callable, Iterator
from itertools import chain

import gevent

from services import glossary
from services.cancellation import Cancellation
from services.llm.deltas import Content, LLMRequest

Desk = Callable[[LLMRequest], Iterator[str] | None]

_PIECE = re.compile(r"(?:\s*\S+){1,4}\s*|\s+")  # four words: small enough to be seen arriving, large enough not to be a frame a word
_PIECES_A_TURN = 32  # pieces between two looks at the event loop, so that a long report lets other streams go on
_MOST_TERMS = 3

EXAMPLES = ("What is *{}*?", "Explain *{}* with an example.", "What do people get wrong about *{}*?")


class OfflineProvider:
    """Answers from `desk`, the market report, where it has something to say; else from the glossary; else says what it can do."""

    name = "offline"
    model = "desk"

    def __init__(self, desk: Desk | None = None) -> None:
        self._desk = desk

    def stream(self, request: LLMRequest, cancellation: Cancellation) -> Iterator[Content]:
        """The answer in pieces of a few words, as fast as they are computed: nothing here plays a typist."""
        written = 0
        for text in chain([_notice(request), "\n\n"], self._answer(request)):
            for piece in _PIECE.findall(text):
                cancellation.check()
                yield Content(piece)
                written += 1
                if written % _PIECES_A_TURN == 0:
                    gevent.sleep(0)

    def can_answer(self, request: LLMRequest) -> bool:
        """Whether it has more to say than what it cannot do. In its place a workflow's desk answers for agents, and always can."""
        if request.purpose == "agent" or self._desk and self._desk(request) is not None:
            return True
        return bool(glossary.find(request.question)) and not glossary.asks_for_more(request.question)

    def _answer(self, request: LLMRequest) -> Iterator[str]:
        report = self._desk(request) if self._desk else None
        if report is not None:
            return report
        found = glossary.find(request.question)
        return _definitions(found, request) if found else self._excuse(request.question)

    def _excuse(self, question: str) -> Iterator[str]:
        yield "I cannot answer this without a model, and I will not guess. What I can do:\n\n"
        if self._desk:
            yield "- measure and compare the symbols I have prices for, such as AAPL, KO or MSFT\n"
        yield f"- explain {len(glossary.terms())} financial terms, most with a formula, all with a worked example\n\nYou could ask:\n\n"
        for term, example in zip(glossary.nearest(question), EXAMPLES, strict=True):
            yield f"- {example.format(term.name)}\n"


def _notice(request: LLMRequest) -> str:
    """Why no model wrote this. Always true: nobody is told to add a key that is there."""
    if request.provider == OfflineProvider.name:
        return "> You chose the built-in desk: it computes and looks up, and no model wrote this answer."
    failed = request.extra.get("providers_failed")
    if failed:
        names = "" if failed is True else f" ({', '.join(map(str, failed))})"
        return f"> The model providers did not answer{names}. This answer is from the built-in desk; no model wrote it."
    return "> No model is configured; the built-in desk answers. To add one, set a key such as `GROQ_API_KEY` and restart: the README names all."


def _definitions(found: list[glossary.Term], request: LLMRequest) -> Iterator[str]:
    if glossary.asks_for_more(request.question):
        yield "I cannot answer the question itself without a model. This is what the glossary says about the terms in it.\n\n"
    for term in found[:_MOST_TERMS]:
        yield glossary.render(term, request.assistant) + "\n\n"
    if rest := found[_MOST_TERMS:]:
        yield f"Also in the glossary: {', '.join(term.name for term in rest)}. Ask for one by its name.\n"
