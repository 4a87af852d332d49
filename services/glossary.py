"""The financial glossary: which terms a question names, and how one is shown. The terms themselves are in `glossary.toml`.

No I/O but reading that file once. `find` and `nearest` take time linear in the question, whatever it contains.
"""

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import sqrt
from pathlib import Path

LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish"}

# Words that only ask for an explanation, in the four languages names are kept in.
ASKING = """
    a an the what which is are was do does of for in on to and or with me my you can could please tell show give about how s
    define definition explain explained explanation mean meaning term formula example calculate calculated calculation compute computed
    work works people get wrong common mistake difference between compare vs versus simple word use used
    was ist sind bedeutet heißt der die das ein eine einen und von zwischen dem den mir bitte erkläre erklären unterschied formel beispiel wie
    man berechnet berechne wird
    qu que quoi est ce c le la les l un une des du de d et entre signifie définition définis expliquer explique expliquez moi différence formule
    exemple comment calcule on calculer s il vous te plaît plait
    qué es son el los las una del y entre significa definición define explica explicar explícame diferencia fórmula ejemplo cómo se calcula
    calcular por favor
"""

VOICES = {
    "analyst": "For an analyst",
    "trader": "For a trader",
    "advisor": "For planning",
    "riskManager": "The risk in it",
    "economist": "For an economist",
}

STARTERS = ("compound-interest", "diversification", "volatility")  # suggested when a question resembles nothing
_NEAR_WORDS = 64  # a suggestion needs no more of a long question
_ALIKE = 0.5  # Dice coefficient of trigrams from which two words count as alike: "volatilty" and "volatility" have 0.74


@dataclass(frozen=True, slots=True)
class Term:
    """One entry. `aliases` are English, `names` other languages' by code; `voices` what an assistant adds, where it has something to add."""

    id: str
    name: str
    definition: str
    example: str
    mistake: str
    formula: str | None = None
    aliases: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    related: tuple[str, ...] = ()
    voices: Mapping[str, str] = field(default_factory=dict)

    def every_name(self) -> tuple[str, ...]:
        """All names a question may use for it."""
        return (self.name, *self.aliases, *(name for names in self.names.values() for name in names))


@cache
def terms() -> Mapping[str, Term]:
    """Every term by its id, in the order of the file."""
    table = tomllib.loads(Path(__file__).with_name("glossary.toml").read_text(encoding="utf-8"))
    return {term_id: _term(term_id, entry) for term_id, entry in table.items()}


def find(question: str) -> list[Term]:
    """The terms a question names, in its order, each once.

    The longest name wins ("profit margin" is not "margin"); case, accents and plurals do not matter.
    """
    named = dict.fromkeys(term_id for term_id, _ in _walk(question) if term_id)
    return [terms()[term_id] for term_id in named]


def asks_for_more(question: str) -> bool:
    """Whether a question has words beyond terms and the asking for them: an entry alone would not answer it."""
    return any(term_id is None and word not in _asking() for term_id, word in _walk(question))


def nearest(question: str, count: int = 3) -> list[Term]:
    """Exactly `count` terms whose names look most like words of the question, best first; starters where too few do."""
    telling = [word for word in dict.fromkeys(_words(question)) if _telling(word)]
    scores: Counter[str] = Counter()
    for word in telling[:_NEAR_WORDS]:
        scores.update(_alike(word))
    best = [term_id for term_id in sorted(terms(), key=scores.__getitem__, reverse=True) if scores[term_id]]
    return [terms()[term_id] for term_id in list(dict.fromkeys([*best, *STARTERS]))[:count]]


