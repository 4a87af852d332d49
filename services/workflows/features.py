"""A message as the classifier sees it: which concepts its words name. No I/O, and time linear in a bounded window."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

HEAD, TAIL = 1000, 500  # characters read of a long message: what is asked stands before or after what is pasted
_WORD = re.compile(r"[^\W_]+")
_PERCENT = re.compile(r"\d\s?%|\d percent\b|\d prozent\b")
_END = ""  # the key under which a branch of the tree of phrases keeps the labels that end there

# What concepts say together. Each line: a name, then groups that must all hold; a later line may use an earlier name.
HYPOTHESES: tuple[tuple[str, ...], ...] = (
    ("named", "symbols1|symbols2"),
    ("stake", "balance|loss", "mine|money", "field|money|portfolio|asset"),
    ("financial", "named|asset|macro|shares|portfolio|stake"),
    ("foreign", "-financial"),
    ("foreign!", "elsewhere", "-named"),
    ("foreign?", "elsewhere", "-macro"),
    ("both", "debate", "financial|invest", "-foreign!"),
    ("beside", "compare|or", "symbols2"),
    ("beside+", "compare", "symbols2"),
    ("beside-", "symbols2", "-compare", "-or"),
    ("lost", "risk|loss|protect", "financial", "-foreign!", "-profile"),
    ("lost+", "lost", "symbols1"),
    ("lost-study", "study", "risk", "named"),
    ("lost++", "loss|protect", "financial"),
    ("lost-learn", "lost", "learn"),
    ("whole", "portfolio|shares|balance", "mine|study|balance|should|shares", "-foreign?"),
    ("whole+", "portfolio", "mine|shares|study"),
    ("whole-own", "balance", "mine", "financial", "-foreign!"),
    ("whole-named", "portfolio", "named"),
    ("whole-shares", "shares", "named|portfolio"),
    ("whole-learn", "portfolio|balance", "learn", "-named"),
    ("decide", "should|rating", "named", "-macro"),
    ("decide+", "should|invest", "rating|horizon|now|invest", "symbols1"),
    ("decide-one", "should|rating|study|invest", "symbols1", "-lookup", "-debate"),
    ("studied", "study|thorough", "symbols1", "-portfolio", "-risk"),
    ("caused", "macro", "effect|if|will"),
    ("caused+", "macro", "effect|if", "named|field|asset|will"),
    ("caused-learn", "macro", "learn|how|whatis", "-will", "-named"),
    ("sought", "seek|chance", "field|money|asset", "symbols0"),
    ("sought+", "seek", "chance|invest|now|money", "symbols0", "-elsewhere", "financial|chance|money"),
    ("sought-named", "chance|seek", "named"),
    ("sought-chance", "chance", "symbols0", "financial", "-learn"),
    ("taught", "learn", "symbols0"),
    ("taught+", "learn|whatis|how", "symbols0", "-mine", "-chance", "-effect"),
    ("past", "year", "lookup|loss|whatis", "-should"),
    ("fact", "lookup", "-should", "-rating", "-risk", "-loss", "-debate", "-compare"),
    ("fact+", "lookup", "named"),
    ("bare", "named", "-should", "-rating", "-risk", "-loss", "-protect", "-debate", "-compare", "-or", "-study", "-invest", "-effect", "-macro", "-portfolio"),
    ("nothing", "-should", "-rating", "-risk", "-loss", "-protect", "-debate", "-compare", "-study", "-invest", "-macro", "-portfolio", "-chance", "-seek", "-balance"),
)


def window(message: str) -> str:
    """The part of a message that is read: all of it, or the head and the tail of a long one."""
    if len(message) <= HEAD + TAIL:
        return message
    return f"{message[:HEAD]}\n{message[-TAIL:]}"


def plain(text: str) -> str:
    """Lower case without accents: `Überprüfe` becomes `uberprufe`, ß becomes ss."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


class Phrases:
    """Finds many phrases at once: a tree of words, walked from each word of a text."""

    def __init__(self, table: Mapping[str, Iterable[str]]) -> None:
        self._root: dict = {}
        self._stems: set[str] = set()
        for label, phrases in table.items():
            for phrase in phrases:
                self._add(label, phrase.split())
        self._lengths = sorted({len(stem) for stem in self._stems})

    def _add(self, label: str, words: Sequence[str]) -> None:
        branch = self._root
        for word in words:
            if word.endswith("*"):
                self._stems.add(word[:-1])
            branch = branch.setdefault(word, {})
        branch.setdefault(_END, set()).add(label)

    def forms(self, word: str) -> list[str]:
        """The ways a phrase may name this word: itself, any stem of it, any word."""
        stems = (word[:length] for length in self._lengths if length <= len(word))
        return [word, *(f"{stem}*" for stem in stems if stem in self._stems), "_"]

    def find(self, words: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Each label found, with the place (start, end) of its longest match."""
        known = {word: self.forms(word) for word in set(words)}
        forms = [known[word] for word in words]
        found: dict[str, tuple[int, int]] = {}
        for start in range(len(words)):
            self._walk(self._root, forms, start, start, found)
        return found

    def _walk(self, branch: dict, forms: list[list[str]], start: int, at: int, found: dict[str, tuple[int, int]]) -> None:
        for label in branch.get(_END, ()):
            known = found.get(label)
            if known is None or at - start > known[1] - known[0]:
                found[label] = (start, at)
        if at < len(forms):
            for form in forms[at]:
                if form in branch:
                    self._walk(branch[form], forms, start, at + 1, found)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: the words, the labels found with their places, and the features the classifier weighs.

    A label is a concept, a rule (`#negation`) or a workflow's name (`@marketDebate`); only concepts become features.
    """

    words: list[str]
    labels: dict[str, tuple[int, int]]
    features: frozenset[str] = field(default_factory=frozenset)

    def quote(self, label: str) -> str:
        """The words that said it."""
        start, end = self.labels[label]
        return " ".join(self.words[start:end])


def words_of(text: str) -> list[str]:
    """The words of a text in plain letters; an apostrophe separates words."""
    return _WORD.findall(plain(text))


def read(text: str, symbols: int, phrases: Phrases) -> Reading:
    """Read a text in which so many symbols are named."""
    words = words_of(text)
    labels = phrases.find(words)
    concepts = {label: place for label, place in labels.items() if label[0] not in "#@"}
    signs = set(concepts)
    signs.add(f"symbols{min(symbols, 2)}")
    if len(_PERCENT.findall(text)) > 1:
        signs.add("shares")
    if any(len(word) == 4 and word.isdecimal() and word[:2] in ("19", "20") for word in words):
        signs.add("year")
    if len(words) <= 3:
        signs.add("short")
    signs |= {f"^{concept}" for concept, (start, _) in concepts.items() if start == 0}
    for name, *groups in HYPOTHESES:
        if all(_holds(group, signs) for group in groups):
            signs.add(name)
    return Reading(words, labels, frozenset(signs))


def _holds(group: str, signs: set[str]) -> bool:
    """Whether one of the group's signs is there; with a leading `-`, whether none is."""
    alternatives = group.removeprefix("-").split("|")
    return any(sign in signs for sign in alternatives) != group.startswith("-")
