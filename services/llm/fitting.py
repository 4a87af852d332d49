"""How long a conversation is in tokens, roughly, and how to shorten it. No I/O."""

from collections.abc import Mapping, Sequence

Messages = Sequence[Mapping[str, object]]
_PER_MESSAGE = 4  # role and separators
_SAFETY = 0.9  # an estimate is no count
_REPLY = 1024  # tokens kept free for the answer


def text_tokens(size: int) -> int:
    """Tokens of a text of `size` weighed characters (see `weigh`): about four to a token."""
    return -(-size // 4)


def weigh(text: str) -> int:
    """Characters, with those outside ASCII weighed by their bytes: a Chinese character is nearly a token of its own."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def message_tokens(message: Mapping[str, object]) -> int:
    content = message.get("content")
    return _PER_MESSAGE + text_tokens(weigh(content if isinstance(content, str) else str(content or "")))


def count(messages: Messages) -> int:
    return sum(map(message_tokens, messages))


def room(window: int, reply: int | None) -> int:
    """Tokens of a window that the messages may take, so that the answer still fits."""
    return window - min(reply or _REPLY, window // 2)


def fit(messages: Messages, tokens: int) -> Messages:
    """The messages that fit into `tokens`: oldest left out first, never a system message or the last one."""
    budget, total = int(tokens * _SAFETY), count(messages)
    if total <= budget:
        return messages
    kept, at = list(messages), 0
    while total > budget and at < len(kept) - 1:
        if kept[at].get("role") in ("system", "developer"):
            at += 1
        else:
            total -= message_tokens(kept.pop(at))
    while len(kept) > 1 and at < len(kept) - 1 and kept[at].get("role") in ("assistant", "tool"):
        kept.pop(at)  # what answered a question that was left out
    return kept
