"""Text of a model made safe and whole: split surrogates joined, thoughts told from the answer. No I/O."""

import re

_LONE = re.compile("[\ud800-\udfff]")
_OPEN, _CLOSE = "<think>", "</think>"


class Mender:
    """Joins surrogate halves that a provider split over two deltas, for one channel of text.

    A half that stays alone becomes U+FFFD, as UTF-8 cannot hold it; so does NUL, which PostgreSQL refuses.
    """

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = ""

    def mend(self, text: str) -> str:
        if self.pending:
            text, self.pending = self.pending + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.pending = text[:-1], text[-1]
        if not text.isascii() and _LONE.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text.replace("\0", "\ufffd") if "\0" in text else text

    def rest(self) -> str:
        lost, self.pending = self.pending, ""
        return "\ufffd" if lost else ""


class ThinkSplitter:
    """Tells `<think>…</think>` at the head of an answer from the answer itself, however the tags are split.

    Only there: an answer may well speak about such a tag. `settled` turns true when all further text is answer.
    """

    def __init__(self) -> None:
        self.settled = False
        self._inside = False
        self._held = ""
        self._trim = False  # the blank lines between thoughts and answer belong to neither

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """Pairs of (is thought, text), empty texts left out."""
        out: list[tuple[bool, str]] = []
        text, self._held = self._held + text, ""
        if not self._inside and not self._trim:
            text = self._open(text)
        if self._inside:
            text = self._think(text, out)
        if self._trim and text:
            text = text.lstrip()
            if text:
                self._trim, self.settled = False, True
        if text:
            out.append((False, text))
        return out

    def rest(self) -> list[tuple[bool, str]]:
        held, self._held = self._held, ""
        return [(self._inside, held)] if held else []

    def _open(self, text: str) -> str:
        stripped = text.lstrip()
        if stripped.startswith(_OPEN):
            self._inside = True
            return stripped[len(_OPEN) :].lstrip("\n")
        if _OPEN.startswith(stripped) and len(text) < 4096:
            self._held = text
            return ""
        self.settled = True
        return text

    def _think(self, text: str, out: list[tuple[bool, str]]) -> str:
        thought, closed, answer = text.partition(_CLOSE)
        if not closed:
            keep = _overlap(thought, _CLOSE)
            thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
        else:
            self._inside, self._trim = False, True
        if thought:
            out.append((True, thought))
        return answer


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` could be the beginning of `tag`."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-n:])), 0)
