"""Reads the verdict in what a model wrote, leniently: any language's keys, half an object, prose around it. No I/O."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from services.workflows.verdicts import Verdict, abstention

MAX_LIST, MAX_TEXT = 6, 300  # entries of a list, characters of a text
MAX_OBJECT = 8_000  # characters of a cut object that are looked at

_KEYS: dict[str, tuple[str, ...]] = {
    "stance": ("stance", "position", "view", "rating", "haltung", "einschätzung", "posture", "avis", "postura", "opinión", "opinion"),
    "confidence": ("confidence", "konfidenz", "sicherheit", "zuversicht", "confiance", "confianza"),
    "horizon": ("horizon", "timeframe", "zeithorizont", "horizont", "horizonte", "plazo"),
    "summary": ("summary", "headline", "conclusion", "zusammenfassung", "fazit", "résumé", "resume", "resumen", "conclusión"),
    "evidence": ("evidence", "evidenceids", "evidence_ids", "belege", "preuves", "evidencia", "pruebas"),
    "risks": ("risks", "risiken", "risques", "riesgos"),
    "invalidation": ("invalidation", "invalidated_by", "wrong_if", "widerlegung", "invalidierung", "invalidación"),
    "abstained": ("abstained", "abstain", "enthaltung", "enthalten", "abstention", "abstención"),
}
_NAMES = {name: key for key, names in _KEYS.items() for name in names}
_STANCES: tuple[tuple[float, tuple[str, ...]], ...] = (  # the first that occurs counts, so the longer ones come first
    (-0.8, ("strong sell", "strongly negative", "very negative", "strongly bearish", "sehr negativ", "très négatif", "muy negativ")),
    (0.8, ("strong buy", "strongly positive", "very positive", "strongly bullish", "sehr positiv", "très positif", "muy positiv")),
    (0.0, ("neutral", "hold", "mixed", "neutre", "halten", "gemischt", "conserver", "mantener", "mixte", "mixto")),
    (-0.5, ("bearish", "negative", "negativ", "sell", "avoid", "against", "verkaufen", "baissier", "négatif", "vendre", "bajista", "vender")),
    (0.5, ("bullish", "positive", "positiv", "buy", "for", "kaufen", "haussier", "acheter", "alcista", "comprar")),
)
_CONFIDENCES = {"very high": 90, "high": 80, "medium": 55, "moderate": 55, "low": 30, "hoch": 80, "mittel": 55, "niedrig": 30,
                "élevée": 80, "moyenne": 55, "faible": 30, "alta": 80, "media": 55, "baja": 30}
_STATED = re.compile(
    rf"^[ \t#>*_-]{{0,8}}({'|'.join(_KEYS['stance'] + _KEYS['confidence'] + _KEYS['summary'])})[*_]{{0,3}}[ \t]?:[*_ \t]{{0,4}}([^\n]{{1,120}})",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = re.compile(r"[-+]?\d{1,6}(?:[.,]\d{1,6})?")


def split(text: str) -> tuple[str, str]:
    """An agent's text as (prose, the JSON of its verdict or "").

    The verdict is a fenced block that holds an object, or an object that begins a line; the last one counts.
    """
    start = _verdict_at(text)
    if start < 0:
        return text.strip(), ""
    brace = text.find("{", start)
    end = _object_end(text, brace)
    rest = text[end:].lstrip()
    rest = rest.removeprefix("```").strip() if text[start] == "`" else rest.strip()
    return f"{text[:start].rstrip()}\n\n{rest}".strip(), text[brace:end]


def _verdict_at(text: str) -> int:
    """Where the verdict's block begins: its fence, or its brace; -1 without one."""
    fence = max((m.start() for m in re.finditer(r"^[ \t]{0,3}```[a-z]{0,10}[ \t]{0,3}\n?[ \t]{0,3}\{", text, re.M)), default=-1)
    if fence >= 0:
        return text.index("`", fence)
    brace = max((m.start() for m in re.finditer(r"^[ \t]{0,3}\{[ \t]{0,3}\n?[ \t]{0,8}[\"'a-zé]", text, re.M)), default=-1)
    return text.index("{", brace) if brace >= 0 else -1


def _object_end(text: str, start: int) -> int:
    """Just past the brace that closes the one at `start`, or the end of a text that was cut."""
    depth, quoted, at = 0, False, start
    while at < len(text):
        character = text[at]
        if quoted:
            if character == "\\":
                at += 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return len(text)