def render(term: Term, voice: str | None = None) -> str:
    """The entry as Markdown, with what the assistant `voice` adds to it if the entry has that."""
    parts = [f"### {term.name}", term.definition]
    if term.formula:
        parts.append(f"```text\n{term.formula}\n```")  # a code block: Markdown would read * and _ as emphasis
    parts += [f"**Example.** {term.example}", f"**Common mistake.** {term.mistake}"]
    if voice in term.voices:
        parts.append(f"**{VOICES[voice]}.** {term.voices[voice]}")
    if term.related:
        parts.append("**See also:** " + ", ".join(terms()[term_id].name for term_id in term.related))
    if term.names:
        parts.append("*" + " · ".join(f"{LANGUAGES[code]}: {names[0]}" for code, names in term.names.items()) + "*")
    return "\n\n".join(parts)


def _term(term_id: str, entry: Mapping[str, object]) -> Term:
    names = {code: tuple(entry[code]) for code in LANGUAGES if code in entry}
    plain = {key: entry[key] for key in ("name", "definition", "example", "mistake")}
    return Term(
        id=term_id,
        **plain,
        formula=entry["formula"].strip() if "formula" in entry else None,
        aliases=tuple(entry.get("aliases", ())),
        names=names,
        related=tuple(entry.get("related", ())),
        voices=entry.get("voices", {}),
    )


def _walk(question: str) -> Iterator[tuple[str | None, str]]:
    """The question's words in order, each name of a term as one step: (its id or None, its first word)."""
    words, names = _words(question), _by_words()
    at = 0
    while at < len(words):
        lengths = range(_longest_name(), 0, -1)
        known = next((n for n in lengths if tuple(words[at : at + n]) in names), None)
        yield (names[tuple(words[at : at + known])] if known else None, words[at])
        at += known or 1


@cache
def _asking() -> frozenset[str]:
    return frozenset(_words(ASKING))


@cache
def _by_words() -> Mapping[tuple[str, ...], str]:
    return {tuple(_words(name)): term.id for term in terms().values() for name in term.every_name()}


@cache
def _longest_name() -> int:
    return max(map(len, _by_words()))


def _words(text: str) -> list[str]:
    """The words of a text without case, accents and plural endings. Names and questions go through the same."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(c))
    return [_singular(word) for word in re.findall(r"\w+", plain)]


def _singular(word: str) -> str:
    """Not grammar, only the same cut on both sides: equities and equity, losses and loss, ratios and ratio."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes")) else word[:-1]


def _alike(word: str) -> Mapping[str, float]:
    """Terms with a word in a name that looks like this one, each with how much. "Ratio" is in many names and says little."""
    scores: dict[str, float] = {}
    for other, likeness in _spellings(word):
        owners = _owners()[other]
        for term_id in owners:
            scores[term_id] = max(likeness / sqrt(len(owners)), scores.get(term_id, 0.0))
    return scores


def _spellings(word: str) -> Iterator[tuple[str, float]]:
    """The words of names this one may be a slip for, with their likeness; only itself where it is one of them."""
    if word in _owners():
        yield word, 1.0
        return
    mine = _trigrams(word)
    shared = Counter(other for trigram in mine for other in _by_trigram().get(trigram, ()))
    for other, count in shared.items():
        likeness = 2 * count / (len(mine) + len(_trigrams(other)))
        if likeness >= _ALIKE:
            yield other, likeness


@cache
def _owners() -> Mapping[str, frozenset[str]]:
    """Each longer word of any name, with the ids of the terms that have it."""
    owners: dict[str, set[str]] = {}
    for name, term_id in _by_words().items():
        for word in name:
            if _telling(word):
                owners.setdefault(word, set()).add(term_id)
    return {word: frozenset(ids) for word, ids in owners.items()}


@cache
def _by_trigram() -> Mapping[str, frozenset[str]]:
    index: dict[str, set[str]] = {}
    for word in _owners():
        for trigram in _trigrams(word):
            index.setdefault(trigram, set()).add(word)
    return {trigram: frozenset(words) for trigram, words in index.items()}


def _telling(word: str) -> bool:
    """Whether a word can hint at a term; short ones look like too many others."""
    return len(word) > 3 and word not in _asking()


def _trigrams(word: str) -> frozenset[str]:
    padded = f" {word} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
