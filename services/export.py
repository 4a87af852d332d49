"""A conversation as a document."""

from collections.abc import Mapping

NAMES = {"general": "General", "analyst": "Analyst", "trader": "Trader", "advisor": "Advisor",
         "riskManager": "Risk manager", "economist": "Economist"}
ENDINGS = {"stopped": "_Stopped here._", "error": "_The answer broke off here._", "streaming": "_Still being written._"}


def markdown(conversation: Mapping[str, object]) -> str:
    """The shown branch as Markdown: each question a heading, what it was asked with, the answer, how it was made."""
    parts = [f"# {conversation['title']}"]
    for message in conversation["messages"]:
        parts += _question(message) if message["role"] == "user" else _answer(message)
    return "\n\n".join(part for part in parts if part) + "\n"


def _question(message: Mapping[str, object]) -> list[str]:
    first, _, rest = str(message["content"]).partition("\n")
    return [f"## {first.strip()}", rest.strip(), _asked(message)]


def _asked(message: Mapping[str, object]) -> str:
    context = message["context"]
    words = [NAMES.get(str(message["assistantType"]), ""), *context.get("symbols", []), context.get("timeframe", ""),
             f"{context['riskTolerance']} risk" if "riskTolerance" in context else ""]
    return f"_{' · '.join(str(word) for word in words if word)}_"


def _answer(message: Mapping[str, object]) -> list[str]:
    made = message["made"]
    notes = [f"> {switch['message']}" for switch in made.get("switches", [])]
    by = " · ".join(str(made[key]) for key in ("provider", "model") if made.get(key))
    when = f"{message['createdAt'][:16].replace('T', ' ')} UTC"
    return [*notes, str(message["content"]).strip(), ENDINGS.get(str(message["status"]), ""),
            f"_{' · '.join(word for word in (by, when) if word)}_"]