def parse(text: str) -> Verdict | None:
    """The verdict of an agent's text, or None where there is none that can be trusted.

    Without an object, what the prose states outright counts: `Stance: positive`, `Konfidenz: 70 %`.
    """
    prose, written = split(text)
    return _verdict(_fields(_loads(written)) if written else _stated(prose))


def is_broken(text: str) -> bool:
    """Whether a text holds the beginnings of a verdict, so that asking once more for it makes sense."""
    return bool(split(text)[1])


def _stated(prose: str) -> dict[str, object]:
    """The last stance and confidence that stand in the prose behind their names."""
    return {_NAMES[name.casefold()]: value for name, value in _STATED.findall(prose)}


def _loads(written: str) -> Mapping[str, object]:
    """JSON as models write it: trailing commas, comments, single quotes, Python's words, or cut in the middle."""
    tidy = re.sub(r",[ \t\r\n]{0,20}([}\]])", r"\1", re.sub(r"^[ \t]{0,20}//[^\n]*$", "", written, flags=re.M))
    for candidate in (written, tidy, _python_words(tidy), *_closed(tidy)):
        try:
            value = json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value.get("verdict") if isinstance(value.get("verdict"), dict) else value
    return {}


def _python_words(text: str) -> str:
    text = re.sub(r"\b(True|False|None)\b", lambda m: {"True": "true", "False": "false", "None": "null"}[m[0]], text)
    return text if '"' in text else text.replace("'", '"')


def _closed(text: str) -> Iterable[str]:
    """A cut object, ended after its last whole pair, then after the one before it, and so on."""
    text = text[:MAX_OBJECT]
    commas, stack, quoted, skip = [], [], False, False
    for at, character in enumerate(text):
        if skip:
            skip = False
        elif quoted:
            quoted, skip = character != '"', character == "\\"
        elif character == '"':
            quoted = True
        elif character in "{[":
            stack.append("}" if character == "{" else "]")
        elif character in "}]" and stack:
            stack.pop()
        elif character == ",":
            commas.append((at, "".join(reversed(stack))))
    for at, closing in reversed(commas[-12:]):
        yield text[:at] + closing


def _fields(written: Mapping[str, object]) -> dict[str, object]:
    return {_NAMES[key]: value for name, value in written.items() if (key := str(name).strip().casefold()) in _NAMES}


def _verdict(fields: Mapping[str, object]) -> Verdict | None:
    summary = _text(fields.get("summary"))
    if _truth(fields.get("abstained")):
        return replace(abstention(summary), risks=_texts(fields.get("risks")))
    stance, confidence = _stance(fields.get("stance")), _confidence(fields.get("confidence"))
    if stance is None or confidence is None:
        return None
    return Verdict(
        stance, confidence, _text(fields.get("horizon")), summary, _texts(fields.get("evidence")),
        _texts(fields.get("risks")), _text(fields.get("invalidation")),
    )


def _stance(value: object) -> float | None:
    number = _number(value)
    if number is not None:
        scale = 1 if abs(number) <= 1 else 10 if abs(number) <= 10 else 100
        return max(-1.0, min(1.0, number / scale))
    words = str(value).casefold() if isinstance(value, str) else ""
    return next((stance for stance, names in _STANCES if any(name in words for name in names)), None)


def _confidence(value: object) -> int | None:
    number = _number(value)
    if number is None:
        return _CONFIDENCES.get(str(value).strip().casefold()) if isinstance(value, str) else None
    percent = isinstance(value, str) and "%" in value
    if isinstance(value, str) and "/10" in value and "/100" not in value:
        number *= 10
    elif 0 < number <= 1 and not percent and not (isinstance(value, int)):
        number *= 100
    return round(max(0.0, min(100.0, number)))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    match = _NUMBER.match(value.strip()) if isinstance(value, str) else None
    return float(match[0].replace(",", ".")) if match else None


def _truth(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.strip().casefold() in {"true", "yes", "ja", "oui", "sí", "si"})


def _text(value: object) -> str:
    return " ".join(str(value).split())[:MAX_TEXT] if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _texts(value: object) -> tuple[str, ...]:
    values: Sequence[object] = value if isinstance(value, list) else [value]
    return tuple(text for item in values[:MAX_LIST] if (text := _text(item)))
