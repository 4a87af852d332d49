"""An agent's text as it streams: its prose may be shown at once, its verdict never."""

from services.workflows.reading import split

_OPENERS = ("```", "{")


class Prose:
    """Takes an agent's text piece by piece and gives back what may be shown.

    A line that may open the verdict (a fence, a brace) is held back with all that follows it; `end` gives what turned
    out to be prose. What was given is always a beginning of the final prose.
    """

    def __init__(self) -> None:
        self.text = ""
        self.shown = ""
        self._safe = 0  # up to here the text holds no line that may open the verdict
        self._held = False

    def feed(self, piece: str) -> str:
        """More text; returns what may be shown of it now."""
        self.text += piece
        if self._held:
            return ""
        while True:
            end = self.text.find("\n", self._safe)
            line = self.text[self._safe :] if end < 0 else self.text[self._safe : end]
            if _may_open(line.lstrip(), whole=end >= 0):
                self._held = bool(line.strip()) and line.lstrip().startswith(_OPENERS)
                return self._show(self.text[: self._safe])
            if end < 0:
                return self._show(self.text)
            self._safe = end + 1

    def end(self) -> str:
        """The text is whole; returns the rest of the prose."""
        return self._show(split(self.text)[0])

    def discard(self, start: int) -> int:
        """Forget the text from character `start` on; returns how much of what was shown still counts."""
        kept = self.text[:start]
        self.__init__()
        self.feed(kept)
        return len(self.shown)

    def _show(self, text: str) -> str:
        whole = text.strip()
        new, self.shown = whole[len(self.shown) :], whole
        return new


def _may_open(line: str, whole: bool) -> bool:
    """Whether this line opens a verdict, or may once more of it is there."""
    if whole and not line:
        return False
    return line.startswith(_OPENERS) or (not whole and any(opener.startswith(line) for opener in _OPENERS))
