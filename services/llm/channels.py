"""The texts of one answer, kept apart and mended: content, thoughts, and the arguments of each tool call. No I/O."""

from services.llm.deltas import Content, Reasoning, ToolCall
from services.llm.text import Mender, ThinkSplitter

Out = list[object]


class Channels:
    """Each method appends the deltas that its text makes. `lenient` says that the text may hold lone surrogates."""

    def __init__(self) -> None:
        self.lenient = False
        self._content, self._reasoning = Mender(), Mender()
        self._arguments: dict[int, Mender] = {}
        self._think: ThinkSplitter | None = ThinkSplitter()

    def say(self, text: str, out: Out) -> None:
        mender = self._content
        if self.lenient or mender.pending or "\0" in text:
            text = mender.mend(text)
        if not text:
            return
        if self._think is None:
            out.append(Content(text))
            return
        for thought, piece in self._think.feed(text):
            out.append(Reasoning(piece) if thought else Content(piece))
        if self._think.settled:
            self._think = None

    def muse(self, text: str, out: Out) -> None:
        mender = self._reasoning
        if self.lenient or mender.pending or "\0" in text:
            text = mender.mend(text)
        if text:
            out.append(Reasoning(text))

    def parts(self, parts: list, out: Out) -> None:
        """Content as a list of typed parts, as Mistral's thinking models write it."""
        for part in parts:
            if type(part) is not dict:
                continue
            if type(part.get("text")) is str:
                self.say(part["text"], out)
            for thought in part.get("thinking") if type(part.get("thinking")) is list else ():
                if type(thought) is dict and type(thought.get("text")) is str:
                    self.muse(thought["text"], out)

    def call(self, call: object, out: Out) -> None:
        if type(call) is not dict:
            return
        index = call.get("index") if type(call.get("index")) is int else 0
        function = call.get("function") if type(call.get("function")) is dict else {}
        arguments = function.get("arguments")
        text = self._arguments.setdefault(index, Mender()).mend(arguments if type(arguments) is str else "")
        identity, name = _printable(call.get("id")), _printable(function.get("name"))
        if text or identity or name:
            out.append(ToolCall(index, identity, name, text))

    def flush(self, out: Out) -> None:
        """What was held back because a second half might have followed."""
        if thought := self._reasoning.rest():
            out.append(Reasoning(thought))
        rest = self._content.rest()
        if self._think is None:
            held = [(False, rest)]
        else:
            held = [*(self._think.feed(rest) if rest else ()), *self._think.rest()]
        out.extend(Reasoning(piece) if thought else Content(piece) for thought, piece in held if piece)


def _printable(text: object) -> str | None:
    """A name as it may be passed on; None where there is none."""
    if type(text) is not str:
        return None
    return "".join(character for character in text if character.isprintable() and not "\ud800" <= character <= "\udfff") or None
